"""When calls start. Pure: the clock is an argument, nothing here sleeps.

Closed loop: ``concurrency`` workers, each starts its next call when its last one has ended. A slow replica slows the
whole client down, which hides the backlog that real callers would see.
Open loop: call i is due at ``i / rate``, whatever became of the calls before it. Its latency counts from that intended
start, so a stall shows in every call that it delayed (no coordinated omission). ``concurrency`` has no say here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpc_lb_lab.model.plan import Load


@dataclass(frozen=True)
class Pace:
    """One client's part of the load.

    ``requests`` is None in a closed loop that is bounded by ``duration_s`` alone. ``rate_rps`` None is the closed loop;
    otherwise ``offset_s`` is when the first call is due, so that several clients interleave.
    """

    requests: int | None
    duration_s: float | None
    rate_rps: float | None = None
    offset_s: float = 0.0


def share(total: int, clients: int, index: int) -> int:
    """The part of ``total`` calls that client ``index`` makes: as even as possible, the first clients get one more."""
    return total // clients + (index < total % clients)


def pace_of(load: Load, index: int) -> Pace:
    """The part of ``load`` for client ``index``."""
    if load.rate_rps is None:
        requests = None if load.requests is None else share(load.requests, load.clients, index)
        return Pace(requests, load.duration_s)
    # Calls due at i / rate < duration; the slack keeps 2.0 s at 10 / s from becoming 21 by rounding.
    due = math.ceil((load.duration_s or 0.0) * load.rate_rps - 1e-9)
    total = due if load.requests is None else load.requests
    return Pace(
        requests=share(total, load.clients, index),
        duration_s=load.duration_s,
        rate_rps=load.rate_rps / load.clients,
        offset_s=index / load.rate_rps,
    )


def closed_loop(pace: Pace, clock: Callable[[], float], stopped: Callable[[], bool]) -> Iterator[int]:
    """Number the calls, until the count, the duration or ``stopped`` ends them. All workers share one iterator.

    ``clock`` is in seconds; the duration begins with the first call.
    """
    end = math.inf if pace.duration_s is None else clock() + pace.duration_s
    number = 0
    while pace.requests is None or number < pace.requests:
        if stopped() or (pace.duration_s is not None and clock() >= end):
            return
        yield number
        number += 1


def open_loop(pace: Pace, begin: float) -> Iterator[float]:
    """The intended start of each call, on the clock of ``begin``."""
    if pace.rate_rps is None or pace.requests is None:
        raise ValueError("an open loop needs a rate and a number of calls")
    for number in range(pace.requests):
        # Not a running sum: a million rounding errors would shift the end of the run.
        yield begin + pace.offset_s + number / pace.rate_rps
