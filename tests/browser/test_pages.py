"""The pages in a real browser: what a person would see, in both themes, on a projector and on a telephone."""

from __future__ import annotations

import json

import pytest
import sample

pytestmark = pytest.mark.needs("chromium")

PAGES = ["index.html", "envoy/steady/report.html", "envoy-60/steady/report.html", f"{sample.FAILED}/steady/report.html",
         f"{sample.INVALID}/steady/report.html", "headless/steady/report.html",
         "headless/steady/repeat-2/report.html"]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_clean(look, bundle, name, width, dark):
    page, found = look(bundle / name, width=width, dark=dark)
    assert found == {"contrast": [], "overflow": [], "clipped": []}
    assert page.problems() == []
    white = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    assert white is not dark


def test_the_checks_find_what_they_look_for(look, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><body><main><p style='color: #999'>faint</p><div class=card style='width: 40px'>"
        "<span style='white-space: nowrap'>much too long for its card</span></div>"
        "<svg class=chart width=50 height=20><text x=0 y=10>longer than the chart</text></svg>"
        "<div style='width: 5000px'>wide</div>"
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('broken')</script></main>"
    )
    page, found = look(bad)
    assert any("faint" in line for line in found["contrast"])
    assert "the page is wider than the window" in found["overflow"]
    assert any("much too long" in line for line in found["overflow"])
    assert found["clipped"] == ["cut off in a chart: longer than the chart"]
    problems = "\n".join(page.problems())
    assert "request: http://127.0.0.1:9/x.png" in problems
    assert "broken" in problems


def test_index_fits_a_projector(look, bundle):
    page, _ = look(bundle / "index.html", width=1280)
    fits = "(() => { const s = document.querySelector('.scroll'); return s.scrollWidth <= s.clientWidth; })()"
    assert page.evaluate(fits)


def test_index_shows_each_cell_with_its_verdict(look, bundle):
    page, _ = look(bundle / "index.html")
    cards = page.evaluate(
        "[...document.querySelectorAll('article')].map(a => [a.id, a.querySelector('.badge').innerText, a.innerText])"
    )
    shown = {name: (badge, text) for name, badge, text in cards}
    assert len(cards) == 25
    assert shown[f"{sample.FAILED}-steady"][0] == "✗ FAIL: expected even, observed skewed"
    assert "from 50 (echo-1) to 800 (echo-0)" in shown[f"{sample.FAILED}-steady"][1]
    assert "path under test was not proven" in shown[f"{sample.INVALID}-steady"][1]
    assert "The gateway did not start: port 80." in shown[f"{sample.BROKEN}-steady"][1]
    assert "did not run" in shown[f"{sample.NOT_RUN}-steady"][1]
    assert "3 of 3 repeats passed" in shown["headless-steady"][0]
    assert "1,639 – 2,381" in shown["headless-steady"][1]
    assert "One saturated core explains" in shown["envoy-busy-steady"][1]
    top = page.evaluate("document.querySelector('.verdict').innerText")
    for name in (sample.FAILED, sample.INVALID, sample.BROKEN, sample.NOT_RUN):
        assert name in top


def test_bars_have_the_length_of_their_counts(look, bundle):
    page, _ = look(bundle / "index.html")
    bars = f"[...document.querySelectorAll('#{sample.FAILED}-steady .mini span')]"
    heights = page.evaluate(f"{bars}.map(bar => bar.getBoundingClientRect().height)")
    assert len(heights) == 5
    assert [round(height / heights[0] * 800) for height in heights] == pytest.approx([800, 50, 50, 50, 50], abs=8)
    silent = page.evaluate("document.querySelector('#service-steady .mini span').getBoundingClientRect().height")
    assert silent == 0
    page, _ = look(bundle / sample.FAILED / "steady" / "report.html")
    widths = page.evaluate("[...document.querySelectorAll('.fill')].map(f => f.getBoundingClientRect().width)")
    assert [round(width / widths[0] * 800) for width in widths] == pytest.approx([800, 50, 50, 50, 50], abs=2)


