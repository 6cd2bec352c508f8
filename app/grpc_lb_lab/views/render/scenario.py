"""The figures of a scenario as short labelled lines, and its timeline as text: a small bar chart for each replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario.presence import COMMAND
from grpc_lb_lab.judge.text import count, figure, listing, number, percent, seconds
from grpc_lb_lab.views.render.charts import FAILED, Span, timeline_spans

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Backend, EventRow, Report
    from grpc_lb_lab.judge.scenario import outage
    from grpc_lb_lab.judge.scenario.clocks import ReplicaClocks
    from grpc_lb_lab.judge.scenario.figures import ScenarioReport

BLOCKS = "▁▂▃▄▅▆▇█"
IDLE = "·"
"""Stands for a replica that is ready and gets no call."""

SHOWN = 16
"""Up to so many replicas each get a line; of more the first and the last ones."""

MAX_COLUMNS = 60


def share_words(course: ScenarioReport) -> str:
    """``after 2.41 s``, ``not within the run``."""
    return next(check.observed for check in course.checks if check.what == "share")


def share_line(course: ScenarioReport) -> str:
    """When the shares were back."""
    if not course.share_told:
        return share_words(course)
    if course.share_returned_s is None:
        return "not every ready replica had its share again within the run"
    return f"every ready replica had its share {seconds(course.share_returned_s)} after the first event"


def share_rule(course: ScenarioReport) -> str:
    """What counts as a share."""
    least = percent(course.tolerance).replace(".0", "")
    return (
        f"at least {least} of an even share in every {seconds(course.window_s)} until the end; "
        "less of a policy that draws, where chance explains it"
    )


def errors_line(course: ScenarioReport) -> str:
    """``none``, or codes, how long and when, and what was under way."""
    errors = course.errors
    if not errors.failed or errors.first_s is None or errors.last_s is None:
        return "none"
    codes = sorted(errors.by_code.items(), key=lambda item: (-item[1], item[0]))
    names = listing([f"{code} {number(calls)}" for code, calls in codes], 5)
    under_way = f"; {number(errors.in_flight)} under way at an event" if errors.in_flight else ""
    when = f"from {seconds(errors.first_s)} to {seconds(errors.last_s)}"
    return f"{names}, for {seconds(errors.window_s)} ({when}){under_way}"


def scenario_lines(report: Report) -> list[tuple[str, str]]:
    """Label and line of each figure; nothing in the scenario ``steady``."""
    course = report.course
    if course is None:
        return []
    found = [
        ("events", listing([f"{sign} at {seconds(event.t_s)} {event.detail}" for sign, event in marks(report)], 4)),
        ("share", share_line(course)),
        ("p50/p99", _latency(course)),
        ("conns", connections_line(course)),
        ("came", _clocks(course)),
    ]
    return [(label, line) for label, line in found if line]


def phases(course: ScenarioReport) -> list[tuple[str, outage.Span]]:
    """Latency before, during and after, in this order; a file keeps keys in the alphabet's."""
    return [(name, course.latency[name]) for name in ("before", "during", "after")]


def marks(report: Report) -> list[tuple[str, EventRow]]:
    """What was ordered, numbered in order of time."""
    ordered = [event for event in report.events if event.kind == COMMAND]
    return [(str(index) if index < 10 else "+", event) for index, event in enumerate(ordered, 1)]


def _latency(course: ScenarioReport) -> str:
    found = [f"{name} {figure(span.p50)}/{figure(span.p99)}" for name, span in phases(course) if span.calls]
    return f"{', '.join(found)} ms" if found else ""


def connections_line(course: ScenarioReport) -> str:
    """Connections over time; empty where the client did not tell."""
    found = course.connections
    if found.before is None or found.opened is None or found.closed is None or found.at_end is None:
        return ""
    return (
        f"{number(found.before)} before, {number(found.opened)} opened and {number(found.closed)} closed after the "
        f"first event, {number(found.at_end)} at the end"
    )


def _clocks(course: ScenarioReport) -> str:
    """The slowest of the new replicas for each clock."""
    came = [one for one in course.clocks if one.command_s is not None]
    if not came:
        return ""
    found = [f"{name} {slowest(came, key)}" for name, key in told_clocks(course)]
    start = f"{count(len(came), 'replica')}, slowest, after the command: {', '.join(found)}"
    apart = f"; clocks at least {seconds(course.clocks_apart_s)} apart" if course.clocks_apart_s else ""
    return start + apart


