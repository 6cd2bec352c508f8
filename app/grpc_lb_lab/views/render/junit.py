"""``junit.xml``: one test case a cell, for the test view of a CI."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.text import count, number
from grpc_lb_lab.model.verdict import GOOD
from grpc_lb_lab.views.columns import COLUMNS
from grpc_lb_lab.views.render.scenario_table import figures_words

if TYPE_CHECKING:
    from grpc_lb_lab.views.cells import Cell
    from grpc_lb_lab.views.summary import Summary


def render_junit(summary: Summary) -> str:
    """A failed cell is a failure, an invalid one an error: nothing was learned; the message is the cause."""
    statuses = [cell.status for cell in summary.cells]
    totals = {
        "name": f"grpc-lb-lab {_clean(summary.run)}",
        "tests": str(len(statuses)),
        "failures": str(statuses.count("fail")),
        "errors": str(statuses.count("invalid")),
        "time": _seconds(sum(cell.wall_s or 0.0 for cell in summary.cells)),
    }
    root = ElementTree.Element("testsuites", totals)
    more = {"skipped": "0", "hostname": _clean(summary.cluster), "timestamp": summary.started_at[:19]}
    suite = ElementTree.SubElement(root, "testsuite", totals | more)
    for cell in summary.cells:
        _case(suite, cell)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, cell: Cell) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": f"grpc-lb-lab.{_clean(cell.scenario)}",
            "name": _clean(cell.strategy),
            "time": _seconds(cell.wall_s or 0.0),
        },
    )
    if cell.status not in GOOD:
        kind = "failure" if cell.status == "fail" else "error"
        what = f"{cell.expected or 'unknown'} expected, {cell.observed or 'nothing'} observed"
        problem = ElementTree.SubElement(case, kind, {"message": _clean(cell.cause), "type": what})
        problem.text = _clean(f"{cell.verdict_line}\n{cell.cause}")
    ElementTree.SubElement(case, "system-out").text = _clean(_facts(cell))


def _facts(cell: Cell) -> str:
    if not cell.report:
        return cell.cause
    counts = ", ".join(number(calls) for calls in cell.counts[:100])
    return (
        f"{cell.verdict_line}. {cell.cause}\npath: {' > '.join(cell.path)}\ncalls by replica: {counts}\n"
        f"{', '.join(column.sentence(cell) for column in COLUMNS if column.sentence)}, {count(cell.repeats, 'run')}"
        + (f"\n{figures_words(cell.course)}" if cell.course else "")
    )


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: str) -> str:
    """XML 1.0 has no place for control characters, escaped or not."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
