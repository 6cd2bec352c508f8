"""What the runner knows of its clients: the first call, how far they are, who is busiest; with the feed or without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import ArtifactError, LabError
from grpc_lb_lab.run.client_reports import ClientReports, ReportFile
from grpc_lb_lab.run.feed import LiveFeed

if TYPE_CHECKING:
    from pathlib import Path


def line(i: int, start: float, **per: int) -> str:
    calls = sum(per.values())
    told = live_feed.ClientLine(at=start, i=i, start=start, done=calls, ok=calls, failed=0, total=50, per=per)
    return live_feed.render(told) + "\n"


RUN = live_feed.RunLine(1.0, "r1", "envoy", "T", "steady", "local", clients=2, replicas=2)


def test_calls_are_summed_over_clients_and_the_last_line_of_each_counts(tmp_path: Path) -> None:
    reports = ClientReports(LiveFeed(tmp_path / "live.jsonl"))
    told = ReportFile(tmp_path / "load" / "told.jsonl", reports)
    told.read()
    assert (reports.calls(), reports.done, reports.total) == ({}, 0, 0)
    told.create()
    with told.path.open("a") as client:
        client.write(line(0, 5.0, a=1) + "no JSON\n" + line(1, 6.0, a=2, b=1) + line(0, 5.0, a=3))
        client.flush()
        told.read()
        assert (reports.calls(), reports.done, reports.total) == ({"a": 5, "b": 1}, 6, 100)
        client.write(line(1, 6.0, a=2, b=7)[:-10])
        client.flush()
        told.read()
        assert reports.calls() == {"a": 5, "b": 1}
        client.write(line(1, 6.0, a=2, b=7)[-10:])
    told.read()
    assert (reports.calls(), reports.done) == ({"a": 5, "b": 7}, 12)
    told.create()
    assert told.path.read_text() == ""


def test_the_feed_gets_every_line_and_nothing_depends_on_it(tmp_path: Path) -> None:
    feed = LiveFeed(tmp_path / "live.jsonl")
    reports = ClientReports(feed)
    feed.start(RUN)
    for text in (line(0, 5.0, a=1), "no line", live_feed.render(RUN)):
        reports.see(text)
    assert feed.path.read_text().splitlines() == [live_feed.render(RUN), line(0, 5.0, a=1).strip()]
    feed.close()
    reports.see(line(0, 5.0, a=2))
    assert reports.done == 2


def test_the_first_call_is_that_of_client_0(tmp_path: Path) -> None:
    async def watch() -> float:
        reports = ClientReports(LiveFeed(tmp_path / "live.jsonl"))
        waiting = asyncio.create_task(reports.began_at(5))
        await asyncio.sleep(0)
        reports.see(line(1, 6.0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        reports.see(line(0, 5.0))
        return await waiting

    assert asyncio.run(watch()) == 5.0


def test_clients_that_never_begin(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="client 0 made no measured call within 0 s"):
        asyncio.run(ClientReports(LiveFeed(tmp_path / "live.jsonl")).began_at(0.1))


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "load").write_text("")
    told = ReportFile(tmp_path / "load" / "told.jsonl", ClientReports(LiveFeed(tmp_path / "live.jsonl")))
    with pytest.raises(ArtifactError, match=r"cannot write .*/load/told\.jsonl: "):
        told.create()
