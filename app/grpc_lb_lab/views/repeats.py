"""Repeats of a cell: minimum, median and maximum of each figure, and the repeat that stands for all."""

from __future__ import annotations

from statistics import median
from typing import Any

from grpc_lb_lab.judge.document import Range, RepeatRow, Repeats
from grpc_lb_lab.judge.scenario.repeats import scenario_figures, scenario_ranges
from grpc_lb_lab.model.verdict import WORST_FIRST
from grpc_lb_lab.views import columns


def ranges(reports: list[dict[str, Any]]) -> dict[str, Range]:
    """Each figure over ``reports``; one that no report has is left out."""
    found: dict[str, Range] = {}
    for figure in columns.figures():
        values = [float(value) for value in map(figure.read, reports) if value is not None]
        if values:
            found[figure.key] = Range(min(values), round(median(values), 4), max(values))
    return found


def chosen(reports: dict[int, dict[str, Any] | None]) -> int:
    """The repeat that stands for the cell: the worst verdict, and of several the one nearest to the median calls/s.

    0 when no repeat left a report.
    """
    known = {number: report for number, report in reports.items() if report is not None}
    if not known:
        return 0
    worst = min(WORST_FIRST.index(report["verdict"]["status"]) for report in known.values())
    peers = {n: one for n, one in known.items() if one["verdict"]["status"] == WORST_FIRST[worst]}
    middle = median(report["actual"]["rps"] for report in peers.values())
    return min(peers, key=lambda number: (abs(peers[number]["actual"]["rps"] - middle), number))


def describe_repeats(reports: dict[int, dict[str, Any] | None]) -> Repeats:
    """The repeats as a report shows them."""
    rows = [_row(number, report) for number, report in reports.items()]
    known = [report for report in reports.values() if report is not None]
    return Repeats(chosen(reports), rows, ranges(known), scenario_ranges(known))


def _row(number: int, report: dict[str, Any] | None) -> RepeatRow:
    if report is None:
        return RepeatRow(number, "invalid", "", None, None, None, None)
    return RepeatRow(
        number=number,
        status=report["verdict"]["status"],
        observed=report["verdict"]["observed"],
        servers_hit=report["distribution"]["servers_hit"],
        rps=report["actual"]["rps"],
        p50_ms=report["latency_ms"]["p50"],
        p99_ms=report["latency_ms"]["p99"],
        course=scenario_figures(report),
    )
