"""What the conductor reads from the live feed: the first call, and who is busiest."""

from __future__ import annotations

import asyncio

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.run.progress import Progress


def line(i: int, start: float, **per: int) -> str:
    calls = sum(per.values())
    return (
        live_feed.render(live_feed.ClientLine(at=start, i=i, start=start, done=calls, ok=calls, failed=0, per=per))
        + "\n"
    )


def test_calls_are_summed_over_clients_and_the_last_line_of_each_counts(tmp_path):
    feed = tmp_path / "live.jsonl"
    progress = Progress(feed)
    assert progress.calls() == {}
    feed.write_text(line(0, 5.0, a=1) + "no JSON\n" + line(1, 6.0, a=2, b=1) + line(0, 5.0, a=3))
    assert progress.calls() == {"a": 5, "b": 1}
    with feed.open("a") as more:
        more.write(line(1, 6.0, a=2, b=7)[:-10])
    assert progress.calls() == {"a": 5, "b": 1}
    with feed.open("a") as more:
        more.write(line(1, 6.0, a=2, b=7)[-10:])
    assert progress.calls() == {"a": 5, "b": 7}


def test_the_first_call_is_that_of_client_0(tmp_path):
    feed = tmp_path / "live.jsonl"

    async def watch() -> float:
        async def write() -> None:
            await asyncio.sleep(0.1)
            feed.write_text(line(1, 6.0))
            await asyncio.sleep(0.1)
            feed.write_text(line(1, 6.0) + line(0, 5.0))

        writing = asyncio.create_task(write())
        found = await Progress(feed).began_at(5)
        await writing
        return found

    assert asyncio.run(watch()) == 5.0


def test_clients_that_never_begin(tmp_path):
    with pytest.raises(LabError, match="client 0 made no measured call within 0 s"):
        asyncio.run(Progress(tmp_path / "none").began_at(0.1))
