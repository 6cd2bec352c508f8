"""Which channel, method and key each call takes: a fixed round, the same for the same seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.load.pacing import pace_of

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan

METHOD = "echo.v1.EchoService/Echo"
# A round over all pairs of channel and key may be long; a cut one still uses all keys and channels, these a bit less
# evenly.
MOST_LANES = 4096


@dataclass(frozen=True)
class CallSlot:
    """What one call of the round takes. ``method`` is the full name without a leading slash, ``key`` empty: none."""

    channel: int
    method: str = METHOD
    key: str = ""


def keys_of(plan: Plan) -> list[str]:
    """The plan's keys, different from one another; the same for the same seed, for every client. Empty: none."""
    count = plan.strategy.client.keys.count
    draw = random.Random(f"{plan.load.seed}/keys")
    keys: dict[str, None] = {}
    while len(keys) < count:
        keys[f"user-{draw.randrange(16**8):08x}"] = None
    return list(keys)


def key_metadata(plan: Plan, key: str) -> tuple[tuple[str, str], ...]:
    """The request header that carries ``key``; nothing for no key."""
    return ((plan.strategy.client.keys.header, key),) if key else ()


def lanes(plan: Plan, index: int) -> list[CallSlot]:
    """The round of client ``index``: calls take these in turn, over and over.

    All keys get as many calls as each other, to one call a run: where one client stops, the next one has begun.
    """
    keys = keys_of(plan) or [""]
    methods = plan.strategy.client.methods or [METHOD]
    channels, variants = plan.load.connections, math.lcm(len(keys), len(methods))
    length = math.lcm(channels, variants)
    if length > MOST_LANES:
        length = variants * -(-channels // variants)
    first = _calls_before(plan, index) if variants > 1 else 0
    return [
        CallSlot(call % channels, methods[(first + call) % len(methods)], keys[(first + call) % len(keys)])
        for call in range(length)
    ]


def _calls_before(plan: Plan, index: int) -> int:
    """Calls of the clients before this one; where only a duration is known, a guess that spreads them."""
    if plan.load.requests is None:
        return index * len(keys_of(plan)) // plan.load.clients
    return sum(pace_of(plan.load, before).requests or 0 for before in range(index))
