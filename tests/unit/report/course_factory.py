"""Made-up scenarios: calls dealt out one by one over some seconds, as a client and the lab would record them."""

from __future__ import annotations

import collections
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.inventory import Event, Replica
from grpc_lb_lab.model.result import BackendCount, Bucket, ConnectionFact, DnsAnswer, Failure, LatencySlot
from grpc_lb_lab.model.scenario import Expectation, PlannedEvent, ScenarioPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.judge.document import Report
    from grpc_lb_lab.model.result import ClientResult
    from grpc_lb_lab.model.verdict import DistributionClass

START = 1_790_000_000.0
RATE = 100
DURATION = 20.0
FIRST = 5.0
"""When the first event is ordered, in seconds from the first measured call."""

type Outcome = int | str | tuple[str, float]
"""The replica that answers, or the code of a failure, perhaps with the seconds that it takes."""


@dataclass
class World:
    """A lab of replicas that come and go. ``ready[i]`` is (from, to) of replica i; ``to`` None: it stays."""

    ready: dict[int, tuple[float, float | None]]
    duration: float = DURATION
    events: list[Event] = field(default_factory=list)

    def inventory(self, **changes: Any) -> Any:
        """The inventory with the events of every replica that came or left."""
        events = list(self.events)
        for index, (begin, end) in self.ready.items():
            if begin > 0:
                events += [event("replica-started", begin - 0.5, index), event("replica-ready", begin, index)]
                events.append(Event(START + begin + 0.02, "endpoints", ",".join(self._addresses(begin))))
            if end is not None:
                events += [event("replica-terminating", end, index), event("replica-ended", end + 0.1, index)]
        known = [
            Replica(f"echo-{index}", made.uid(index), made.ip(index), ready=end is None, node="node")
            for index, (_, end) in self.ready.items()
        ]
        return dataclasses.replace(
            made.inventory(0), replicas=known, events=sorted(events, key=lambda one: one.at), **changes
        )

    def at(self, t: float) -> list[int]:
        """The replicas that are ready then."""
        return [index for index, (begin, end) in self.ready.items() if begin <= t and (end is None or t < end)]

    def _addresses(self, t: float) -> list[str]:
        return [f"{made.ip(index)}:50051" for index in self.at(t)]


def event(kind: str, t: float, index: int) -> Event:
    """Something that happened to a replica."""
    pod, ip = f"echo-{index}", made.ip(index)
    return Event(START + t, kind, f"{pod} ({ip})", pod, made.uid(index), ip)


def command(detail: str, t: float = FIRST) -> Event:
    """What the scenario ordered."""
    return Event(START + t, "command", detail)


def in_turn(known: Callable[[float], list[int]]) -> Callable[[int, float], Outcome]:
    """Round robin over the replicas that the client knows at that time."""
    return lambda call, t: known(t)[call % len(known(t))]


def client(
    world: World, deal: Callable[[int, float], Outcome], *, took_ms: Callable[[int, float], float] | None = None,
    opened: list[tuple[int, float, float | None]] | None = None, dns: list[tuple[float, list[int]]] | None = None,
    lost_counters: bool = True, **changes: Any,
) -> ClientResult:  # fmt: skip
    """What a client with one channel records. ``opened``: replica, when its connection opened, when it closed."""
    counts: collections.Counter[int] = collections.Counter()
    seen: dict[int, list[float]] = {}
    buckets: dict[int, Bucket] = {}
    slots: dict[int, Any] = {}
    failures = []
    for call in range(round(world.duration * RATE)):
        due = call / RATE
        outcome = deal(call, due)
        took = took_ms(call, due) / 1000 if took_ms else 0.001 + call % 7 / 10_000
        code = ""
        if not isinstance(outcome, int):
            code, took = (outcome, 0.002) if isinstance(outcome, str) else outcome
        end = due + took
        old = buckets.get(int((START + end) * 5), Bucket(int((START + end) * 5), 0, 0, {}))
        if code:
            failures.append(Failure(START + due, START + end, code))
            buckets[old.index] = dataclasses.replace(old, failed=old.failed + 1)
        else:
            counts[outcome] += 1
            seen.setdefault(outcome, []).append(START + end)
            per = old.per_backend | {made.uid(outcome): old.per_backend.get(made.uid(outcome), 0) + 1}
            buckets[old.index] = dataclasses.replace(old, ok=old.ok + 1, per_backend=per)
        histogram = slots.setdefault(int((START + end) * 2), latency.new_histogram())
        latency.record(histogram, took * 1e6)
    size = max(world.ready) + 1
    gone = {index for index, (_, end) in world.ready.items() if end is not None} if lost_counters else set()
    base = made.client([[counts[index] for index in range(size)]])
    values: dict[str, Any] = {
        "started_at": START,
        "finished_at": START + world.duration,
        "requests": sum(counts.values()) + len(failures),
        "failed": len(failures),
        "errors": dict(collections.Counter(one.code for one in failures)),
        "backends": [
            BackendCount(f"echo-{i}", made.uid(i), made.ip(i), START - 60, counts[i], min(times), max(times))
            for i, times in sorted(seen.items())
        ],
        "interval_s": 0.2,
        "timeline": [buckets[index] for index in sorted(buckets)],
        "failures": failures,
        "slot_s": 0.5,
        "latency_slots": [LatencySlot(index, latency.encode(slots[index])) for index in sorted(slots)],
        "dns_answers": [DnsAnswer(START + t, [made.ip(i) for i in names]) for t, names in dns or []],
        "servers": [one for i, one in enumerate(base.servers) if i in world.ready and i not in gone],
        "connections": [
            ConnectionFact(0, f"ipv4:127.0.0.1:{41000 + n}", f"ipv4:{made.ip(i)}:50051", START + at,
                           None if to is None else START + to)
            for n, (i, at, to) in enumerate(opened or [(i, -1.0, None) for i in world.at(0)])
        ],
    }  # fmt: skip
    return dataclasses.replace(base, **values | changes)


