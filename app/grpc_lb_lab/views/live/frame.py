"""A run on a terminal while it runs: bars a replica, figures, a timeline, events. One frame, whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from grpc_lb_lab.judge.text import count, listing, milliseconds, number, percent
from grpc_lb_lab.model.text import printable as plain

if TYPE_CHECKING:
    from grpc_lb_lab.views.live.view import Row, View

EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = " ▁▂▃▄▅▆▇█"
ASCII = str.maketrans(
    {"·": "-", "→": ">", "–": "-", "…": ".", "µ": "u", "▲": "^"}
    | dict(zip(LEVELS, " __..::##", strict=True))
    | dict(zip(EIGHTHS, " ---=====", strict=True))
    | {"█": "#"}
)
COMMAND = "▲"
SHORTEST_LINE_S = 10
LABEL = 10
RATE, CALLS, STATE = 9, 10, 11
NAMES = 26
FEWEST_EVENTS = 1
PLAIN_ROWS = 12
"""More replicas are only counted in a log's line."""
PHASES = {"waiting": "waiting", "starting": "starting", "running": "running", "over": "over"}
PHASE_STYLES = {"waiting": "dim", "starting": "yellow", "running": "bold green", "over": "bold"}


def render_frame(view: View, *, width: int = 80, height: int = 24, unicode: bool = True, hint: str = "") -> Text:
    """The view as at most ``height`` lines of at most ``width`` columns. ``hint``: for a screen where nothing runs."""
    width = max(40, width)
    lines = [_top(view, width)]
    if view.phase == "waiting":
        lines += [Text(), *(Text(plain(line)) for line in hint.splitlines())]
    else:
        below = [*_figures(view, width), *_timeline(view, width)]
        lines += [Text(plain(view.title)), Text(plain(view.scenario_title))]
        lines += [Text()] if view.scenario_title else []
        lines += _replicas(view, width, max(4, height - len(lines) - len(below) - FEWEST_EVENTS - 2))
        lines += [Text(), *below, Text()]
        lines += _events(view, max(0, height - len(lines)))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    frame = Text("\n", no_wrap=True).join(lines[:height])
    return frame if unicode else _ascii(frame)


def _ascii(frame: Text) -> Text:
    changed = frame.copy()
    changed.plain = frame.plain.translate(ASCII)
    return changed


def _top(view: View, width: int) -> Text:
    if view.phase == "over" and view.problem:
        words, style = "broken", "bold red"
    elif view.silent_s:
        words, style = f"no word for {view.silent_s:.0f} s", "bold yellow"
    else:
        words, style = PHASES[view.phase], PHASE_STYLES[view.phase]
    left = plain(view.headline) or "lb-lab watch"
    room = width - len(words) - 2
    left = left if len(left) <= room else left[: room - 1] + "…"
    return Text.assemble((f"{left:<{room}}  ", "bold"), (words, style))


def _replicas(view: View, width: int, room: int) -> list[Text]:
    """A line a replica; those that have gone make way first, and beyond that a replica is a column."""
    rows = view.rows
    if len(rows) + 1 > room:
        rows = [row for row in rows if row.state != "gone"]
    gone = len(view.rows) - len(rows)
    note = [Text(f"and {count(gone, 'replica')} that {'has' if gone == 1 else 'have'} gone", "dim")] if gone else []
    if len(rows) + 1 + len(note) > room:
        return [*_columns(view, rows, width)[: room - len(note)], *note]
    names = min(NAMES, max([len("replica"), *(len(row.pod) for row in rows)]))
    bar = width - names - RATE - CALLS - STATE - 1
    head = (
        f"{'replica':<{names}} {'':<{bar}}{'share' if view.phase == 'over' else 'a second':>{RATE}}{'calls':>{CALLS}}"
    )
    return [Text(head, "dim"), *(_row(view, row, names, bar) for row in rows), *note]


def _row(view: View, row: Row, names: int, bar: int) -> Text:
    name = plain(row.pod)
    name = name if len(name) <= names else "…" + name[len(name) - names + 1 :]
    figure = percent(row.share) if view.phase == "over" else number(round(row.rate))
    style = "green" if row.state == "new" else "" if row.here else "bright_black"
    return Text.assemble(
        (f"{name:<{names}} ", style),
        (f"{_bar(view.length(row), bar - 1):<{bar}}", "cyan" if row.here else "bright_black"),
        (f"{figure:>{RATE}}{number(row.calls):>{CALLS}}", style),
        (f"  {row.state}", style),
    )


