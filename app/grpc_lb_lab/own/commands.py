"""``lb-lab tidy``: the last step of a reset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.own import state

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: Any) -> None:
    """Add ``tidy`` to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    text = "remove the feed of the last run from the lab's state folder, and the lab's mark when nothing else is in it"
    tidy = subparsers.add_parser("tidy", help=text, description=f"{text[0].upper()}{text[1:]}.")
    tidy.add_argument("--state", type=Path, default=Path(".lab"), metavar="DIR", help="lab_state_dir (.lab)")
    tidy.set_defaults(handler=_tidy)


def _tidy(arguments: argparse.Namespace) -> int:
    print(json.dumps({"changed": state.tidy(arguments.state)}))
    return 0
