"""Waiting for what must not be left half done."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from grpc_lb_lab.run.runner import to_the_end


@pytest.mark.parametrize("cancels", [0, 1, 2, 3])
def test_work_is_waited_for_however_often_the_waiter_is_cancelled(cancels: int) -> None:
    async def scenario() -> list[str]:
        told: list[str] = []
        may_end = asyncio.Event()

        async def work() -> str:
            await may_end.wait()
            told.append("work done")
            return "result"

        async def waiter() -> None:
            assert await to_the_end(work()) == "result"
            told.append("waited")

        task = asyncio.create_task(waiter())
        for _ in range(cancels):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return told

    assert asyncio.run(scenario()) == ["work done", "waited"]


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(to_the_end(work()))
