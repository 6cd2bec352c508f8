"""``lb-lab watch``: show the run that happens now, the next one, or the last one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import UsageError

if TYPE_CHECKING:
    import argparse

PORT = 8866


def add_parsers(subparsers: Any) -> None:
    """Add ``watch`` to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "watch",
        help="show the run that happens now",
        description="Show the run that happens now, the next one when one begins, until then the last one. Ctrl-C "
        "ends it, and the run goes on.",
    )
    parser.add_argument("--state", type=Path, default=Path(".lab"), metavar="DIR", help="lab_state_dir (.lab)")
    parser.add_argument("--once", action="store_true", help="end when the run is over")
    parser.add_argument("--plain", action="store_true", help="lines instead of a screen, also in a terminal")
    parser.add_argument("--page", action="store_true", help="show it on a page of 127.0.0.1 instead")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"the page's port ({PORT}; 0: any)")
    parser.set_defaults(handler=watch_command)


def watch_command(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 whatever became of the run: its own command tells. Raises ``UsageError``, ``LabError``."""
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port must be 0 to 65535, not {arguments.port}")
    if arguments.state.exists() and not arguments.state.is_dir():
        raise UsageError(f"--state {arguments.state}: not a folder")
    # Here, not above: other commands of the program shall not pay for these.
    from grpc_lb_lab.views.live.follow import Follower
    from grpc_lb_lab.views.live.terminal import watch_lines, watch_screen

    path = arguments.state / live_feed.FILE
    follower = Follower(path)
    hint = f"Waiting for a run. Start one in another terminal: make lab STRATEGY=envoy\n({path} is not there yet)"
    try:
        if arguments.page:
            from grpc_lb_lab.views.live.page import serve

            serve(follower, arguments.port, arguments.once)
        elif sys.stdout.isatty() and not arguments.plain:
            watch_screen(follower, hint, arguments.once)
        else:
            watch_lines(follower, hint, arguments.once)
    finally:
        follower.close()
    return 0
