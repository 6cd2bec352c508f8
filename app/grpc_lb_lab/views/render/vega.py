"""Vega-Lite charts as SVG that lives inside a page: no script, no network, text stays text.

Colours are CSS variables of the page (``var(--c0)``), so a chart turns dark with it. The renderer (vl-convert, Vega in
an embedded engine) takes 0.3 s to start: it is imported by the first chart.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

VEGA_LITE = "5.20"
"""The version the specs are written for; vl-convert carries several."""

CONFIG: dict[str, Any] = {
    "aria": False,  # the figure around the chart describes it as a whole
    "background": None,
    "padding": 2,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": 13, "titleFontSize": 13,
        "titleFontWeight": "normal", "gridColor": "var(--line)", "domainColor": "var(--line)",
        "tickColor": "var(--line)",
    },
    "header": {"labelColor": "var(--ink)", "titleColor": "var(--soft)"},
    "title": {"color": "var(--ink)", "fontSize": 14, "anchor": "start", "fontWeight": 600},
    "text": {"color": "var(--ink)", "fontSize": 13},
}  # fmt: skip

_SIZE = re.compile(r'^<svg[^>]*? width="([\d.]+)" height="([\d.]+)"[^>]*>')
_GEOMETRY = re.compile(r'(?<= )(d|transform)="[^"]*"')
_ID = re.compile(r' id="([^"]+)"')
_NUMBER = re.compile(r"\d+\.\d{2,}")


_left_out = ""


def leave_out(reason: str) -> None:
    """From now on words stand in the place of charts: why, and what the chart would show."""
    global _left_out
    _left_out = reason


def left_out() -> str:
    """Why there are no charts; empty where there are."""
    return _left_out


def draw(spec: dict[str, Any], description: str, name: str) -> Markup:
    """The chart ``spec`` (Vega-Lite, its data inside) as an SVG element; ``description`` is what it says in words.

    ``name`` is unique in the page: parts of the chart that are named carry it.
    """
    if _left_out:
        return Markup('<p class="soft">No chart: {}. {}</p>').format(_left_out, description)

    import vl_convert

    text = vl_convert.vegalite_to_svg(_clean(spec) | {"config": CONFIG}, vl_version=VEGA_LITE, allowed_base_urls=[])
    size = _SIZE.match(text)
    if not size:
        raise ValueError("vl-convert answered with something that is no SVG of a known size")
    head = (
        f'<svg class="chart" viewBox="0 0 {size[1]} {size[2]}" style="--chart-width: {size[1]}px" role="img" '
        f'aria-label="{escape(description)}">'
    )
    body = _GEOMETRY.sub(_shorter, _renamed(text[size.end() :], name))
    return Markup(head + body)  # Vega escapes what it draws; the description is escaped here


def _renamed(text: str, name: str) -> str:
    """Vega numbers clip paths through all charts of the process; the same chart shall be the same text."""
    for index, old in enumerate(dict.fromkeys(_ID.findall(text))):
        text = text.replace(f'id="{old}"', f'id="{name}-{index}"').replace(f"url(#{old})", f"url(#{name}-{index})")
    return text


def _shorter(geometry: re.Match[str]) -> str:
    """A tenth of a pixel is fine enough, and makes a page of 60 replicas a third smaller."""
    return _NUMBER.sub(lambda number: f"{float(number[0]):.1f}", geometry[0])


def _clean(value: Any) -> Any:
    """A control character in a text aborts the whole process (github.com/vega/vl-convert issue 220)."""
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, str) and not value.isprintable():
        return "".join(character if character.isprintable() else "?" for character in value)
    return value
