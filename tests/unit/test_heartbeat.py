"""A process that was paused notices it."""

from __future__ import annotations

import asyncio
import contextlib
import time

from grpc_lb_lab import heartbeat
from grpc_lb_lab.heartbeat import Heartbeat


def test_a_pause_is_noted_with_its_begin_and_end_and_a_busy_moment_is_not() -> None:
    subject = Heartbeat()
    subject.see(1.9, 1000.0)
    subject.see(8.0, 1020.0)
    assert [(pause.began_at, pause.ended_at) for pause in subject.pauses] == [(1012.0, 1020.0)]


def test_a_loop_that_does_not_run_is_a_pause(monkeypatch) -> None:
    monkeypatch.setattr(heartbeat, "SHORTEST_S", 0.3)

    async def play() -> Heartbeat:
        subject = Heartbeat()
        task = asyncio.create_task(subject.run())
        await asyncio.sleep(0.01)
        time.sleep(heartbeat.BEAT_S + 0.5)
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return subject

    [pause] = asyncio.run(play()).pauses
    assert pause.ended_at - pause.began_at >= 0.4


def test_a_thread_notices_it_too(monkeypatch) -> None:
    subject, times = Heartbeat(), iter([0.0, 0.5, 9.0])
    monkeypatch.setattr(heartbeat.time, "clock_gettime", lambda _: next(times))
    monkeypatch.setattr(heartbeat.time, "sleep", lambda _: None)
    with contextlib.suppress(StopIteration):
        subject._run()
    assert [round(pause.ended_at - pause.began_at, 3) for pause in subject.pauses] == [8.0]
