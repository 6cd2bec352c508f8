"""Warm-up: connect, make calls that do not count, until the channels are as they will stay.

Without it the first calls of a balanced run are uneven: they go to whoever connected first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.load.record.replies import read_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.load.channels.core import Look, Outcome

LIMIT_S = 10.0
AGAIN_S = 0.05
GOOD_ROUNDS = 2


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went; ``notes`` say what was not ready at its limit."""

    requests: int
    seconds: float
    notes: list[str]


@dataclass
class _Progress:
    requests: int = 0
    note: str = ""


async def warm_up(
    channels: list[LabChannel],
    callers: list[Callable[[bytes], Awaitable[Outcome]]],
    request: bytes,
    calls_a_round: int = 1,
    limit_s: float = LIMIT_S,
    stopped: Callable[[], bool] = lambda: False,
) -> WarmUp:
    """Warm all channels at the same time, ``limit_s`` at most.

    A channel is warm after two rounds of calls, one after another, over the same READY subchannels, each round answered
    by as many replicas as it has subchannels. ``calls_a_round`` is the least: more than the subchannels where a proxy
    has connections of its own to open.
    """
    began = time.monotonic()
    progress = [_Progress(note=f"channel {channel.index} was not looked at") for channel in channels]
    work = [
        asyncio.ensure_future(_warm(channel, call, request, calls_a_round, state, stopped))
        for channel, call, state in zip(channels, callers, progress, strict=True)
    ]
    _, late = await asyncio.wait(work, timeout=limit_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in set(work) - late:
        task.result()
    seconds = time.monotonic() - began
    notes = [state.note for state in progress if state.note]
    if notes:
        more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
        notes = [f"warm-up ended after {seconds:.1f} s before everything was ready: {notes[0]}{more}"]
    return WarmUp(sum(state.requests for state in progress), seconds, notes)


async def _warm(
    channel: LabChannel,
    call: Callable[[bytes], Awaitable[Outcome]],
    request: bytes,
    calls_a_round: int,
    progress: _Progress,
    stopped: Callable[[], bool],
) -> None:
    good, targets = 0, None
    while good < GOOD_ROUNDS and not stopped():
        look = channel.look()
        ready = _ready(look, channel.connects_to_all)
        if not ready:
            good = 0
            progress.note = f"channel {channel.index}: {_describe(look)}"
            await _first_call(call, request, progress)
            continue
        uids = set()
        for _ in range(max(ready, calls_a_round)):
            uid = await _one_call(call, request, progress)
            uids.add(uid)
        now = sorted(target for target, _ in look.subchannels.values())
        fits = None not in uids and len(uids) >= (len(set(now)) if channel.connects_to_all else 1)
        good = good + 1 if fits and targets in (None, now) else int(fits)
        targets = now
        if not fits:
            progress.note = f"channel {channel.index}: {len(uids - {None})} of {ready} addresses answered"
            await asyncio.sleep(AGAIN_S)
    if good >= GOOD_ROUNDS:
        progress.note = ""


def _ready(look: Look, all_of_them: bool) -> int:
    """How many subchannels are READY; 0 while the channel is not as it will be."""
    states = [state for _, state in look.subchannels.values()]
    ready = states.count("READY")
    return 0 if look.state != "READY" or (all_of_them and ready < len(states)) else ready


def _describe(look: Look) -> str:
    states = [state for _, state in look.subchannels.values()]
    return f"{look.state}, {states.count('READY')} of {len(states)} addresses READY"


async def _first_call(call: Callable[[bytes], Awaitable[Outcome]], request: bytes, progress: _Progress) -> None:
    """A call makes an idle channel connect, and waits until it has."""
    await _one_call(call, request, progress)
    await asyncio.sleep(AGAIN_S)


async def _one_call(call: Callable[[bytes], Awaitable[Outcome]], request: bytes, progress: _Progress) -> str | None:
    """The UID of the replica that answered; None for a call that failed."""
    progress.requests += 1
    reply, code = await call(request)
    if reply is None:
        progress.note = f"{progress.note.partition(' (last')[0]} (last call: {code})"
        return None
    answer = read_reply(reply)
    return answer.uid if answer else None