def _columns(view: View, rows: list[Row], width: int) -> list[Text]:
    """Two lines high would be nicer, but 200 replicas shall fit beside all else."""
    least, most = (pick(rows, key=view.length) for pick in (min, max))
    unit = " calls" if view.phase == "over" else " a second"
    figures = [number(round(row.calls if view.phase == "over" else row.rate)) for row in (least, most)]
    lines = [Text(f"{count(len(rows), 'replica')}, a column each: {figures[0]} to {figures[1]}{unit}", "dim")]
    for begin in range(0, len(rows), width):
        part = rows[begin : begin + width]
        line = Text()
        for row in part:
            length = view.length(row)
            line.append(_level(length) if length else "_", "cyan" if row.here else "bright_black")
        lines.append(line)
    return lines


def _figures(view: View, width: int) -> list[Text]:
    room = width - LABEL
    total = f" of {number(view.total)}" if view.total else ""
    time = f"{view.t_s:.1f} s" + (f" of {view.of_s:g} s" if view.of_s else "")
    words = f"  {time}, {number(view.done)}{total} calls"
    bar = max(4, room - len(words))
    latency = f"p50 {milliseconds(view.p50_ms)}, p99 {milliseconds(view.p99_ms)}"
    now = f"{number(round(view.rate))} a second, {latency}, {count(view.connections, 'connection')} open"
    failed: tuple[str, str] = ("none", "green")
    if view.failed:
        codes = listing([f"{code} {number(calls)}" for code, calls in view.errors.items()], 2)
        rate = f", {number(round(view.failed_rate))} a second" if view.phase == "running" else ""
        failed = (f"{number(view.failed)}{rate}: {codes}", "bold red")
    lines = [
        _labelled("progress", (f"{_bar(view.progress, bar):<{bar}}", "blue"), (words, "")),
        _labelled("now", ("the run is over; its report tells the whole story" if view.phase == "over" else now, "")),
        _labelled("errors", failed),
    ]
    if view.problem:
        lines.append(_labelled("problem", (plain(view.problem), "bold red")))
    return lines


def _timeline(view: View, width: int) -> list[Text]:
    """Answered calls, failed calls and events over time; as wide as the load is long, where that is known and short."""
    room = width - LABEL
    columns = max(1, room // max(math.ceil(view.of_s or 1), len(view.seconds), SHORTEST_LINE_S))
    most_seconds = room // columns
    seconds = view.seconds[-most_seconds:]
    first = view.first_second + len(view.seconds) - len(seconds)
    most = max([1, *(sum(second) for second in seconds)])
    answered = "".join(_level(sum(second[:-1]) / most) * columns for second in seconds)
    failed = "".join(_level(second[-1] / most) * columns for second in seconds)
    marks = [" "] * room
    for event in view.events:
        place = int((event.t_s - first) * columns)
        if event.t_s >= first and place < room and marks[place] != COMMAND:
            marks[place] = COMMAND if event.kind == "command" else "·"
    return [
        _labelled("answered", (answered, "cyan")),
        _labelled("failed", (failed, "red")),
        _labelled("events", ("".join(marks), "yellow")),
    ]


def _events(view: View, room: int) -> list[Text]:
    lines = []
    for event in view.events[-room:] if room else []:
        style = "bold yellow" if event.kind == "command" else ""
        lines.append(Text.assemble((f"{event.t_s:+6.1f} s  ", "dim"), (plain(f"{event.kind}: {event.detail}"), style)))
    return lines


def _labelled(label: str, *parts: tuple[str, str]) -> Text:
    return Text.assemble((f"{label:<{LABEL}}", "dim"), *parts)


def _bar(part: float, room: int) -> str:
    """A bar of ``part`` of ``room`` columns, to an eighth of a column; something is never nothing."""
    eighths = max(1, round(part * room * 8)) if part > 0 else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _level(part: float) -> str:
    return LEVELS[max(1, round(part * 8)) if part > 0 else 0]


def plain_line(view: View) -> str:
    """The view in one line, for a log."""
    if view.phase == "waiting":
        return "waiting for a run"
    named = [f"{row.pod} {number(row.calls)}{f' ({row.state})' if row.state else ''}" for row in view.rows]
    rows = ", ".join(named) if len(named) <= PLAIN_ROWS else count(sum(row.here for row in view.rows), "replica")
    latency = "" if view.p99_ms is None else f", p99 {milliseconds(view.p99_ms)}"
    return (
        f"{view.t_s:6.1f} s  {count(view.done, 'call')}, {number(round(view.rate))} a second, "
        f"{number(view.failed)} failed{latency}, {count(view.connections, 'connection')} | {rows}"
    )
