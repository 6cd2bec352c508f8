"""The figures of a cell: one row each, from which every table, page and comparison of cells is made.

To add one: the recorder measures it, the merge puts it into the report, and a row of ``COLUMNS`` reads it there. It is
then in the ranges of repeats, ``summary.json`` (``figures``), ``summary.md``, ``index.html`` and ``lb-lab diff``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from grpc_lb_lab.judge.text import against, count, microseconds, milliseconds, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.views.cells import Cell

REPEATED = 1.1
"""Ratio of the larger to the smaller median of repeats from which on a figure that jitters counts as moved."""


class Jitter(NamedTuple):
    """How much a figure differs by itself: ``single`` is the ratio of single runs from which on it counts as moved."""

    single: float


class Exact(NamedTuple):
    """A whole number that does not jitter: any difference counts, between cells that are ``comparable``."""

    comparable: Callable[[Cell, Cell], bool] = lambda _a, _b: True


class Figure(NamedTuple):
    """What is measured, over the repeats and in a comparison of bundles.

    ``key``: its name in ``summary.json``. ``read``: from a parsed report, None for not measured. ``of``: what a cell
    shows, its median unless told otherwise. ``noise`` None: not compared. ``more_is_better`` None: neither is.
    """

    key: str
    name: str
    read: Callable[[dict[str, Any]], float | None]
    words: Callable[[float], str] = number
    noise: Jitter | Exact | None = None
    more_is_better: bool | None = None
    shown: Callable[[Cell], float | None] | None = None

    def of(self, cell: Cell) -> float | None:
        """The figure of a cell; None where nobody measured it."""
        return self.shown(cell) if self.shown else cell.median(self.key)


class Column(NamedTuple):
    """A column of the tables of cells, and a line of each cell's card.

    ``key`` sorts the page's table, by ``value``; ``highest_first``: at the first click. ``heading``: in Markdown and,
    unless there is a ``narrow`` one, on the page. ``words``: the figure of a cell; ``page_words`` and ``card_words``
    where the page writes it otherwise. ``digits`` of minimum and maximum over repeats, which are told beside it.
    ``alarming``: red where there is any. ``starred``: marked where one process was short of CPU. ``sentence``: what
    JUnit says of it.
    """

    key: str
    heading: str
    figures: tuple[Figure, ...]
    words: Callable[[Cell], str]
    value: Callable[[Cell], float | None]
    highest_first: bool = False
    narrow: str = ""
    card: str = ""
    page_words: Callable[[Cell], str] | None = None
    card_words: Callable[[Cell], str] | None = None
    digits: int | None = None
    alarming: bool = False
    starred: bool = False
    sentence: Callable[[Cell], str] | None = None

    def range_key(self, cell: Cell) -> str:
        """The figure whose minimum and maximum are told beside it: where a cell ran several times, or empty."""
        known = cell.repeats > 1 and self.digits is not None and self.figures[0].key in cell.figures
        return self.figures[0].key if known else ""

    def css(self, cell: Cell) -> str:
        """Classes of its place in the page's table."""
        return "n" + (" alarm" if self.is_alarm(cell) else "") + (" cpu" if self.starred else "")

    def is_alarm(self, cell: Cell) -> bool:
        """Whether it stands in red."""
        return self.alarming and bool(self.value(cell))


def column(figure: Figure, key: str = "", **more: Any) -> Column:
    """The column of one figure."""

    def words(cell: Cell) -> str:
        value = figure.of(cell)
        return "–" if value is None else figure.words(value)

    given: dict[str, Any] = {"heading": figure.name, "words": words, "value": figure.of, **more}
    return Column(key or figure.key, figures=(figure,), **given)


def _whole(value: float) -> str:
    return number(round(value))


def _cpu(part: str, name: str) -> Figure:
    def read(report: dict[str, Any]) -> float | None:
        found: float | None = report.get("cpu", {}).get(f"{part}_us_per_call")
        return found

    return Figure(f"{part}_us", name, read, microseconds, Jitter(1.5), False)


CPU = (
    _cpu("client", "client CPU a call"),
    _cpu("proxies", "proxies' CPU a call"),
    _cpu("servers", "servers' CPU a call"),
)


def _cpu_words(cell: Cell, between: str = " / ") -> str:
    """Microseconds of client, proxies and servers: ``80 / 110 / 170``, ``–`` for what is not known."""
    parts = (figure.of(cell) for figure in CPU)
    return between.join("–" if part is None else f"{part:,.0f}" for part in parts)


def _cpu_sum(cell: Cell) -> float | None:
    client, proxies, servers = (figure.of(cell) for figure in CPU)
    return None if client is None else client + (proxies or 0) + (servers or 0)


def _cpu_card(cell: Cell) -> str:
    """``client 80 µs, servers 120 µs``, and what lies between where there is something."""
    client, proxies, servers = (microseconds(figure.of(cell)) for figure in CPU)
    between = f", proxies {proxies}" if cell.proxied or cell.proxies_us is not None else ""
    return f"client {client}{between}, servers {servers}".replace(" µs", "\N{NO-BREAK SPACE}µs")


RATE = Figure("rps", "calls/s", lambda report: report["actual"]["rps"], _whole, Jitter(1.5), True)

COLUMNS = [
    column(
        Figure(
            "servers_hit", "servers hit", lambda report: report["distribution"]["servers_hit"], number,
            # Not where chance deals connections.
            Exact(lambda a, b: "spread" not in (a.observed, b.observed) and a.replicas == b.replicas),
            shown=lambda cell: cell.servers_hit,
        ),
        "hit", value=lambda cell: cell.servers_hit / (cell.replicas or 1), highest_first=True,
        words=lambda cell: f"{cell.servers_hit} of {cell.replicas}",
    ),
    column(RATE, highest_first=True, digits=0, sentence=lambda cell: f"{_whole(cell.rps)} calls/s"),
    Column(
        "overhead", "against baseline", (), words=lambda cell: against(cell.overhead), value=lambda cell: cell.overhead
    ),
    column(
        Figure("p50_ms", "p50", lambda report: report["latency_ms"]["p50"], milliseconds, Jitter(1.5), False),
        "p50", digits=2,
    ),
    column(
        Figure("p99_ms", "p99", lambda report: report["latency_ms"]["p99"], milliseconds, Jitter(4.0), False),
        "p99", digits=2,
    ),
    column(
        Figure(
            "failed", "failed calls", lambda report: report["actual"]["failed"], number, Exact(), False,
            shown=lambda cell: cell.failed,
        ),
        heading="failed", alarming=True, sentence=lambda cell: count(cell.failed, "failed call"),
    ),
    column(
        Figure(
            "connections", "connections", lambda report: report["connections"]["client"], number, Exact(),
            shown=lambda cell: cell.connections,
        ),
        narrow="conns",
    ),
    Column(
        "cpu", "CPU a call, µs: client / proxies / servers", CPU, _cpu_words, _cpu_sum,
        narrow="CPU a call, µs", card="CPU a call", page_words=lambda cell: _cpu_words(cell, "/"), card_words=_cpu_card,
        starred=True,
    ),
]  # fmt: skip


def figures() -> list[Figure]:
    """All figures, in the order of their columns."""
    return [figure for one in COLUMNS for figure in one.figures]
