"""Pages of scenarios in a real browser: the timeline with its events, the table of the two figures."""

from __future__ import annotations

import course_factory as acted
import pytest
from grpc_lb_lab import cli
from grpc_lb_lab.views.artifacts import write_report

pytestmark = pytest.mark.needs("chromium")

PAGES = ["index.html", "headless/scale-up/report.html", "headless/dns-trap/report.html", "headless/hang/report.html",
         "fresh/scale-up/report.html", "fresh/scale-up/repeat-2/report.html"]  # fmt: skip


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    """Two strategies in three scenarios, one of them with repeats, one of them failed."""
    run = tmp_path_factory.mktemp("artifacts") / "20261122T010203Z-compare"
    cells = {
        "headless/scale-up": acted.scale_up(None),
        "headless/dns-trap": acted.replaced(errors=2.0),
        "headless/hang": acted.hung(),
        **{f"fresh/scale-up/repeat-{n}": acted.scale_up(at) for n, at in enumerate((2.4, 1.7, 5.0), 1)},
    }
    for place, report in cells.items():
        write_report(report, run / place, page=False)
    assert cli.main(["summary", str(run), "--quiet"]) == 1
    return run


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_clean(look, courses, name, width, dark):
    page, found = look(courses / name, width=width, dark=dark)
    assert found == {"contrast": [], "overflow": [], "clipped": []}
    assert page.problems() == []


def test_the_table_has_both_figures_of_every_cell(look, courses):
    page, _ = look(courses / "index.html")
    rows = page.evaluate(
        "[...document.querySelectorAll('table.courses')].map(t => [...t.querySelectorAll('tbody tr')]"
        ".map(r => [...r.children].map(c => c.innerText.trim())))"
    )
    assert [row[0] for row in rows[0]] == ["fresh", "headless"]
    assert rows[0][0][1:] == ["–", "–", "1.71 / 2.41 / 5.06 s"]
    assert [cell.split("\n")[0] for cell in rows[0][1][1:]] == ["8.02 s ✗", "never", "never"]
    assert rows[1][1][1].startswith("5.99 s")
    assert "600 failed" in rows[1][1][1]
    assert page.evaluate("document.querySelector('table.courses a').getAttribute('href')") == "#fresh-scale-up"


def test_the_timeline_shows_where_things_happened(look, courses):
    page, _ = look(courses / "headless" / "dns-trap" / "report.html")
    texts = "[...document.querySelector('svg.chart').querySelectorAll('text')]"
    words = page.evaluate(f"{texts}.map(t => [t.textContent, t.getBoundingClientRect().left])")
    left = dict(words)
    second = (left["15"] - left["5"]) / 10
    assert left["1 replace 3 replicas"] == pytest.approx(left["5"], abs=second)
    assert left["shares back after 8.02 s"] == pytest.approx(left["13"], abs=second)
    assert {"▲", "▼"} <= set(left)
    tiles = page.evaluate("[...document.querySelectorAll('.tile')].map(t => t.innerText.replace('\\n', ' '))")
    assert tiles[:2] == ["Shares back 8.02 s", "Error window 5.99 s"]


def test_both_charts_have_the_same_time_axis(look, courses):
    page, _ = look(courses / "fresh" / "scale-up" / "report.html")
    find = "[...document.querySelectorAll('svg.chart')].slice(0, 2).map(s => [...s.querySelectorAll('text')]"
    left = page.evaluate(f"{find}.find(t => t.textContent === '10').getBoundingClientRect().left)")
    assert left[0] == pytest.approx(left[1], abs=3)
