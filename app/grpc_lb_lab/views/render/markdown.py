"""``report.md``: the report for a pull request, a wiki or a mail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.text import number, percent
from grpc_lb_lab.views.render import lines
from grpc_lb_lab.views.render.scenario import at_words, scenario_lines, share_rule, timeline_lines, told_clocks
from grpc_lb_lab.views.render.special_figures import extra_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.judge.document import Report

BAR_WIDTH = 20


def render_markdown(report: Report) -> str:
    """GitHub-flavoured Markdown; text from strategy files and servers is escaped."""
    run = report.run
    parts = [
        f"# {escape(run.strategy)} · {escape(run.scenario)} · {escape(run.cluster)}",
        escape(report.strategy.shows),
        f"**{escape(lines.verdict_line(report))}.** {escape(report.verdict.cause)}",
        *_course(report),
        _replicas(report),
        table(["figure", "value"], [[label, escape(value)] for label, value in _figures(report)]),
        *_events(report),
        *_notes(report),
        f"Run {escape(run.id)}, started {escape(run.started_at)}. Versions: {escape(_versions(report))}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Characters that Markdown or HTML would act on are made plain; line breaks become spaces."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~#!@])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # an underscore inside a word is no emphasis


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of cells that are escaped already; columns in ``right`` are aligned to the right."""
    rule = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def bar(value: int, most: int) -> str:
    """A bar of blocks, its length relative to ``most``."""
    length = max(1, round(value / most * BAR_WIDTH)) if value else 0
    return "█" * length


def _replicas(report: Report) -> str:
    most = max((backend.requests for backend in report.backends), default=0)
    rows = [
        [escape(backend.pod), number(backend.requests), percent(backend.share), bar(backend.requests, most)]
        for backend in report.backends
    ]
    return table(["replica", "calls", "share", ""], rows, right=(1, 2))


def _course(report: Report) -> list[str]:
    """What was expected of a scenario, its timeline, and the clocks of every replica that came."""
    course = report.course
    if course is None:
        return []
    checks = [[one.what, escape(one.expected), escape(one.observed), _MET[one.met]] for one in course.checks]
    chart = "\n".join(f"{start}  {drawn}".rstrip() for start, drawn, _ in timeline_lines(report, 100))
    rule = f"A share is {share_rule(course)}."
    parts = [
        table(["what", "expected", "observed", ""], checks),
        f"```text\n{chart.replace('`', '?')}\n```",
        escape(rule),
    ]
    if course.clocks:
        names = told_clocks(course)
        rows = [
            [escape(one.pod), *(at_words(getattr(one, key), one.command_s) for _, key in names)]
            for one in course.clocks
        ]
        head = ["replica, seconds after the command", *(name for name, _ in names)]
        parts.append(table(head, rows, right=range(1, len(head))))
    return parts


_MET = {True: "✅", False: "❌"}


def _figures(report: Report) -> list[tuple[str, str]]:
    figures = report.distribution
    return [
        ("servers hit", f"{number(figures.servers_hit)} of {number(figures.replicas)}"),
        ("expected per server", number(round(figures.expected_per_server, 1))),
        ("variance", f"{number(round(figures.variance, 1))} ({lines.fairness_line(report)})"),
        ("calls", lines.calls_line(report)),
        ("errors", lines.errors_line(report)),
        ("latency", lines.latency_line(report)),
        ("connections", lines.connections_line(report)),
        ("CPU a call", f"{lines.cpu_line(report)}{'. ' if report.cpu.saturated else ''}{report.cpu.saturated}"),
        ("path", lines.path_line(report)),
        ("counted", report.reconciliation.detail),
        ("load", lines.load_line(report)),
        *scenario_lines(report),
        *extra_lines(report),
    ]


def _events(report: Report) -> list[str]:
    if not report.events:
        return []
    rows = [[f"{event.t_s:.1f}", escape(event.kind), escape(event.detail)] for event in report.events]
    return ["## Events", table(["t (s)", "event", "detail"], rows, right=(0,))]


def _notes(report: Report) -> list[str]:
    return ["\n".join(f"- {escape(note)}" for note in report.notes)] if report.notes else []


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in report.run.versions.items()) or "not recorded"
