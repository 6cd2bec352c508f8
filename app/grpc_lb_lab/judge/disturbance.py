"""What happened to the lab in the middle of a steady load, where nothing should: servers that went, a lab that stood
still. One wording for every world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario.presence import concerns
from grpc_lb_lab.judge.text import seconds

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts, ReplicaFacts
    from grpc_lb_lab.model.inventory import Event
    from grpc_lb_lab.model.result import Pause

_GONE = ("replica-terminating", "replica-ended", "stop")


def disturbances(facts: Facts) -> list[str]:
    """One clause for each thing that happened, in the order of time; empty for a load that nothing disturbed."""
    found = [what for replica in facts.replicas for what in _server(facts, replica)]
    still = [_still(facts, pause) for pause in facts.pauses]
    return [words for _, words in sorted([*found, *still, *_servers_still(facts)])]


def sentence(happened: list[str]) -> str:
    """The clauses as a sentence; the first few of many."""
    text = "; ".join(happened[:3]) + (f"; and {len(happened) - 3} more" if len(happened) > 3 else "")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _server(facts: Facts, replica: ReplicaFacts) -> list[tuple[float, str]]:
    """The first thing that took this server away; what follows from it (its process ends) is no news."""
    told = [event for event in facts.events if concerns(event, replica)]
    first = next((event for event in told if event.kind in _GONE), None)
    if first is None:
        return []
    came_back = any(event.kind == "replica-started" and event.at >= first.at for event in told)
    return [
        (
            first.at,
            f"server {replica.label} {_word(first, came_back=came_back)} during the load ({_at(facts, first.at)})",
        )
    ]


def _word(event: Event, *, came_back: bool) -> str:
    if event.kind == "replica-terminating":
        return "was deleted"
    if event.kind == "stop":
        return "was stopped"
    if came_back:
        return "ended and was restarted"
    _, _, how = event.detail.partition("): ")
    return f"ended with {how}" if how else "ended"


def _still(facts: Facts, pause: Pause) -> tuple[float, str]:
    """All clients stood still: the whole lab, where every server says the same of itself."""
    whole = bool(facts.servers) and all(_overlap(pause, server.pauses) for server in facts.servers)
    who = "the whole lab" if whole else "the client" if facts.clients == 1 else f"all {facts.clients} clients"
    why = "its node or machine was paused" if whole else "paused, or without time on the machine"
    return pause.began_at, f"{who} stood still for {_lasted(pause)} ({_at(facts, pause.began_at)}): {why}"


def _servers_still(facts: Facts) -> list[tuple[float, str]]:
    """Servers that stood still while the clients went on."""
    labels = {replica.uid: replica.label for replica in facts.replicas}
    found: list[tuple[float, str]] = []
    for server in facts.servers:
        name = labels.get(server.uid, server.pod)
        for pause in server.pauses:
            within = pause.began_at < facts.finished_at and facts.started_at < pause.ended_at
            if within and not _overlap(pause, facts.pauses):
                words = f"server {name} stood still for {_lasted(pause)} ({_at(facts, pause.began_at)})"
                found.append((pause.began_at, words))
    return found


def _overlap(pause: Pause, others: list[Pause]) -> bool:
    return any(pause.began_at < other.ended_at and other.began_at < pause.ended_at for other in others)


def _lasted(pause: Pause) -> str:
    return f"{round(pause.ended_at - pause.began_at)} s"


def _at(facts: Facts, at: float) -> str:
    return f"at {seconds(max(0.0, round(at - facts.started_at, 1)))}"


def common_pauses(pauses: list[list[Pause]]) -> list[Pause]:
    """The times in which every client stood still; ``pauses`` has one list for each."""
    if not pauses:
        return []
    common = pauses[0]
    for one in pauses[1:]:
        common = [
            type(first)(max(first.began_at, other.began_at), min(first.ended_at, other.ended_at))
            for first in common
            for other in one
            if max(first.began_at, other.began_at) < min(first.ended_at, other.ended_at)
        ]
    return common
