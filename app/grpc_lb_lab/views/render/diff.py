"""The views of a comparison of two bundles: text for a terminal, Markdown for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge.text import count
from grpc_lb_lab.views.render.markdown import escape, table

if TYPE_CHECKING:
    from grpc_lb_lab.views.diff import Change, Diff

MAX_LENGTH = 60_000


def headline(diff: Diff) -> str:
    """What came out, in a line."""
    hard = sum(change.kind != "figure" for change in diff.changes)
    soft = len(diff.changes) - hard
    verdicts = f"{count(hard, 'change')} of class or verdict" if hard else "no change of class or verdict"
    figures = f"{count(soft, 'figure')} moved beyond noise" if soft else "no figure moved beyond noise"
    return f"{count(diff.compared, 'cell')} compared: {verdicts}, {figures}"


def render_diff_text(diff: Diff) -> str:
    """Changes grouped by cell; ``!`` marks a class or a verdict."""
    lines = [f"{diff.a} ({diff.a_cluster}) → {diff.b} ({diff.b_cluster})", headline(diff)]
    for change in _in_order(diff):
        mark = "!" if change.kind != "figure" else " "
        place = f"{change.strategy}/{change.scenario}"
        lines.append(f"{mark} {place}: {change.what} {change.before} → {change.after}{_way(change)}")
    lines += [f"  only in {name}: {', '.join(places)}" for name, places in _lonely(diff)]
    lines += [f"  {note}" for note in diff.notes]
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"


def render_diff_markdown(diff: Diff) -> str:
    """A headline and a table; rows that do not fit a comment are counted."""
    icon = "❌" if any(change.kind != "figure" and not change.better for change in diff.changes) else "✅"
    title = f"{escape(diff.a)} ({escape(diff.a_cluster)}) → {escape(diff.b)} ({escape(diff.b_cluster)})"
    parts = [f"**{icon} {headline(diff)}**", title]
    rows = [
        [escape(one.strategy), escape(one.scenario), one.what, escape(one.before), escape(one.after) + _way(one)]
        for one in _in_order(diff)
    ]
    shown = rows
    while shown and sum(len(cell) + 3 for row in shown for cell in row) > MAX_LENGTH:
        shown = shown[: len(shown) * 3 // 4]
    if rows:
        parts.append(table(["strategy", "scenario", "what", "before", "after"], shown))
    if len(shown) < len(rows):
        parts.append(f"{len(rows) - len(shown)} more changes are not shown.")
    parts += [f"Only in {escape(name)}: {escape(', '.join(places))}." for name, places in _lonely(diff)]
    parts += [escape(note) for note in diff.notes]
    return "\n\n".join(parts) + "\n"


def _in_order(diff: Diff) -> list[Change]:
    """Verdicts and classes first."""
    return sorted(diff.changes, key=lambda change: change.kind == "figure")


def _way(change: Change) -> str:
    return {True: ", better", False: ", worse", None: ""}[change.better]


def _lonely(diff: Diff) -> list[tuple[str, list[str]]]:
    return [(name, places) for name, places in ((diff.a, diff.only_a), (diff.b, diff.only_b)) if places]
