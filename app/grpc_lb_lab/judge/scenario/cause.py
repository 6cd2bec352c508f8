"""The cause of a scenario's outcome in two sentences: what became of the shares, and what of the calls that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge import cause
from grpc_lb_lab.judge.text import count, listing, number, seconds

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.judge.scenario.clocks import ReplicaClocks
    from grpc_lb_lab.judge.scenario.figures import ScenarioReport
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.scenario import ScenarioPlan

DNS_MINIMUM_MS = 30_000
"""gRPC asks DNS again no sooner than so long after the last time, unless told otherwise."""


def explain(facts: Facts, plan: Plan, course: ScenarioPlan, figures: ScenarioReport) -> str:
    """What happened to the calls, and why."""
    return f"{_shares(facts, plan, course, figures)} {_errors(facts, plan, course, figures)}"


def _shares(facts: Facts, plan: Plan, course: ScenarioPlan, figures: ScenarioReport) -> str:
    idle = [one for one in figures.clocks if one.first_call_s is None and _stays(figures, one)]
    if idle:
        return f"{_who_idles(idle, figures)}: {_why_idle(plan, figures)}."
    if figures.share_returned_s is None:
        return _why_never(facts, plan, course, figures)
    if not figures.clocks and figures.share_returned_s == 0:
        return "Every ready replica kept its share all the time."
    start = (
        f"Every ready replica had its share {_again(figures)}{seconds(figures.share_returned_s)} after the first event"
    )
    if figures.clocks:
        return f"{start}: {_how(plan, figures)}."
    return f"{start}{_unready(facts, figures)}."


def _unready(facts: Facts, figures: ScenarioReport) -> str:
    """A replica that stayed and was not ready again: nothing is due to it, so the others have their shares."""
    lost = [
        one
        for one in figures.replicas
        if one.left_s is None and one.spans and one.spans[-1][1] < round(facts.duration_s, 3)
    ]
    return (
        f"; {lost[0].pod} was not ready from {seconds(lost[0].spans[-1][1])} on, so none is due to it" if lost else ""
    )


def _again(figures: ScenarioReport) -> str:
    return "again " if figures.share_before else ""


def _stays(figures: ScenarioReport, one: ReplicaClocks) -> bool:
    return any(replica.pod == one.pod and replica.left_s is None for replica in figures.replicas)


def _who_idles(idle: list[ReplicaClocks], figures: ScenarioReport) -> str:
    came = sum(1 for one in figures.clocks if _stays(figures, one))
    if len(idle) == came:
        return "New replicas stayed idle" if came > 1 else f"The new replica {idle[0].pod} stayed idle"
    return f"{number(len(idle))} of {number(came)} new replicas stayed idle"


def _why_idle(plan: Plan, figures: ScenarioReport) -> str:
    closed, opened = figures.connections.closed or 0, figures.connections.opened or 0
    how = plan.strategy.discovery
    if how == "service":
        if not opened:
            return "the Service picks a replica when a connection opens, and the client opened none"
        return f"the Service picks a replica when a connection opens, and {_new_ones(opened)} went elsewhere"
    if how == "proxy":
        return f"{_proxy(plan)} had not learned of them by the end of the run"
    if how == "dns":
        if not closed:
            return "the client resolves DNS only when a connection breaks, and none broke"
        broke = f"{count(closed, 'connection')} broke"
        return (
            f"the client resolves DNS only when a connection breaks, at most once in {_dns_minimum(plan)}; {broke}, "
            "and the new addresses were not asked for after that"
        )
    reasons = {
        "pick_first": "pick_first keeps its one connection for as long as it lives",
        "port-forward": "a port-forward leads to one pod, chosen when it began",
        "pool": "the pool had not learned of them by the end of the run",
        "endpoints": "the list of endpoints had not told the client of them",
        "lookaside": "the balancer had not told the client of them",
        "xds": "the control plane had not told the client of them",
    }
    return reasons[how]


def _new_ones(opened: int) -> str:
    return "the one that opened" if opened == 1 else f"the {number(opened)} that opened"


def _dns_minimum(plan: Plan) -> str:
    return seconds((plan.strategy.client.dns_min_interval_ms or DNS_MINIMUM_MS) / 1000)


def _proxy(plan: Plan) -> str:
    return plan.strategy.hops[0]


def _why_never(facts: Facts, plan: Plan, course: ScenarioPlan, figures: ScenarioReport) -> str:
    """Nobody new was idle to the end, and still somebody lacked its share."""
    answering = [pod for pod, calls in figures.tail.calls.items() if calls]
    if not answering:
        return "No call was answered at the end of the run."
    if len(answering) == 1 and len(figures.tail.calls) > 1:
        moved = "" if figures.share_before or not figures.connections.opened else " and went to one other"
        return (
            f"All calls at the end went to one of {count(len(figures.tail.calls), 'replica')}: {_pinned(plan)}{moved}."
        )
    names = listing(figures.lacking) or "One replica or another"
    faults = {event.do for event in course.events}
    late = facts.failed and (figures.errors.last_s or 0.0) > figures.tail.from_s
    if "stop" in faults:
        why = (
            "it hangs, its connections stay open, and calls are still sent to it"
            if late
            else "it hangs, and was left out"
        )
    elif "fail" in faults:
        why = "it answers with errors, and calls are still sent to it" if late else "it was left out for its errors"
    elif "slow" in faults:
        why = "the policy prefers those that answer sooner"
    else:
        least = f"{figures.tolerance:.0%}".replace("%", " %")
        return f"{names} had less than {least} of an even share until the end of the run."
    return f"{names} did not get {'its' if len(figures.lacking) == 1 else 'their'} share: {why}."


def _pinned(plan: Plan) -> str:
    reasons = {
        "service": "the Service picks a replica when a connection opens, not for each call",
        "pick_first": "pick_first keeps one connection for every call",
        "port-forward": "a port-forward leads to one pod",
    }
    return reasons.get(plan.strategy.discovery, "one connection carried every call")


def _how(plan: Plan, figures: ScenarioReport) -> str:
    """The slowest of the new replicas, and what told the client of it."""
    answered = [one for one in figures.clocks if one.first_call_s is not None]
    if not answered:
        return "the replicas that were left took over"
    slowest = max(answered, key=lambda one: (one.first_call_s or 0.0, one.pod))
    ready = f"{slowest.pod} was ready {seconds(slowest.ready_s - figures.first_event_s)} after it"
    idle = f"and had its first call {seconds(slowest.idle_s or 0.0)} later"
    told = {
        "dns": "when the client asked DNS again" if figures.connections.closed else "",
        "pool": "when the pool asked DNS again",
        "endpoints": "when the list of endpoints told the client",
        "lookaside": "when the balancer told the client",
        "xds": "when the control plane told the client",
        "proxy": f"when {_proxy(plan)} had learned of it" if plan.strategy.discovery == "proxy" else "",
        "service": "when a new connection was dealt to it",
    }.get(plan.strategy.discovery, "")
    return f"{ready} {idle}{', ' if told else ''}{told}"


def _errors(facts: Facts, plan: Plan, course: ScenarioPlan, figures: ScenarioReport) -> str:
    errors = figures.errors
    if not errors.failed:
        return "No call failed."
    start = f"{cause.failed_words(facts)} within {seconds(errors.window_s)}"
    return f"{start}{_why_failed(facts, plan, course, figures)}."


def _why_failed(facts: Facts, plan: Plan, course: ScenarioPlan, figures: ScenarioReport) -> str:
    errors, faults = figures.errors, {event.do for event in course.events}
    if "stop" in faults and set(errors.by_code) == {"DEADLINE_EXCEEDED"}:
        return ": calls to the replica that hung waited for their deadline"
    if "fail" in faults:
        return ": the replica that fails answered so"
    if errors.in_flight == errors.failed:
        return f": {'it was' if errors.failed == 1 else 'all were'} under way when a replica left"
    silent = _silent_s(facts, figures)
    if silent >= 1.0 and silent >= errors.window_s / 2 and plan.strategy.discovery == "dns":
        return (
            f": for {seconds(silent)} no address that the client knew answered, and it asks DNS again at most once in "
            f"{_dns_minimum(plan)}"
        )
    if silent >= 1.0 and silent >= errors.window_s / 2:
        return f": for {seconds(silent)} no call was answered"
    left = _last_left_s(figures)
    if plan.strategy.discovery == "proxy" and left is not None and (errors.last_s or 0.0) - left > 1.0:
        return f": {_proxy(plan)} went on sending calls to replicas that had left, the last of them at {seconds(left)}"
    if errors.in_flight:
        return (
            f": {number(errors.in_flight)} under way when a replica left, the others sent to one that was going or gone"
        )
    return ": sent to replicas that were going or gone" if faults & {"kill", "delete", "restart", "replace"} else ""


def _last_left_s(figures: ScenarioReport) -> float | None:
    return max((one.left_s for one in figures.replicas if one.left_s is not None), default=None)


def _silent_s(facts: Facts, figures: ScenarioReport) -> float:
    """Seconds of the error window in which no call was answered."""
    first, last = figures.errors.first_s or 0.0, figures.errors.last_s or 0.0
    silent = [
        bucket
        for bucket in facts.timeline.buckets
        if first <= bucket.t_s + facts.timeline.interval_s and bucket.t_s <= last and not bucket.ok
    ]
    return round(min(len(silent) * facts.timeline.interval_s, last - first), 3)