def test_red_is_red_and_green_is_not(look, bundle):
    page, _ = look(bundle / "index.html")

    def tint(name):
        script = f"getComputedStyle(document.getElementById('{name}-steady')).borderTopColor.match(/\\d+/g).map(Number)"
        return page.evaluate(script)

    red, green = tint(sample.FAILED), tint("envoy")
    assert red[0] > 2 * red[1]
    assert green[1] > 2 * green[0]
    word = "getComputedStyle(document.querySelector('.verdict .word')).color.match(/\\d+/g).map(Number)"
    red = page.evaluate(word)
    assert red[0] > 2 * red[1]
    red, green = (look(bundle / name / "steady/report.html")[0].evaluate(word) for name in (sample.FAILED, "envoy"))
    assert red[0] > 2 * red[1]
    assert green[1] > 2 * green[0]


ROWS = "[...document.querySelectorAll('#cells tbody tr')].map(r => r.dataset.cell)"
CARDS = "[...document.querySelectorAll('#cards article')].map(r => r.dataset.cell)"
RATES = "[...document.querySelectorAll('#cells tbody tr')].map(r => r.dataset.rps).filter(Boolean).map(Number)"


def test_sorting_by_mouse_and_by_keyboard(look, bundle):
    page, _ = look(bundle / "index.html")
    before = page.evaluate(ROWS)
    page.click("button[data-sort=rps]")
    rates = page.evaluate(RATES)
    assert rates == sorted(rates, reverse=True)
    rows = page.evaluate(ROWS)
    assert rows != before
    assert page.evaluate(CARDS) == rows
    assert set(rows[-2:]) == {f"{sample.BROKEN}-steady", f"{sample.NOT_RUN}-steady"}  # no figure: last, either way
    page.evaluate("document.querySelector('button[data-sort=rps]').focus()")
    page.press("Enter")
    assert page.evaluate(RATES) == sorted(rates)
    assert set(page.evaluate(ROWS)[-2:]) == set(rows[-2:])
    assert page.evaluate("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    assert page.evaluate("document.getElementById('sorted').textContent") == "Sorted by calls/s, ascending."
    page.click("button[data-sort=status]")
    assert page.evaluate("document.querySelectorAll('#cells tbody tr')[0].className") == "fail"
    assert page.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    assert page.problems() == []


def test_the_keyboard_reaches_everything(look, bundle):
    page, _ = look(bundle / "index.html")
    reached = set()
    for _ in range(120):
        page.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.sort || document.activeElement.getAttribute('href')"))
    assert {"rps", "strategy", "#envoy-steady", "envoy/steady/report.html"} <= reached


def test_text_of_charts_can_be_selected_and_charts_say_what_they_show(look, bundle):
    page, _ = look(bundle / "envoy" / "steady" / "report.html")
    chosen = page.evaluate(
        "(() => { getSelection().selectAllChildren(document.querySelectorAll('svg.chart')[1]);"
        " return getSelection().toString(); })()"
    )
    assert "p99 1.02 ms" in chosen
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    images = [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") in ("image", "img")]
    assert any(name.startswith("Calls a second over 0.5 seconds, stacked by replica") for name in images)
    assert any(name.startswith("Calls by latency, logarithmic: half took at most 0.71 ms") for name in images)


def test_links_lead_to_files_that_are_there(look, bundle):
    for name in PAGES:
        page, _ = look(bundle / name)
        links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        for link in links:
            if link.startswith("#"):
                assert page.evaluate(f"document.getElementById({json.dumps(link[1:])}) !== null"), link
            elif not link.endswith("logs/"):  # collected after the page was written, where the playbook does it
                assert ((bundle / name).parent / link).exists(), (name, link)


def test_printed_pages_are_black_on_white(look, bundle):
    page, _ = look(bundle / "index.html", dark=True)
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
