"""The report on a terminal: a line a replica, the figures, and the verdict with its cause last."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from grpc_lb_lab.judge.text import number, percent
from grpc_lb_lab.model.text import printable
from grpc_lb_lab.views.render import lines
from grpc_lb_lab.views.render.scenario import scenario_lines, timeline_lines
from grpc_lb_lab.views.render.special_figures import extra_lines

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Backend, Report

ALL_SHOWN = 16
"""Up to so many replicas each get a line; beyond that the busiest and the least busy ``ENDS`` each."""

ENDS = 4
STATUS_STYLES = {"pass": "bold green", "fail": "bold red", "invalid": "bold yellow", "observed": "bold cyan"}
LABEL_WIDTH = 11
MAX_BAR = 50
_ASCII = str.maketrans(
    {"→": ">", "█": "#", "·": "-", "–": "-", "±": "+-", "…": ".", "×": "x", "α": "a", "µ": "u",
     "▁": ".", "▂": ":", "▃": "=", "▄": "+", "▅": "*", "▆": "%", "▇": "@", "─": "-"}
)  # fmt: skip


def render_terminal(report: Report, *, width: int = 80, colour: bool = False, unicode: bool = True) -> str:
    """The report as text of at most ``width`` columns; without ``colour`` no escape sequence is in it."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(40, width),
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    run = report.run
    title = f"{run.strategy} · {run.scenario} · {run.cluster} · {report.strategy.title}"
    console.print(Text(printable(title), "bold"))
    console.print()
    for line in _replica_lines(report, console.width):
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    console.print()
    for label, value in _figures(report):
        console.print(_labelled(label, value, console.width))
    console.print()
    console.print(Text(lines.verdict_line(report), STATUS_STYLES[report.verdict.status]))
    console.print(Text(printable(report.verdict.cause)))
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
    return text if unicode else text.translate(_ASCII)


def _figures(report: Report) -> list[tuple[str, str]]:
    figures = [
        ("spread", lines.spread_line(report)),
        ("calls", lines.calls_line(report)),
        ("errors", lines.errors_line(report)),
        ("latency", lines.latency_line(report)),
        ("path", lines.path_line(report)),
        ("counted", report.reconciliation.detail),
        *scenario_lines(report),
        *extra_lines(report),
    ]
    return [(label, printable(value)) for label, value in figures]


def _labelled(label: str, value: str, width: int) -> Text:
    """Wrapped lines hang under the value."""
    text = Text(f"{label:<{LABEL_WIDTH}}", "dim")
    wrapped = Text(value).wrap(Console(width=width, file=io.StringIO()), width - LABEL_WIDTH)
    for index, line in enumerate(wrapped):
        text.append(("\n" + " " * LABEL_WIDTH if index else "") + line.plain.rstrip(), "default")
    return text


def _replica_lines(report: Report, width: int) -> list[Text]:
    backends = report.backends
    if report.course:
        return [_timeline_line(*line) for line in timeline_lines(report, width)]
    if len(backends) <= ALL_SHOWN:
        return _bars(backends, backends, width)
    ordered = sorted(backends, key=lambda backend: -backend.requests)
    shown = _bars(ordered[:ENDS] + ordered[-ENDS:], backends, width)
    middle = ordered[ENDS:-ENDS]
    span = f"{number(middle[-1].requests)} to {number(middle[0].requests)} calls"
    return [*shown[:ENDS], Text(f"… {number(len(middle))} more replicas, {span} each", "dim"), *shown[ENDS:]]


def _timeline_line(start: str, chart: str, mark: str) -> Text:
    """Replicas that come are green, failed calls red; the time is dim."""
    styles = {"new": "green", "failed": "red", "axis": "dim"}
    text = Text(f"{start}  ", "dim" if mark == "axis" else "")
    text.append(chart, styles.get(mark, "cyan"))
    return text


def _bars(shown: list[Backend], everyone: list[Backend], width: int) -> list[Text]:
    """Name, count, share, bar; the longest bar is the busiest replica of all."""
    most = max((backend.requests for backend in everyone), default=0)
    digits = len(number(most))
    names = max((len(backend.pod) for backend in shown), default=0)
    names = min(names, max(8, width - digits - 24))
    room = max(4, min(MAX_BAR, width - names - digits - 14))
    return [_bar(backend, names, digits, room, most) for backend in shown]


def _bar(backend: Backend, names: int, digits: int, room: int, most: int) -> Text:
    name = printable(backend.pod)
    name = name if len(name) <= names else "…" + name[len(name) - names + 1 :]
    length = max(1, round(backend.requests / most * room)) if backend.requests else 0
    text = Text(f"{name:<{names}}  {number(backend.requests):>{digits}}  {percent(backend.share):>7}  ")
    text.append("█" * min(length, room - _mark_width(backend)), "cyan")
    text.append(_mark(backend), "yellow")
    return text


def _mark(backend: Backend) -> str:
    if not backend.in_inventory:
        return " not in the inventory"
    return "" if backend.ready else " not ready"


def _mark_width(backend: Backend) -> int:
    return len(_mark(backend))
