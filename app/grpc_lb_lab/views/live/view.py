"""What a screen shows of a run while it runs: the terminal and the page draw the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from grpc_lb_lab.views.live.state import Second

if TYPE_CHECKING:
    from grpc_lb_lab.model import live_feed
    from grpc_lb_lab.views.live.state import LiveState

Phase = Literal["waiting", "starting", "running", "over"]

SILENT_S = 5.0
"""A feed that says nothing for longer belongs to a run that was killed, or whose machine is out of reach."""

NEW_AFTER_S = 1.0
"""A replica that was met so long after the first call has come during the run."""


LOAD_EVENTS = ("load-started", "load-ended")
"""The view shows these in other ways."""

MOST_AREAS = 24
SHORTEST_SECOND = 0.5
"""What is left of the last second counts as one from here on; less would look like a fall."""


@dataclass(frozen=True)
class Row:
    """One replica. ``rate``: answered calls a second at present; ``share`` of all answered calls.

    ``state``: a word to show, empty for a replica that is ready as it was from the start.
    """

    pod: str
    rate: float
    calls: int
    share: float
    state: str = ""

    @property
    def here(self) -> bool:
        """Whether it is ready, so far as is known."""
        return self.state in ("", "new")


@dataclass(frozen=True)
class Mark:
    """An event, ``t_s`` seconds after the first call (before it: negative)."""

    t_s: float
    kind: str
    detail: str


@dataclass(frozen=True)
class View:
    """Everything a screen shows. ``t_s``: seconds since the first call; ``of_s``: how long the load will take.

    ``full``: what a bar of full length stands for: a rate, or calls once the run is over (``length`` of a row).

    ``seconds``: for each whole second the answered calls by replica, in the order of ``rows``, and last the failed
    ones; more than ``MOST_AREAS`` replicas are one.
    ``silent_s``: how long nobody has said a word in a run that is not over; 0 when somebody has.
    ``final``: nothing more is to come. Clients may have ended before it is known what ended them.
    """

    phase: Phase
    run: str = ""
    headline: str = ""
    title: str = ""
    scenario_title: str = ""
    t_s: float = 0.0
    of_s: float | None = None
    done: int = 0
    total: int | None = None
    rows: list[Row] = field(default_factory=list)
    full: float = 1.0
    rate: float = 0.0
    failed_rate: float = 0.0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    events: list[Mark] = field(default_factory=list)
    first_second: int = 0
    seconds: list[list[int]] = field(default_factory=list)
    problem: str = ""
    silent_s: float = 0.0
    final: bool = False

    def length(self, row: Row) -> float:
        """How long the row's bar is, from 0 to 1: by calls once the run is over, by the present rate before."""
        return min(1.0, (row.calls if self.phase == "over" else row.rate) / self.full)

    @property
    def progress(self) -> float:
        """From 0 to 1: of the time where it is known, of the calls otherwise; a run that broke stays where it was."""
        if self.phase == "over" and not self.problem:
            return 1.0
        part = self.t_s / self.of_s if self.of_s else self.done / self.total if self.total else 0.0
        return min(1.0, part)


def make_view(state: LiveState, now: float, seconds: int = 120) -> View:
    """The picture of ``state`` at ``now`` (seconds since the epoch) with at most the last ``seconds`` of its past."""
    run = state.run
    if run is None:
        return View("waiting")
    start = state.started_at
    phase: Phase = "over" if state.over else "running" if start is not None else "starting"
    t_s = max(0.0, max(client.at for client in state.clients.values()) - start) if start is not None else 0.0
    first, columns = _seconds(state, seconds, t_s)
    rates = state.rates()
    rows = _rows(state, rates.per)
    silence = now - state.last_at
    return View(
        phase=phase,
        run=run.run,
        headline=" · ".join((run.strategy, run.scenario, run.cluster)),
        title=run.title,
        scenario_title=run.scenario_title,
        t_s=t_s,
        of_s=_length(run),
        done=state.done,
        total=state.total,
        rows=rows,
        full=_full(run, rows, phase),
        rate=rates.total,
        failed_rate=rates.failed,
        failed=state.failed,
        errors=state.errors,
        connections=state.connections,
        p50_ms=state.p50_ms,
        p99_ms=state.p99_ms,
        events=[
            Mark(event.at - (start or event.at), event.event, event.detail)
            for event in state.events
            if event.event not in LOAD_EVENTS
        ],
        first_second=first,
        seconds=columns,
        problem=state.end.problem if state.end else "",
        final=state.end is not None or (phase == "over" and silence > _patience(run)),
        silent_s=silence if phase != "over" and silence > _patience(run) else 0.0,
    )


def _length(run: live_feed.RunLine) -> float | None:
    if run.duration_s is not None:
        return run.duration_s
    return run.requests / run.rate_rps if run.requests and run.rate_rps else None


def _patience(run: live_feed.RunLine) -> float:
    """Many clients write more rarely each, though not all together."""
    return SILENT_S + run.clients / 20


def _rows(state: LiveState, rates: dict[str, float]) -> list[Row]:
    calls, start = state.calls, state.started_at
    answered = sum(calls.values()) or 1
    rows = []
    for pod, known in state.pods.items():
        rate, word = rates.get(pod, 0.0), known
        if known == "ready":
            word = "new" if start is not None and state.met_at[pod] > start + NEW_AFTER_S and state.ready else ""
        elif known == "gone" and rate > 0:
            word = "leaving"  # the rate is of the last second
        rows.append(Row(pod, rate, calls.get(pod, 0), calls.get(pod, 0) / answered, word))
    return rows


def _full(run: live_feed.RunLine, rows: list[Row], phase: Phase) -> float:
    """The busiest replica; where the load has a rate at least an even share of it, so that an outage shows as one."""
    if phase == "over":
        return max([1.0, *(row.calls for row in rows)])
    here = sum(row.here for row in rows) or 1
    return max([run.rate_rps / here if run.rate_rps else 1.0, *(row.rate for row in rows)])


def _seconds(state: LiveState, most: int, t_s: float) -> tuple[int, list[list[int]]]:
    """The first of the last whole seconds, and all of them."""
    if not state.seconds:
        return 0, []
    begin, end = min(state.seconds), max(state.seconds)
    if state.over and (t_s - end >= SHORTEST_SECOND or end == begin):
        end += 1
    first = max(begin, end - most)
    columns = []
    for number in range(first, end):
        second = state.seconds.get(number, Second())
        calls = [round(second.per.get(pod, 0.0)) for pod in state.pods]
        columns.append([*(calls if len(calls) <= MOST_AREAS else [sum(calls)]), round(second.failed)])
    return first, columns
