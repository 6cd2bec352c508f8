"""Istio's agent beside a client without a sidecar: an ordinary container, so the pod is done only when told to end.

It has an address for that, on which versions since istio/istio#55424 crash when they run without an Envoy. Then it gets
a signal: the pod's containers share their processes and have one user.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.model.ports import ISTIO_AGENT_PORT
from grpc_lb_lab.observe.admin import ask

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan

ADDRESS = f"127.0.0.1:{ISTIO_AGENT_PORT}"
PROGRAM = "pilot-agent"
PROCESSES = Path("/proc")


def end(plan: Plan, address: str = ADDRESS) -> None:
    """End the agent if the strategy has one. It is left to the Job's deadline when nothing helps, and that is told."""
    if not plan.strategy.mesh or plan.strategy.mesh.proxy != "grpc-agent":
        return
    try:
        ask(address, "quitquitquit", data=b"")
    except OSError:
        if not stop(PROGRAM):
            print(f"Istio's {PROGRAM} could not be ended, so the pod goes on", file=sys.stderr, flush=True)


def stop(program: str, processes: Path = PROCESSES) -> list[int]:
    """Send SIGTERM to every process of this program; returns those that could be sent one."""
    sent = []
    for path in sorted(processes.glob("[0-9]*/cmdline")):
        try:
            if Path(path.read_text(encoding="utf-8", errors="replace").partition("\0")[0]).name == program:
                os.kill(int(path.parent.name), signal.SIGTERM)
                sent.append(int(path.parent.name))
        except OSError:  # it ended just now, or is somebody else's
            continue
    return sent