CLOCKS = (
    ("started", "started_s"), ("ready", "ready_s"), ("endpoints", "endpoints_s"), ("DNS", "dns_s"),
    ("first call", "first_call_s"),
)  # fmt: skip
"""Names of the clocks, in the order in which they go."""


def told_clocks(course: ScenarioReport) -> list[tuple[str, str]]:
    """Those of ``CLOCKS`` that anybody looked at; the first call always, for there "never" is the news."""
    return [
        (name, key)
        for name, key in CLOCKS
        if key == "first_call_s" or any(getattr(one, key) is not None for one in course.clocks)
    ]


def slowest(came: list[ReplicaClocks], key: str) -> str:
    """The largest time since the command, ``never`` where one was not seen."""
    times = [(getattr(one, key), one.command_s) for one in came]
    if any(at is None for at, _ in times):
        return "never"
    return seconds(max(at - (ordered or 0.0) for at, ordered in times))


def at_words(at: float | None, ordered: float | None) -> str:
    """Seconds since the command, ``never`` for none."""
    return "never" if at is None else f"{at - (ordered or 0.0):.2f}"


def timeline_lines(report: Report, width: int) -> list[tuple[str, str, str]]:
    """Lines of name, count and share; the chart; a mark. The last ones are failed calls and the time with events.

    A line's third part names what became of the replica, so that a view can colour it.
    """
    backends = _shown(report.backends)
    most_digits = max(len(number(backend.requests)) for backend in report.backends) if report.backends else 1
    names = min(max(len(_plain(backend.pod)) for backend in backends), max(8, width - most_digits - 34))
    room = max(10, min(MAX_COLUMNS, width - names - most_digits - 13))
    spans = timeline_spans(report, room)
    top = max((_rate(span, name) for span in spans for name in span.calls if name != FAILED), default=0.0)
    lines = []
    for backend in backends:
        name = _plain(backend.pod)
        name = name if len(name) <= names else "…" + name[len(name) - names + 1 :]
        start = f"{name:<{names}}  {number(backend.requests):>{most_digits}}  {percent(backend.share):>7}"
        ready = _spans_of(report, backend.pod)
        chart = "".join(_cell(span, backend.pod, top, ready) for span in spans)
        lines.append(
            (start, chart, "new" if backend.came_s is not None else "gone" if backend.left_s is not None else "")
        )
    if len(backends) < len(report.backends):
        words = f"… {count(len(report.backends) - len(backends), 'more replica')}"
        lines.insert(SHOWN // 2, (words, "", ""))
    start_width = names + most_digits + 11
    if report.actual.failed:
        worst = max(_rate(span, FAILED) for span in spans)
        failed = f"{'failed':<{names}}  {number(report.actual.failed):>{most_digits}}"
        lines.append(
            (f"{failed:<{start_width}}", "".join(_block(_rate(span, FAILED), worst) for span in spans), FAILED)
        )
    lines.append((f"{f'0 to {seconds(report.actual.duration_s)}':<{start_width}}", _axis(report, spans), "axis"))
    return lines


def _shown(backends: list[Backend]) -> list[Backend]:
    return backends if len(backends) <= SHOWN else backends[: SHOWN // 2] + backends[-SHOWN // 2 :]


def _spans_of(report: Report, pod: str) -> list[list[float]]:
    course = report.course
    return next((one.spans for one in course.replicas if one.pod == pod), []) if course else []


def _rate(span: Span, name: str) -> float:
    return span.calls.get(name, 0) / (span.end - span.begin)


def _cell(span: Span, name: str, top: float, ready: list[list[float]]) -> str:
    if span.calls.get(name, 0):
        return _block(_rate(span, name), top)
    middle = (span.begin + span.end) / 2
    return IDLE if any(begin <= middle <= end for begin, end in ready) else " "


def _block(value: float, top: float) -> str:
    return BLOCKS[min(7, max(0, round(value / top * 8) - 1))] if value else " "


def _axis(report: Report, spans: list[Span]) -> str:
    """A line with the number of each event at its time; later ones that fall on the same place move on."""
    line = ["─"] * len(spans)
    for sign, event in marks(report):
        at = next((index for index, span in enumerate(spans) if event.t_s < span.end), len(spans) - 1)
        while line[at] != "─" and at < len(line) - 1:
            at += 1
        line[at] = sign
    return "".join(line)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
