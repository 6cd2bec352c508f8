"""Lines for what only some runs have: a rate that was not kept, keys, several methods, figures of probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import count, number, percent
from grpc_lb_lab.views.render.lines import rate_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.judge.document import Report


def extra_lines(report: Report) -> list[tuple[str, str]]:
    """Label and line of each; nothing for most runs."""
    found = [("rate", rate_line(report)), ("keys", _keys(report))]
    if len(report.methods) > 1:
        found += [(method.rpartition("/")[2], _method(calls)) for method, calls in report.methods.items()]
    found += [(name, _probe(name, figures)) for name, figures in report.probes.items()]
    return [(label, line) for label, line in found if line]


def _keys(report: Report) -> str:
    keys = report.keys
    if keys is None:
        return ""
    moved = "none moved" if not keys.moved else f"{number(keys.moved)} moved between replicas"
    counts = sorted(keys.per_backend.values())
    span = number(counts[0]) if counts[0] == counts[-1] else f"{number(counts[0])} to {number(counts[-1])}"
    return f"{count(keys.count, 'key')}, {span} a replica; {moved} during the run"


def _method(calls: dict[str, int]) -> str:
    counts = sorted(calls.values())
    return f"{count(sum(counts), 'call')}, {number(counts[0])} to {number(counts[-1])} a replica"


def _probe(name: str, figures: dict[str, Any]) -> str:
    if "problem" in figures:
        return f"not shown: {figures['problem']}"
    return TELLERS.get(name, _plain)(figures)


def _plain(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())


def _keys_move(figures: dict[str, Any]) -> str:
    back = figures["back_after_s"]
    again = number(figures["keys_back"])
    returned = "it did not come back" if back is None else f"{again} were at home {back:.1f} s after it returned"
    return (
        f"one of {count(figures['replicas'], 'replica')} left: {number(figures['moved'])} of "
        f"{count(figures['keys'], 'key')} moved ({percent(figures['moved_share'])}), "
        f"{number(figures['removed_keys'])} of its own and {number(figures['others_moved'])} of others; {returned}"
    )


def _channel(figures: dict[str, Any]) -> str:
    if "lists" in figures:
        lists = count(figures["lists"], "list")
        return f"{lists} from the balancer, the last of {count(figures['addresses'], 'address', 'addresses')}"
    return (
        f"{count(figures['connections'], 'connection')} to {count(figures['addresses'], 'address', 'addresses')}, "
        f"{number(figures['calls_fewest'])} to {count(figures['calls_most'], 'call')} each; "
        f"{count(figures['checks'], 'check')}, {number(figures['replaced'])} replaced"
    )


def _mesh(figures: dict[str, Any]) -> str:
    certified, calls = figures["calls_with_certificate"], figures["calls"]
    shares = "all" if certified == calls else f"{number(certified)} of"
    tls = f"mutual TLS for {shares} {count(calls, 'call')}" if certified else f"no mutual TLS in {count(calls, 'call')}"
    who = f" from {', '.join(figures['clients'])}" if figures["clients"] else ""
    protocols = {"http2": "HTTP/2 by the port's name", "guessed": "HTTP/2 guessed", "tcp": "TCP, not HTTP/2"}
    words = [f"{tls}{who}", f"{count(figures['handshakes'], 'handshake')}", f"servers accept {figures['mode']}"]
    return ", ".join([*words, *([protocols[figures["protocol"]]] if "protocol" in figures else [])])


TELLERS: dict[str, Callable[[dict[str, Any]], str]] = {"keys-move": _keys_move, "channel": _channel, "mesh": _mesh}
"""How the figures of a probe are told; others are listed as they are."""
