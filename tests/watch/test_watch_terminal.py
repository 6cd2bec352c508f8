"""The view in a real terminal: what a person sees before, during and after a run."""

from __future__ import annotations

import re

import play
import pytest

pytestmark = pytest.mark.needs("tmux")

HALF = "180 of 300 calls"
CLEARS = re.compile(rb"\x1b\[[0-3]?J|\x1b\[2?K|\x1bc")


def line_of(screen, words):
    return next(line for line in screen.splitlines() if words in line)


def bar(screen, words):
    return sum(line_of(screen, words).count(block) for block in "█▉▊▋▌▍▎▏")


def test_before_during_and_after_a_run(watching, tmp_path):
    terminal = watching()
    screen = terminal.wait_for("waiting")
    assert "make lab STRATEGY=envoy" in screen
    run = play.half(tmp_path)
    screen = terminal.wait_for(HALF)
    assert screen.splitlines()[0].startswith("headless · scale-up · local")
    assert screen.splitlines()[0].endswith("running")
    assert screen.splitlines()[1:3] == [play.TITLE, play.SCENARIO_TITLE]
    assert re.search(r"echo-b +█+ +15 +65$", screen, re.MULTILINE)
    assert bar(screen, "echo-b") > 1.2 * bar(screen, "echo-c") > bar(screen, "echo-d") > 0
    assert line_of(screen, "echo-d").endswith("new")
    assert re.search(r"echo-a +0 +40  gone$", screen, re.MULTILINE)
    assert "6.0 s of 10 s, 180 of 300 calls" in screen
    assert "30 a second, p50 0.40 ms, p99 2.50 ms, 4 connections open" in screen
    assert "12, 0 a second: UNAVAILABLE 12" in screen
    assert "+3.0 s  command: scale: 3 → 5 replicas" in screen
    place = {name: line_of(screen, name) for name in ("answered", "failed", "events")}
    assert place["events"].index("▲") == 10 + 3 * 7
    assert [column for column in range(10, 80, 7) if place["failed"][column : column + 7].strip()] == [10 + 4 * 7]
    assert place["answered"][10:].rstrip().startswith("█" * 28)
    run.end()
    screen = terminal.wait_for("the run is over")
    assert screen.splitlines()[0].endswith("over")
    assert re.search(r"echo-b +█+ +38\.7 % +65$", screen, re.MULTILINE)
    assert bar(screen, "echo-b") > bar(screen, "echo-a") > 0


def test_after_a_run_its_last_picture_is_there(watching, tmp_path):
    play.half(tmp_path).end("the client died")
    screen = watching().wait_for("headless · scale-up")
    assert screen.splitlines()[0].endswith("broken")
    assert "problem   the client died" in screen
    assert "180 of 300 calls" in screen


def test_the_next_run_takes_the_screen(watching, tmp_path):
    play.half(tmp_path).end()
    terminal = watching()
    terminal.wait_for("over")
    play.Play(tmp_path, "envoy", scenario="steady", scenario_title="")
    screen = terminal.wait_for("envoy · steady · local")
    assert "starting" in screen
    assert "echo-a" not in screen


def test_gone_replicas_are_grey_and_new_ones_green(watching, tmp_path):
    terminal = watching()
    play.half(tmp_path)
    terminal.wait_for(HALF)
    screen = terminal.screen(colours=True)
    assert "\x1b[90mecho-a" in screen
    assert "\x1b[32mecho-d" in screen
    assert re.search(r"\x1b\[31m(\x1b\[49m)?12, 0 a second", screen)


def test_nothing_flickers(watching, tmp_path):
    """What is drawn again is written over; a cleared screen or line would be seen."""
    terminal = watching()
    terminal.wait_for("waiting")
    before = len(terminal.raw.read_bytes())
    run = play.half(tmp_path)
    terminal.wait_for(HALF)
    run.step(1.0, {"echo-b": 30})
    terminal.wait_for("210 of 300")
    written = terminal.raw.read_bytes()[before:]
    assert written.count(b"echo-b") >= 2
    assert CLEARS.findall(written) == []


def test_a_screen_that_stays_the_same_is_not_written_again(watching, tmp_path):
    terminal = watching()
    play.half(tmp_path).end()
    terminal.wait_for("the run is over")
    assert terminal.raw.read_bytes().count(b"the run is over") == 1


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (120, 40)])
def test_it_fits_the_window(watching, tmp_path, width, height):
    terminal = watching()
    play.half(tmp_path)
    terminal.wait_for(HALF)
    terminal.resize(width, height)
    terminal.wait_for(f"{'':>{width - 60}}")
    screen = terminal.wait_for("running").splitlines()
    assert screen[0].endswith("running")
    assert len(screen) == height
    assert max(len(line) for line in screen) <= width


def test_ctrl_c_leaves_the_picture_and_a_shell_that_works(watching, tmp_path):
    terminal = watching()
    play.half(tmp_path)
    terminal.wait_for(HALF)
    terminal.keys("C-c")
    screen = terminal.wait_for("ended: 0")
    assert "headless · scale-up · local" in screen
    assert "echo-d" in screen
    assert "Traceback" not in screen


def test_once_ends_with_the_run(watching, tmp_path):
    terminal = watching("--once")
    run = play.half(tmp_path)
    terminal.wait_for(HALF)
    run.end()
    assert "the run is over" in terminal.wait_for("ended: 0")


def test_a_run_that_was_killed_is_noticed(watching, tmp_path, monkeypatch):
    monkeypatch.setattr(play.time, "time", lambda real=play.time.time: real() - 60)
    play.half(tmp_path)
    assert re.search(r"no word for \d\d s", watching().wait_for("no word for"))


def test_a_terminal_without_unicode_gets_plain_characters(watching, tmp_path):
    terminal = watching(PYTHONIOENCODING="ascii")
    play.half(tmp_path)
    screen = terminal.wait_for(HALF)
    assert screen.isascii()
    assert "###" in line_of(screen, "echo-b")


def test_two_hundred_replicas_fit(watching, tmp_path):
    run = play.Play(tmp_path, replicas=200)
    pods = [f"echo-{number}" for number in range(200)]
    run.ready(*pods)
    run.step(0.0, {})
    run.step(1.0, dict.fromkeys(pods[1:], 2))
    screen = watching().wait_for("398 of 300 calls")
    lines = screen.splitlines()
    start = next(number for number, line in enumerate(lines) if "column each" in line)
    assert "".join(lines[start + 1 : start + 4]) == "_" + "█" * 199
    assert "200 replicas, a column each: 0 to 2 a second" in screen
