"""Faults that end or stop this whole process, which does it to itself: nobody outside of a pod can reach in.

PID 1 is immune to the signals of its own namespace, which is why the pods share theirs with another PID 1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

# From the order to the signal: the reply has left by then.
REPLY_S = 0.05

# Runs beside a stopped process, which cannot wake itself, and ends with it.
_WAKER = """
import os, signal, sys, time
end, server = time.monotonic() + float(sys.argv[1]), int(sys.argv[2])
while time.monotonic() < end and os.getppid() == server:
    time.sleep(max(0, min(0.2, end - time.monotonic())))
if os.getppid() == server:
    os.kill(server, signal.SIGCONT)
"""


def problem() -> str:
    """Why this process cannot signal itself; empty when it can."""
    return "this server is PID 1 of its container, which ignores such signals" if os.getpid() == 1 else ""


def crash() -> None:
    """End this process with SIGKILL, ``REPLY_S`` from now."""
    _later(signal.SIGKILL)


def stop(for_s: float) -> None:
    """Stop this process with SIGSTOP, ``REPLY_S`` from now; it goes on ``for_s`` seconds later."""
    # No fork: gRPC does not survive it. -S -E: up in some 10 ms.
    waker = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _WAKER, str(REPLY_S + for_s), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    threading.Thread(target=waker.wait, daemon=True).start()  # leaves no zombie
    _later(signal.SIGSTOP)


def _later(number: signal.Signals) -> None:
    timer = threading.Timer(REPLY_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