def course(
    do: str, observed: DistributionClass, *, name: str = "", share: float | str = "any", errors: float | str = "any",
    events: list[PlannedEvent] | None = None, **words: Any,
) -> ScenarioPlan:  # fmt: skip
    """A scenario with one event at ``FIRST`` and what is expected of it; a number means within so many seconds."""
    expect = Expectation(
        observed,
        "within" if isinstance(share, float) else share,  # type: ignore[arg-type]
        share if isinstance(share, float) else 0.0,
        "within" if isinstance(errors, float) else errors,  # type: ignore[arg-type]
        errors if isinstance(errors, float) else 0.0,
    )
    planned = events or [PlannedEvent(FIRST, do, **words)]
    return ScenarioPlan(name or do, f"Title of {name or do}", "What it shows.", FIRST, planned, expect)


def report(world: World, result: ClientResult, happens: ScenarioPlan, **asked: Any) -> Report:
    """The report of a scenario under an open loop."""
    plan = made.plan(**({"requests": None, "duration_s": world.duration, "rate_rps": RATE} | asked))
    return build_report(dataclasses.replace(plan, scenario=happens.name, course=happens), world.inventory(), [result])


def two_more() -> World:
    """Two replicas come 1.5 and 1.6 s after the order."""
    ready: dict[int, tuple[float, float | None]] = dict.fromkeys(range(5), (0.0, None))
    return World(ready | {5: (FIRST + 1.5, None), 6: (FIRST + 1.6, None)}, events=[command("scale 5 → 7 replicas")])


def scale_up(noticed: float | None, **expect: Any) -> Report:
    """Round robin that notices two more replicas so many seconds after the order; None: never."""
    world = two_more()
    deal = in_turn(lambda t: list(range(7 if noticed is not None and t >= FIRST + noticed else 5)))
    opened = [(i, -1.0, None) for i in range(5)]
    if noticed is not None:
        opened += [(0, -1.0, FIRST + noticed), *((i, FIRST + noticed, None) for i in (0, 5, 6))]
        opened = opened[1:]
    result = client(world, deal, opened=opened, dns=[(-1.0, [0, 1, 2, 3, 4]), (FIRST + 1.7, list(range(7)))])
    wanted = {"share": "never", "errors": "none"} if noticed is None else {"share": 6.0, "errors": "none"}
    expected = course("scale", "skewed" if noticed is None else "even", name="scale-up", by=2, **wanted | expect)
    return report(world, result, expected)


def replaced(window_s: float = 6.0, code: str = "UNAVAILABLE", **expect: Any) -> Report:
    """All replicas are replaced; the client learns of the new ones ``window_s`` seconds after the old ones left."""
    ready: dict[int, tuple[float, float | None]] = dict.fromkeys(range(3), (0.0, FIRST + 2.0))
    ready |= dict.fromkeys(range(3, 6), (FIRST + 1.5, None))
    world = World(ready, events=[command("replace 3 replicas")])

    def deal(call: int, t: float) -> Outcome:
        if t < FIRST + 2.0:
            return call % 3
        return code if t < FIRST + 2.0 + window_s else 3 + call % 3

    opened = [(i, -1.0, FIRST + 2.0) for i in range(3)] + [(i, FIRST + 2.0 + window_s, None) for i in range(3, 6)]
    wanted = {"share": 10.0, "errors": 8.0}
    expected = course("replace", "even", name="dns-trap", **wanted | expect)
    return report(world, client(world, deal, opened=opened), expected, replicas=3)


def killed(**expect: Any) -> Report:
    """One of three is killed with two calls under way; another one comes two seconds later and is seen at once."""
    world = World(
        {0: (0.0, None), 1: (0.0, FIRST + 0.01), 2: (0.0, None), 3: (FIRST + 2.0, None)},
        events=[command("kill echo-1")],
    )

    def deal(call: int, t: float) -> Outcome:
        if FIRST - 0.02 <= t < FIRST:
            return ("UNAVAILABLE", FIRST + 0.012 - t)
        known = world.at(t)
        return known[call % len(known)]

    wanted = {"share": 4.0, "errors": 0.5}
    expected = course("kill", "even", which="busiest", **wanted | expect)
    return report(world, client(world, deal), expected, replicas=3)


def hung(**expect: Any) -> Report:
    """One of three hangs to the end: its calls end with their deadline."""
    world = World(dict.fromkeys(range(3), (0.0, None)), events=[command("stop echo-1")])

    def deal(call: int, t: float) -> Outcome:
        return ("DEADLINE_EXCEEDED", 1.0) if call % 3 == 1 and t >= FIRST - 0.2 and t < world.duration - 1 else call % 3

    wanted = {"share": "never", "errors": "some"}
    expected = course("stop", "skewed", name="hang", which="first", **wanted | expect)
    return report(world, client(world, lambda c, t: deal(c, t) if t < 19 else (c % 2) * 2), expected, replicas=3)
