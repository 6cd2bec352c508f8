"""The lines that a client writes for programs are read by the definition that writes them."""

from __future__ import annotations

from grpc_lb_lab.model import client_log, live_feed


def test_what_is_written_is_read():
    assert client_log.result(client_log.result_line('{"index":3}')) == {"index": 3}


def test_other_lines_are_not():
    for line in ("", "progress", "progress 1 7", "progress 1 7/501 calls", "in progress 1 7/501", "LB-LAB-RESULT"):
        assert client_log.result(line) is None


def test_what_is_for_programs_is_known_behind_the_name_of_a_pod():
    feed = live_feed.PREFIX + live_feed.render(live_feed.EndLine(1.0))
    pod = "[pod/load-0-abc/client] "
    assert client_log.is_for_programs(pod + client_log.result_line("{}"))
    assert client_log.is_for_programs(pod + feed)
    assert not client_log.is_for_programs(pod + "progress 0 1/2")
