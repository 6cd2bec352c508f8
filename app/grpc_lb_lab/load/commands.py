"""``lb-lab client``: one client process of a load."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import client_log
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import LabError, UsageError, check_listen
from grpc_lb_lab.model.files import replace_text
from grpc_lb_lab.model.plan import Plan, read_plan

if TYPE_CHECKING:
    import argparse

    from grpc_lb_lab.model.result import ClientResult

INTERRUPTED = 4


def add_parsers(subparsers: Any) -> None:
    """Add ``client`` to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "client",
        help="make one client's part of a load",
        description="Make the part of one client of the load in a plan and write what it measured as JSON.",
    )
    parser.add_argument("--plan", type=Path, required=True, metavar="FILE", help="plan.json")
    parser.add_argument("--index", type=int, default=0, metavar="I", help="which client of the plan, from 0")
    parser.add_argument("--output", default="-", metavar="FILE", help="the result; - (default): one line on stdout")
    parser.add_argument(
        "--meeting", type=Path, metavar="DIR", help="an empty folder where the plan's clients wait until all are warm"
    )
    parser.add_argument(
        "--live", default="", metavar="FILE", help="append to this live feed; -: write its lines to stderr"
    )
    parser.add_argument(
        "--metrics", default="", metavar="ADDRESS:PORT", help="where Prometheus may ask; default: nowhere"
    )
    parser.set_defaults(handler=run_client_command)


def run_client_command(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 when the load is through, 4 when a signal ended it early; the result is written in both.

    Raises ``UsageError`` for a plan or an index that makes no sense, ``LabError`` when the result cannot be written.
    """
    plan = read_plan(arguments.plan)
    if problem := _problem(plan):
        raise UsageError(f"--plan {arguments.plan}: {problem}")
    if not 0 <= arguments.index < plan.load.clients:
        raise UsageError(f"--index must be 0 to {plan.load.clients - 1} (the plan's clients), not {arguments.index}")
    if arguments.output != "-" and not Path(arguments.output).absolute().parent.is_dir():
        raise UsageError(f"--output {arguments.output}: its folder does not exist")
    if arguments.meeting is not None and not arguments.meeting.is_dir():
        raise UsageError(f"--meeting {arguments.meeting}: there is no such folder")
    check_listen("--metrics", arguments.metrics or "127.0.0.1:0")
    # Here, not above: other commands of the program shall not pay for loading gRPC.
    from grpc_lb_lab.load.run import run_client
    from grpc_lb_lab.observe import istio_agent

    try:
        outcome = run_client(plan, arguments.index, arguments.meeting, arguments.live, arguments.metrics)
        write_result(outcome.result, arguments.output)
    finally:
        istio_agent.end(plan)
    return INTERRUPTED if outcome.interrupted else 0


def write_result(result: ClientResult, output: str) -> None:
    """Write ``result`` to the file ``output``, whole or not at all, or as one line to stdout. Raises ``LabError``."""
    text = json.dumps(to_dict(result), separators=(",", ":"), sort_keys=True)
    if output == "-":
        sys.stdout.write(client_log.result_line(text) + "\n")
        sys.stdout.flush()
        return
    try:
        replace_text(Path(output).absolute(), text + "\n")
    except OSError as error:
        raise LabError(f"cannot write the result to {output}: {error.strerror}") from error


def _problem(plan: Plan) -> str:
    load = plan.load
    if plan.strategy.words.get("client") is None:
        return "strategy.client is missing"
    if (load.requests is None) == (load.duration_s is None):
        return "load needs either requests or duration_s"
    for name in ("requests", "clients", "connections", "concurrency", "replicas"):
        value = getattr(load, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return f"load.{name} must be a whole number from 1, not {value!r}"
    for name in ("duration_s", "rate_rps", "deadline_s"):
        value = getattr(load, name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or not value > 0):
            return f"load.{name} must be a number above 0, not {value!r}"
    return ""
