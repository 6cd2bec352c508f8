"""Several clients that share one proxy begin to measure together.

A proxy at the edge takes replicas in turn for everybody: the warm-up of one client in the middle of another one's
measurement would take turns away from it, and an exact count would no longer be exact.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 15.0
LOOK_S = 0.005


async def meet(folder: Path, index: int, clients: int, stopped: Callable[[], bool], limit_s: float = LIMIT_S) -> str:
    """Say in ``folder`` that client ``index`` is there and wait until all ``clients`` are.

    Returns what to note when some did not come within ``limit_s``; empty when all did.
    """
    (folder / f"client-{index}").touch()
    deadline = time.monotonic() + limit_s
    while not stopped():
        there = sum(1 for _ in folder.glob("client-*"))
        if there >= clients:
            return ""
        if time.monotonic() > deadline:
            return f"only {there} of {clients} clients were warm after {limit_s:.0f} s: they did not begin together"
        await asyncio.sleep(LOOK_S)
    return ""
