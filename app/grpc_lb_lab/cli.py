"""``lb-lab``: finds the package that owns a command and hands over. Only that package is imported.

Exit codes: 0 pass, 1 fail, 2 wrong usage, 3 invalid, 4 the lab broke.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.errors import PREFIX, LabError
from grpc_lb_lab.model.files import is_there
from grpc_lb_lab.model.text import printable

COMMANDS = {
    "client": ("grpc_lb_lab.load.commands", "send the load of a plan and record what came back"),
    "server": ("grpc_lb_lab.servers.commands", "run one echo server"),
    "lookaside": ("grpc_lb_lab.control_planes.commands", "run the lookaside balancer"),
    "xds": ("grpc_lb_lab.control_planes.commands", "run the xDS control plane"),
    "local": ("grpc_lb_lab.places.local.commands", "run the lab's replicas, DNS and proxies on this machine"),
    "kubernetes": ("grpc_lb_lab.places.kubernetes.commands", "run the lab on a Kubernetes cluster"),
    "tidy": ("grpc_lb_lab.own.commands", "remove what the last run left in the state folder"),
    "watch": ("grpc_lb_lab.views.live.commands", "show the run that happens now"),
    "report": ("grpc_lb_lab.views.commands", "judge a run and write its reports"),
    "summary": ("grpc_lb_lab.views.commands", "summarize all cells of a run"),
    "diff": ("grpc_lb_lab.views.commands", "compare two bundles"),
}
"""Command to the module whose ``add_parsers`` registers it, and its line in ``lb-lab --help``."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error of the lab."""

    def __init__(self, **words: Any) -> None:
        """Read each argument of the type ``Path`` so that a command may freely ask what is there."""
        super().__init__(**words)
        self.register("type", Path, _path)

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{PREFIX}{printable(message)} (see {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors that a user can cause are one line on stderr."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(arguments).parse_args(arguments)
        return int(args.handler(args))
    except LabError as error:
        print("\n".join(map(printable, f"{PREFIX}{error}".splitlines())), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 4  # whoever read our output is gone; there is nobody to tell
    except KeyboardInterrupt:
        print(f"{PREFIX}interrupted", file=sys.stderr)
        return 4


def _path(text: str) -> Path:
    path = Path(text)
    try:
        is_there(path)
    except OSError as error:
        message = f"{text}: {error.strerror}. Allowed: a path that can be looked at"
        raise argparse.ArgumentTypeError(message) from error
    return path


def diff() -> int:
    """``lab-diff``, the name that ``lb-lab diff`` had in 0.1.0: the same, and says so."""
    print("lab-diff: the command is `lb-lab diff` now; this name goes with the next version", file=sys.stderr)
    return main(["diff", *sys.argv[1:]])


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """The full parser of the command that was named, and one line for each other."""
    parser = _Parser(prog="lb-lab", description="Shows, measures and explains how gRPC calls are balanced.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    named = COMMANDS.get(arguments[0] if arguments else "")
    if named is None:
        for name, (_, words) in COMMANDS.items():
            subparsers.add_parser(name, help=words)
    else:
        importlib.import_module(named[0]).add_parsers(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
