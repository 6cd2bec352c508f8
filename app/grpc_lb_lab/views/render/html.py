"""``report.html`` and ``index.html``: one self-contained file each, no network, light and dark."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from grpc_lb_lab.judge import text
from grpc_lb_lab.judge.scenario import repeats
from grpc_lb_lab.model.verdict import GOOD
from grpc_lb_lab.views.columns import COLUMNS
from grpc_lb_lab.views.render import charts, lines, scenario, scenario_charts
from grpc_lb_lab.views.render.cost import cost_chart
from grpc_lb_lab.views.render.cpu import cpu_chart
from grpc_lb_lab.views.render.scenario_table import RULE, scenario_tables
from grpc_lb_lab.views.render.vega import draw

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report
    from grpc_lb_lab.views.summary import Summary

HOP_WORDS = {
    "client": "client",
    "server": "servers",
    "service": "Service (connection)",
    "envoy-client": "Envoy beside the client",
    "envoy-server": "Envoy beside the server",
    "istio-client": "Istio beside the client",
    "istio-server": "Istio beside the server",
    "gateway": "gateway",
    "port-forward": "port-forward",
    "unknown": "unknown",
}

TABLE_LIMIT = 20
"""Up to so many replicas each get a line with a bar; beyond that a column chart, and the lines folded away."""

STATUS_WORDS = {"pass": "pass", "fail": "FAIL", "invalid": "INVALID", "observed": "observed"}
STATUS_SIGNS = {"pass": "✓", "fail": "✗", "invalid": "?", "observed": "○"}


@dataclass(frozen=True)
class Links:
    """Files beside a page: the index above it and the names of the files in its folder ``logs``."""

    index: str
    logs: list[str]


def load() -> None:
    """Have the templates loaded before the first page."""
    for name in ("report.html.j2", "index.html.j2", "index.js"):
        _environment().get_template(name)


def render_html(report: Report, links: Links | None = None) -> str:
    """The report as a page; everything that comes from outside is escaped by the template engine."""
    happened = report.course
    drawn = {
        "timeline": scenario_charts.scenario_timeline_chart(report, happened)
        if happened
        else charts.timeline_chart(report),
        "latency": charts.latency_chart(report),
        "latency_course": scenario_charts.scenario_latency_chart(report, happened) if happened else None,
    }
    many = len(report.backends) > TABLE_LIMIT
    return _page(
        "report.html.j2",
        report=report,
        links=links,
        columns=_draw(charts.replicas_chart(report), "replicas") if many and report.actual.ok else None,
        many=many,
        configuration=_yaml(report.configuration),
        most=max((backend.requests for backend in report.backends), default=0) or 1,
        **{name: _draw(chart, name) for name, chart in drawn.items()},
    )


def render_index(summary: Summary) -> str:
    """The run's cells as a chart, a table and cards."""
    return page_with_script(
        "index.html.j2",
        "index.js",
        summary=summary,
        columns=COLUMNS,
        cost=_draw(cost_chart(summary.cells), "cost"),
        courses=scenario_tables(summary.cells),
        scenario_rule=RULE,
        cpu=_draw(cpu_chart(summary.cells), "cpu"),
        troubled=sorted((cell for cell in summary.cells if cell.status not in GOOD), key=lambda cell: cell.status),
        scenarios=sorted({cell.scenario for cell in summary.cells}),
        repeated=any(cell.repeats > 1 for cell in summary.cells),
    )


def page_with_script(page: str, script: str, **values: Any) -> str:
    """A page of the templates that runs the script ``script`` and no other."""
    code = _environment().get_template(script).render(**values)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return _page(page, script=code, script_source=f"'sha256-{digest}'", **values)


def _draw(chart: charts.Chart | None, name: str) -> str | None:
    return draw(chart.spec, chart.description, name) if chart else None


def _yaml(configuration: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=100) if configuration else ""


def _page(name: str, **values: Any) -> str:
    return _environment().get_template(name).render(**values) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grpc_lb_lab.views", "templates"),
        autoescape=lambda name: not (name or "").endswith((".js", ".css")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        colour=charts.colour,
        lines=lines,
        scenario_words=scenario,
        scenario_charts=scenario_charts,
        repeats_words=repeats,
        hop_words=HOP_WORDS,
        status_words=STATUS_WORDS,
        status_signs=STATUS_SIGNS,
    )
    environment.filters.update(
        number=text.number,
        percent=text.percent,
        ms=text.milliseconds,
        us=text.microseconds,
        figure=text.figure,
        counted=text.count,
        against=text.against,
        seconds=text.seconds,
        thousands=lambda value, digits: f"{value:,.{digits}f}",
    )
    return environment
