"""Clients that run here, outside the cluster: they come in through kubectl, or through a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import write_plan
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl, say
from grpc_lb_lab.places.kubernetes.forward import forward
from grpc_lb_lab.run.client_reports import ReportFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.run.client_reports import ClientReports

LOOK_S = 0.1
MOST_FORWARDS = 8


@dataclass(frozen=True)
class Way:
    """A way into the cluster that is open. ``targets`` is all that a client is told: names mean nothing out here.

    ``shared``: the clients share a proxy, so they wait for one another before they measure. ``keep`` writes what the
    proxy tells of itself into a folder.
    """

    name: str
    targets: dict[str, str]
    shared: bool = False
    keep: Callable[[Path], None] | None = None


@contextlib.contextmanager
def port_forward(kubectl: Kubectl, plan: Plan, _: Sequence[pods.Pod]) -> Iterator[Way]:
    """Open one port-forward to the Service, which picks a replica. Raises ``LabError`` when it does not open."""
    port = int(plan.targets["service"].rpartition(":")[2])
    local_port = int(plan.targets["port-forward"].rpartition(":")[2])
    with forward(kubectl, "service/echo", port, local_port):
        yield Way("kubectl port-forward", {"port-forward": plan.targets["port-forward"]})


class OutsideClients:
    """``run.place.Clients`` as processes of this machine. At their end every replica is asked what it counted."""

    def __init__(
        self,
        kubectl: Kubectl,
        plan: Plan,
        way: Way,
        results: Path,
        logs: Path,
        reports: ClientReports,
        limit_s: float,
        servers: Callable[[], Sequence[pods.Pod]],
    ) -> None:
        """``servers`` gives those that are there when it is called. The load ends with an error after ``limit_s``."""
        self._kubectl, self._plan, self._way, self._servers = kubectl, plan, way, servers
        self._results, self._logs, self._limit_s = results, logs, limit_s
        self._told = ReportFile(logs / "told.jsonl", reports)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._deadline = 0.0

    async def start(self) -> None:
        """Start them side by side."""
        self._deadline = time.monotonic() + self._limit_s
        self._results.mkdir(parents=True, exist_ok=True)
        self._told.create()
        targets = {**self._way.targets, "headless": ""}
        plan = write_plan(self._logs / "plan-outside.json", replace(self._plan, targets=targets))
        words = ["--plan", str(plan), "--live", str(self._told.path)]
        if self._way.shared:
            barrier = self._logs / "meeting"
            barrier.mkdir()
            words += ["--meeting", str(barrier)]
        for index in range(self._plan.load.clients):
            own = ["--index", str(index), "--output", str(self._results / f"client-{index}.json")]
            line = [sys.executable, "-m", "grpc_lb_lab", "client", *words, *own]
            with self._log(index).open("wb") as log:
                self._processes.append(subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        say(f"{len(self._processes)} client process(es) call through {self._way.name}")

    async def look(self) -> bool:
        """Wait a moment for their end."""
        await asyncio.sleep(LOOK_S)
        self._told.read()
        if any(process.poll() is None for process in self._processes):
            if time.monotonic() > self._deadline:
                raise LabError(f"the load was not done after {self._limit_s:.0f} s")
            return False
        for index, process in enumerate(self._processes):
            if process.returncode != 0:
                text = self._log(index).read_text(encoding="utf-8", errors="replace").strip()
                reason = text.splitlines()[-1] if text else "it said nothing"
                raise LabError(f"client {index} ended with exit code {process.returncode}: {reason}")
        await asyncio.to_thread(self._add_counts)
        return True

    async def end(self) -> None:
        """Ask those that still run to end; they write what they measured."""
        await asyncio.gather(*(asyncio.to_thread(_end_client, process) for process in self._processes))
        self._told.read()
        self._told.path.unlink(missing_ok=True)

    def _log(self, index: int) -> Path:
        return self._logs / f"client-{index}.log"

    def _add_counts(self) -> None:
        counted, unknown = self._ask_servers(int(self._plan.targets["service"].rpartition(":")[2]))
        for path in self._results.glob("client-*.json"):
            result = json.loads(path.read_text(encoding="utf-8"))
            notes = [*result["notes"], *unknown]
            path.write_text(json.dumps(result | {"servers": counted, "notes": notes}), encoding="utf-8")

    def _ask_servers(self, port: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Ask each replica itself; the notes are about those that did not answer.

        Pod addresses cannot be reached from here, so each gets a port-forward of its own.
        """

        def ask(pod: pods.Pod) -> dict[str, Any] | str:
            from grpc_lb_lab.observe.stats import ask_server

            try:
                with forward(self._kubectl, f"pod/{pods.name(pod)}", port) as address:
                    return asdict(ask_server(address, self._plan.run))
            except LabError as error:
                return f"no counts from {pods.name(pod)}: {error}"

        with ThreadPoolExecutor(MOST_FORWARDS) as pool:
            answers = list(pool.map(ask, self._servers()))
        counted = [answer for answer in answers if isinstance(answer, dict)]
        return counted, [answer for answer in answers if isinstance(answer, str)]


def _end_client(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
