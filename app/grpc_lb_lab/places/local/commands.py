"""``lb-lab local …``: the lab on processes of this machine. Thin handlers; each prints one JSON line last."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.ports import ECHO_PORT
from grpc_lb_lab.places.local import forward

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.strategy import Strategy
    from grpc_lb_lab.places.local.state import StateFolder

DEFAULT_STATE = ".lab/local"

_SIGNALS = {
    "kill": "kill a replica (SIGKILL); a new one with another UID and address replaces it",
    "stop": "stop a replica (SIGSTOP): its connections stay open, it answers nothing",
    "cont": "let a stopped replica go on (SIGCONT)",
}


def add_parsers(subparsers: Any) -> None:
    """Add ``local`` and its commands to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    local = subparsers.add_parser(
        "local",
        help="the lab on processes of this machine",
        description="Run the lab on loopback addresses of this machine: replicas, DNS, Service, proxies and clients.",
    )
    commands = local.add_subparsers(dest="local_command", required=True, metavar="COMMAND")
    up = _add(commands, "up", "have a lab with this strategy's parts", _up)
    source = up.add_mutually_exclusive_group(required=True)
    source.add_argument("--strategy", type=Path, metavar="FILE", help="strategy file")
    source.add_argument("--settled", metavar="JSON", help="the strategy itself, as settings have settled it")
    up.add_argument("--replicas", type=_number, metavar="N", help="default 5; a strategy that insists on a number wins")
    up.add_argument("--root", type=Path, metavar="DIR", help="the lab's whole state folder, which is marked too")
    up.add_argument("--logs", type=Path, metavar="DIR", help="for the lab's logs when it does not come up")
    up.add_argument("--port", type=_number, default=ECHO_PORT, help=f"of replicas and Service ({ECHO_PORT})")
    up.add_argument(
        "--dns-order", choices=("address", "shuffled"), default="shuffled", help="order of A records (CoreDNS shuffles)"
    )
    up.add_argument("--fresh", action="store_true", help="end all that runs there first")
    load = _add(commands, "load", "send one load and collect its results", _load)
    load.add_argument("--plan", type=Path, required=True, metavar="FILE", help="plan.json")
    load.add_argument("--results", type=Path, required=True, metavar="DIR", help="for client-N.json and inventory.json")
    load.add_argument("--live", type=Path, metavar="FILE", help="the feed that `lb-lab watch` follows")
    load.add_argument("--watch-pid", type=_number, metavar="PID", help="end the load when this process ends")
    scale = _add(commands, "scale", "have another number of replicas, also during a load", _scale)
    scale.add_argument("replicas", type=_number, metavar="N")
    _add(commands, "restart", "replace all replicas, one after the other", _restart)
    for name, text in _SIGNALS.items():
        parser = _add(commands, name, text, _signal)
        parser.add_argument("pod", nargs="?", help="its name (default: the oldest that is ready)")
    status = _add(commands, "status", "show what runs", _status)
    status.add_argument("--json", action="store_true", help="everything, as one JSON line")
    _add(commands, "down", "end the lab and remove its state folder", _down)
    forward.add_parser(commands)


