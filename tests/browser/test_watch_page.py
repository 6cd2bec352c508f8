"""The live page in a real browser: before, during and after a run."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import play
import pytest
from tmux_terminal import LAB

pytestmark = pytest.mark.needs("chromium")

ROWS = (
    "[...document.querySelectorAll('#rows tbody tr')]"
    ".map(row => [row.className, row.innerText.trim().split(/\\s+/).join(' ')])"
)
HALF = "180 of 300"


@pytest.fixture
def url(tmp_path):
    command = [LAB, "watch", "--page", "--port", "0", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[2]
        process.terminate()


def wait_for(page, words):
    """What the page says, once ``words`` are in it."""
    deadline = time.monotonic() + 20
    while words not in (text := " ".join(page.evaluate("document.body.innerText").split())):
        assert time.monotonic() < deadline, f"{words!r} is not on the page: {text}"
        time.sleep(0.1)
    return text


def widths(page):
    """The length of each replica's bar, of its track, once they have stopped moving."""
    script = "[...document.querySelectorAll('#rows .fill')].map(f => f.offsetWidth / f.parentElement.offsetWidth)"
    deadline = time.monotonic() + 20
    while page.evaluate("document.getAnimations().length"):
        assert time.monotonic() < deadline, "the bars move for ever"
        time.sleep(0.1)
    return page.evaluate(script)


def test_before_during_and_after_a_run(browser, url, tmp_path):
    page = browser.open(url)
    assert "Start one in a terminal, make lab STRATEGY=envoy" in wait_for(page, "waiting")
    run = play.half(tmp_path)
    text = wait_for(page, HALF)
    assert text.startswith("running run-headless headless · scale-up · local")
    assert f"{play.TITLE}. {play.SCENARIO_TITLE}" in text
    for words in ("6.0 s of 10 s", "calls a second 30", "failed: UNAVAILABLE 12", "2.50 ms", "open connections 4"):
        assert words in text
    assert page.evaluate(ROWS) == [
        ["c0 gone", "echo-a gone 0 40"],
        ["c1", "echo-b 15 65"],
        ["c2", "echo-c 12 60"],
        ["c3 new", "echo-d new 3 3"],
    ]
    assert widths(page) == pytest.approx([0, 1, 0.8, 0.2], abs=0.02)
    assert "+3.0 s command scale: 3 → 5 replicas" in text
    assert page.evaluate("document.querySelectorAll('#timeline .area').length") == 5
    assert page.evaluate("document.querySelectorAll('#timeline .mark.command').length") == 1
    run.end()
    assert wait_for(page, "share").startswith("over")
    assert page.evaluate(ROWS)[0] == ["c0 gone", "echo-a gone 23.8 % 40"]
    assert widths(page) == pytest.approx([40 / 65, 1, 60 / 65, 3 / 65], abs=0.02)
    assert page.problems() == []


def test_the_picture_of_the_last_run_and_then_of_the_next(browser, url, tmp_path):
    play.half(tmp_path).end("the client died")
    page = browser.open(url)
    text = wait_for(page, "the client died")
    assert text.startswith("broken")
    assert HALF in text
    run = play.Play(tmp_path, "envoy")
    run.step(1.0, {"echo-z": 7})
    assert "envoy · scale-up · local" in wait_for(page, "echo-z")
    assert page.evaluate(ROWS)[0][1].startswith("echo-z")
    assert len(page.evaluate(ROWS)) == 1
    assert page.evaluate("document.getElementById('problem').hidden")


def test_areas_are_as_high_as_the_calls(browser, url, tmp_path):
    """Each second's calls stand on one another; failed ones are on top, in red."""
    play.half(tmp_path)
    page = browser.open(url)
    wait_for(page, HALF)
    heights = r"a => [...a.getAttribute('d').matchAll(/ ([\d.]+)/g)].map(found => +found[1])"
    boxes = page.evaluate(f"[...document.querySelectorAll('#timeline .area')].map({heights})")
    floor, ceiling = max(max(box) for box in boxes), min(min(box) for box in boxes)
    unit = (floor - ceiling) / 30  # every second has 30 calls
    failed = boxes[-1]
    second = failed[2 * 4]
    assert (floor - second) / unit == pytest.approx(30, abs=0.1)
    assert (failed[-1 - 2 * 4] - second) / unit == pytest.approx(12, abs=0.1)
    red = page.evaluate("getComputedStyle(document.querySelector('#timeline .area.bad')).fill")
    assert red == "rgb(208, 48, 42)"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_clean(browser, url, tmp_path, width, dark):
    play.half(tmp_path)
    page = browser.open(url, width=width, dark=dark)
    wait_for(page, HALF)
    assert page.evaluate((Path(__file__).parent / "checks.js").read_text()) == {
        "contrast": [],
        "overflow": [],
        "clipped": [],
    }
    assert page.problems() == []
    white = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    assert white is not dark


def test_bars_and_timeline_fit_a_projector(browser, url, tmp_path):
    play.half(tmp_path)
    page = browser.open(url, width=1280, height=720)
    wait_for(page, HALF)
    bottom = page.evaluate("document.getElementById('timeline').getBoundingClientRect().bottom")
    assert bottom < 720
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('#rows .name')).fontSize)")
    assert size >= 16


def test_names_from_elsewhere_are_text(browser, url, tmp_path):
    run = play.Play(tmp_path)
    evil = "<img src=x onerror=document.title='evil'>"
    run.step(1.0, {evil: 5})
    run.event("kill", evil)
    page = browser.open(url)
    assert evil in wait_for(page, "onerror")
    assert page.evaluate("document.images.length") == 0
    assert page.problems() == []


def test_a_server_that_is_gone_is_told(browser, tmp_path):
    command = [LAB, "watch", "--page", "--port", "0", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        page = browser.open(process.stdout.readline().split()[2])
        wait_for(page, "waiting")
        process.terminate()
    wait_for(page, "not connected: is lb-lab watch --page still running?")
