"""Onlookers without a terminal: the follower of the feed, lines in a pipe, and the page's server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import play
import pytest
from grpc_lb_lab.cli import main
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.views.live.follow import Follower
from grpc_lb_lab.views.live.frame import render_frame
from grpc_lb_lab.views.live.html import view_json
from grpc_lb_lab.views.live.page import Server
from grpc_lb_lab.views.live.view import make_view
from tmux_terminal import LAB


def test_a_follower_sees_a_feed_grow(tmp_path):
    follower = Follower(tmp_path / live_feed.FILE)
    assert not follower.poll()
    run = play.Play(tmp_path)
    assert follower.poll()
    assert not follower.poll()
    run.step(1.0, {"a": 5})
    assert follower.poll()
    assert follower.state.done == 5
    follower.close()


def test_half_a_line_waits_for_its_other_half(tmp_path):
    follower = Follower(tmp_path / live_feed.FILE)
    play.Play(tmp_path)
    line = live_feed.render(live_feed.EndLine(1.0, "broken")) + "\n"
    with (tmp_path / live_feed.FILE).open("a") as file:
        for part in (line[:9], line[9:]):
            file.write(part)
            file.flush()
            follower.poll()
            assert (follower.state.end is not None) == (part == line[9:])


def test_lines_that_are_none_are_passed_over(tmp_path):
    run = play.Play(tmp_path)
    with (tmp_path / live_feed.FILE).open("ab") as file:
        file.write(b"\xff\xfe nonsense\n{}\n\n")
    run.step(1.0, {"a": 5})
    follower = Follower(tmp_path / live_feed.FILE)
    assert follower.poll()
    assert follower.state.done == 5


def test_another_run_and_no_file_at_all(tmp_path):
    follower = Follower(tmp_path / live_feed.FILE)
    play.half(tmp_path)
    follower.poll()
    assert follower.state.done == 180
    (tmp_path / live_feed.FILE).unlink()
    assert not follower.poll()
    assert follower.state.done == 180
    play.Play(tmp_path, "envoy")
    assert follower.poll()
    assert (follower.state.done, follower.state.run.strategy) == (0, "envoy")


def frame(state, **size):
    follower = Follower(state / live_feed.FILE)
    follower.poll()
    return render_frame(make_view(follower.state, follower.state.last_at), **size).plain


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("height", [5, 12, 24, 60])
def test_a_frame_is_never_larger_than_the_screen(tmp_path, width, height):
    run = play.half(tmp_path)
    run.feed.event("command", "a very long story " * 20, at=run.at)
    lines = frame(tmp_path, width=width, height=height).splitlines()
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_replicas_that_have_gone_make_way_first(tmp_path):
    run = play.Play(tmp_path)
    run.step(0.0, {})
    run.ready(*(f"echo-{number}" for number in range(12)))
    for number in range(5):
        run.event("replica-ended", "", f"echo-{number}")
    shown = frame(tmp_path)
    assert "and 5 replicas that have gone" in shown
    assert "echo-0" not in shown
    assert "echo-11" in shown


def test_names_from_elsewhere_cannot_move_the_cursor(tmp_path):
    run = play.Play(tmp_path)
    run.step(1.0, {"echo\x1b[2J": 5})
    run.event("kill", "\x1b]0;title\x07\r\n")
    assert not any(character < " " and character != "\n" for character in frame(tmp_path))


def test_an_outage_shows_as_one(tmp_path):
    """Bars are no longer than what the load's rate gives each: five calls a second of thirty are no full bar."""
    run = play.Play(tmp_path)
    run.ready("a", "b", "c")
    run.step(0.0, {})
    run.step(1.0, {"a": 5}, failed=25)
    follower = Follower(tmp_path / live_feed.FILE)
    follower.poll()
    view = make_view(follower.state, run.at)
    assert [view.length(row) for row in view.rows] == [0.5, 0.0, 0.0]
    assert (view.rate, view.failed_rate) == (30.0, 25.0)


@pytest.mark.parametrize(("problem", "progress"), [("", 1.0), ("the client died", 0.61)])
def test_only_a_run_that_went_well_is_done(tmp_path, problem, progress):
    run = play.half(tmp_path)
    run.end(problem)
    follower = Follower(tmp_path / live_feed.FILE)
    follower.poll()
    assert make_view(follower.state, run.at).progress == pytest.approx(progress)


@contextmanager
def lines(state, *arguments):
    line = [LAB, "watch", "--state", str(state), *arguments]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to one that ended


def test_a_pipe_gets_lines(tmp_path):
    with lines(tmp_path, "--once") as process:
        assert process.stdout.readline().startswith("Waiting for a run.")
        assert str(tmp_path / live_feed.FILE) in process.stdout.readline()
        run = play.half(tmp_path)
        assert process.stdout.readline() == "running: headless · scale-up · local\n"
        assert process.stdout.readline() == "   3.0 s  command: scale: 3 → 5 replicas\n"
        run.end()
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert "over: headless · scale-up · local\n" in rest
    assert rest.splitlines()[-1].startswith("   6.1 s  180 calls, 0 a second, 12 failed, p99 2.50 ms, 4 connections | ")
    assert "echo-a 40 (gone), echo-b 65, echo-c 60, echo-d 3 (new)" in rest
    assert "\x1b" not in rest


def test_ctrl_c_ends_lines_without_a_word(tmp_path):
    with lines(tmp_path) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "--port must be 0 to 65535, not 70000"),
        (["--state", __file__], "not a folder"),
        (["--port", "http"], "--port"),
    ],
)
def test_wrong_use(capsys, arguments, words):
    try:
        code = main(["watch", "--page", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert words in capsys.readouterr().err


@contextmanager
def serving():
    with Server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def get(url):
    return urllib.request.urlopen(url, timeout=10)


def test_the_page_and_nothing_else(tmp_path):
    with serving() as (_, url):
        with get(url + "/") as answer:
            page = answer.read().decode()
        assert page.startswith("<!doctype html>")
        assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(url + "/etc/passwd")


def test_every_browser_gets_every_newest_view(tmp_path):
    play.half(tmp_path)
    follower = Follower(tmp_path / live_feed.FILE)
    follower.poll()
    with serving() as (server, url), get(url + "/views") as one, get(url + "/views") as other:
        assert one.headers["Content-Type"] == "text/event-stream"
        server.board.put(view_json(make_view(follower.state, time.time())))
        for stream in (one, other):
            data = json.loads(stream.readline().decode().removeprefix("data: "))
            assert (data["phase"], data["done"], data["rows"][1]["pod"]) == ("running", 180, "echo-b")
            assert data["rows"][1]["length"] == 1.0
            assert data["seconds"][4] == [0, 10, 8, 0, 12]


def test_only_loopback_listens():
    with serving() as (server, _):
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(capsys):
    with serving() as (server, _):
        assert main(["watch", "--page", "--port", str(server.server_port)]) == 4
    assert f"--port {server.server_port}: Address already in use" in capsys.readouterr().err


def test_the_page_s_command_ends_on_ctrl_c(tmp_path):
    with lines(tmp_path, "--page", "--port", "0") as process:
        url = process.stdout.readline().split()[2]
        with get(url) as answer:
            assert answer.status == 200
        os.kill(process.pid, signal.SIGINT)
        assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0


def test_watching_needs_neither_grpc_nor_ansible():
    code = "import sys, grpc_lb_lab.views.live.terminal, grpc_lb_lab.views.live.commands; print('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
