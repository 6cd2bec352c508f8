"""Faults that a replica is asked to have: not ready, slow or failing. Each reverts by itself."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from grpc_lb_lab.json_log import log
from grpc_lb_lab.model.scenario import FAULT_MOST_S

if TYPE_CHECKING:
    from collections.abc import Callable

FOR_MOST_MS = FAULT_MOST_S * 1000
CODES = {code.name: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}


@dataclass(frozen=True)
class Fault:
    """What is wrong with this replica; ``service`` empty: delay and failure for the calls of all services."""

    unready: bool = False
    delay_s: float = 0.0
    fail_code: str = ""
    service: str = ""

    def problem(self) -> str:
        """Why this is no fault that a replica can have; empty when it is one."""
        if self.fail_code and self.fail_code not in CODES:
            return f"fail_code must be one of {', '.join(sorted(CODES))}, not {self.fail_code!r}"
        if self.delay_s * 1000 > FOR_MOST_MS:
            return f"delay_ms must be at most {FOR_MOST_MS}"
        return ""


class Faults:
    """The fault of one replica, thread safe. ``set_ready`` is told when the health service shall change its word."""

    def __init__(self) -> None:
        """Start healthy."""
        self.set_ready: Callable[[bool], None] = lambda _ready: None
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._timer: threading.Timer | None = None

    def set(self, fault: Fault, for_s: float) -> None:
        """Have ``fault`` instead of the one before, for ``for_s`` seconds; 0: have none. Say so before returning."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._become(fault if for_s > 0 else None)
            if self._fault is not None:
                self._timer = threading.Timer(for_s, self._revert, (fault,))
                self._timer.daemon = True
                self._timer.start()

    def meet(self, service: str, context: grpc.ServicerContext) -> None:
        """What the fault does to a call of ``service``: nothing, or a wait, or the end (as ``context.abort``)."""
        fault = self._fault
        if fault is None or (fault.service and fault.service != service):
            return
        if fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.fail_code:
            context.abort(CODES[fault.fail_code], "a fault of this replica, asked for by SetFault")

    def _revert(self, fault: Fault) -> None:
        with self._lock:
            if self._fault is fault:
                self._become(None)

    def _become(self, fault: Fault | None) -> None:
        was_ready = self._fault is None or not self._fault.unready
        self._fault = fault
        ready = fault is None or not fault.unready
        if ready != was_ready:
            self.set_ready(ready)
        log("fault", fault=fault and fault.__dict__)