def _add(commands: Any, name: str, text: str, handler: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), metavar="DIR", help=f"({DEFAULT_STATE})")
    parser.set_defaults(handler=handler)
    return parser


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _up(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from grpc_lb_lab.own import state as own
    from grpc_lb_lab.places.local import preflight, session
    from grpc_lb_lab.places.local.desired_state import (
        make_wish,
        read_strategy,
        refuse_what_cannot_run,
        settled_strategy,
    )
    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor import envoy

    preflight.check_platform()
    preflight.check_numbers(arguments.replicas, arguments.port)
    strategy = settled_strategy(arguments.settled) if arguments.settled else read_strategy(arguments.strategy)
    refuse_what_cannot_run(strategy)
    wish = make_wish(strategy, arguments.replicas, arguments.dns_order)
    state = StateFolder(arguments.state)
    state.refuse_foreign()
    running = _status_of(state)
    program = asdict(envoy.find_program(running.get("envoy"))) if strategy.needs.envoy else None
    _gateway_program(strategy)
    preflight.check_files(wish.replicas)
    preflight.check_memory(wish.replicas - len(running["replicas"]))
    if arguments.root:
        own.claim_root(arguments.root)
    started = 0
    try:
        request = {"op": "up", "wish": asdict(wish), "envoy": program, "fresh": arguments.fresh}
        hello, is_new = session.ensure(state, arguments.port, _say)
        started = int(hello["pid"]) if is_new else 0
        result = session.connect(state).ask(request, _say)
    except LabError as error:
        told = state.explain(session.with_last_words(state, error))
        if arguments.logs:
            _keep_logs(state, arguments.logs)
        if started:
            # A lab that never came up is not left behind half-made; its reason is in the message.
            session.abandon(state, started)
        raise told from error
    return _print({**result, "changed": result["changed"] or bool(started)})


def _keep_logs(state: StateFolder, logs: Path) -> None:
    try:
        logs.mkdir(parents=True, exist_ok=True)
        state.copy_logs(logs)
    except OSError as error:  # the reason of the failure is what matters
        _say(f"the logs could not be kept: {error.filename}: {error.strerror}")


def _load(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from grpc_lb_lab.model.plan import read_plan
    from grpc_lb_lab.places.local import session
    from grpc_lb_lab.places.local.abort import aborting
    from grpc_lb_lab.places.local.fingerprint import fingerprint
    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor import envoy

    state = StateFolder(arguments.state)
    hello = session.connect(state).ask({"op": "hello"})
    if hello["fingerprint"] != fingerprint():
        raise LabError("the lab runs other code than this command: run `lb-lab local up` first")
    plan = arguments.plan.absolute()
    strategy = read_plan(plan).strategy
    needed = strategy.needs
    needs_envoy = needed.sidecar or needed.gateway == "envoy"
    program = asdict(envoy.find_program(hello["envoy"])) if needs_envoy else None
    request = {"op": "load", "plan": str(plan), "results": str(arguments.results.absolute()), "envoy": program}
    request["gateway"] = program if needed.gateway == "envoy" else _gateway_program(strategy)
    request["live"] = str(arguments.live.absolute()) if arguments.live else None
    with aborting(arguments.watch_pid) as abort:
        try:
            result = session.connect(state).ask(request, _say, abort=abort.descriptor)
        except LabError as error:
            told = state.explain(session.with_last_words(state, error))
            raise LabError(f"{abort.reason}: {told}" if abort.reason else str(told)) from error
    return _print(result)


def _gateway_program(strategy: Strategy) -> dict[str, str] | None:
    """Find nginx or HAProxy for the strategy's gateway. Raises ``LabError`` with the package to install."""
    from dataclasses import asdict

    from grpc_lb_lab.places.local import programs

    kind = strategy.proxies.gateway
    return asdict(programs.find(kind)) if kind in programs.PACKAGES else None


def _scale(arguments: argparse.Namespace) -> int:
    from grpc_lb_lab.places.local import preflight
    from grpc_lb_lab.places.local.state import StateFolder

    preflight.check_numbers(arguments.replicas, ECHO_PORT)
    preflight.check_files(arguments.replicas)
    preflight.check_memory(arguments.replicas - len(_status_of(StateFolder(arguments.state))["replicas"]))
    return _print(_ask(arguments, {"op": "scale", "replicas": arguments.replicas}))


def _restart(arguments: argparse.Namespace) -> int:
    return _print(_ask(arguments, {"op": "restart"}))


def _signal(arguments: argparse.Namespace) -> int:
    return _print(_ask(arguments, {"op": arguments.local_command, "pod": arguments.pod}))


def _status(arguments: argparse.Namespace) -> int:
    from grpc_lb_lab.places.local.session import NotRunningError
    from grpc_lb_lab.places.local.status import render

    try:
        status = _ask(arguments, {"op": "status"})
    except NotRunningError:
        status = {"running": False}
    if arguments.json:
        return _print(status)
    print(render(status))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from grpc_lb_lab.places.local import session
    from grpc_lb_lab.places.local.state import StateFolder

    return _print({"changed": session.end(StateFolder(arguments.state))})


def _ask(arguments: argparse.Namespace, request: dict[str, Any]) -> dict[str, Any]:
    from grpc_lb_lab.places.local import session
    from grpc_lb_lab.places.local.state import StateFolder

    return session.connect(StateFolder(arguments.state)).ask(request, _say)


def _status_of(state: StateFolder) -> dict[str, Any]:
    """What the lab says of itself; that of none where none answers."""
    from grpc_lb_lab.places.local import session

    try:
        return session.connect(state).ask({"op": "status"}, timeout_s=10)
    except LabError:
        return {"replicas": [], "envoy": None}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(result: dict[str, Any]) -> int:
    print(json.dumps(result), flush=True)
    return 0
