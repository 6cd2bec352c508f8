"""Clients that run here, outside the cluster: they come in through kubectl, or through a gateway."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl, say
from grpc_lb_lab.places.kubernetes.forward import forward

LOOK_S = 0.1
MOST_FORWARDS = 8


@dataclass(frozen=True)
class OutsideLoad:
    """A load to be sent from here: its plan, where results and logs go, whom to ask what they counted.

    ``live`` is the feed that the clients append to. The load ends with an error after ``limit_s`` seconds, and when
    ``check`` raises one. ``servers`` gives those that are there now.
    """

    kubectl: Kubectl
    plan_path: Path
    results: Path
    logs: Path
    live: Path
    servers: Callable[[], Sequence[pods.Pod]]
    limit_s: float
    check: Callable[[], None]

    def plan(self) -> dict[str, Any]:
        """Return the plan as it stands in its file."""
        plan: dict[str, Any] = json.loads(self.plan_path.read_text(encoding="utf-8"))
        return plan


def through_port_forward(errand: OutsideLoad) -> None:
    """Send the load through one port-forward to the Service, which picks a replica.

    Raises ``LabError`` when the port-forward or a client breaks.
    """
    targets = errand.plan()["targets"]
    port = int(targets["service"].rpartition(":")[2])
    local_port = int(targets["port-forward"].rpartition(":")[2])
    with forward(errand.kubectl, "service/echo", port, local_port):
        send(errand, {"port-forward": targets["port-forward"]}, "kubectl port-forward")


def send(errand: OutsideLoad, targets: dict[str, str], way: str, *, together: bool = False) -> None:
    """Run the plan's clients side by side, then ask every replica what it counted.

    ``targets`` is all they are told: the names of the cluster mean nothing out here. ``together``: they share a proxy,
    so they wait for one another before they measure. Raises ``LabError`` when a client breaks.
    """
    plan = errand.plan()
    errand.results.mkdir(parents=True, exist_ok=True)
    told = errand.logs / "plan-outside.json"
    told.write_text(json.dumps(plan | {"targets": {**targets, "headless": ""}}, indent=1), encoding="utf-8")
    words = ["--plan", str(told), "--live", str(errand.live)]
    if together:
        meeting = errand.logs / "meeting"
        meeting.mkdir()
        words += ["--meeting", str(meeting)]
    _clients(errand, int(plan["load"]["clients"]), words, way)
    counted, unknown = _ask_servers(errand, plan["run"], int(plan["targets"]["service"].rpartition(":")[2]))
    for path in errand.results.glob("client-*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        notes = [*result["notes"], *unknown]
        path.write_text(json.dumps(result | {"servers": counted, "notes": notes}), encoding="utf-8")


def _clients(errand: OutsideLoad, count: int, words: list[str], way: str) -> None:
    deadline = time.monotonic() + errand.limit_s
    with contextlib.ExitStack() as stack:
        clients: dict[int, subprocess.Popen[bytes]] = {}
        for index in range(count):
            log = stack.enter_context((errand.logs / f"client-{index}.log").open("wb"))
            own = ["--index", str(index), "--output", str(errand.results / f"client-{index}.json")]
            line = [sys.executable, "-m", "grpc_lb_lab", "client", *words, *own]
            clients[index] = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(_end_client, clients[index])
        say(f"{len(clients)} client process(es) call through {way}")
        while any(process.poll() is None for process in clients.values()):
            time.sleep(LOOK_S)
            errand.check()
            if time.monotonic() > deadline:
                raise LabError(f"the load was not done after {errand.limit_s:.0f} s")
    for index, process in clients.items():
        if process.returncode != 0:
            text = (errand.logs / f"client-{index}.log").read_text(encoding="utf-8", errors="replace").strip()
            reason = text.splitlines()[-1] if text else "it said nothing"
            raise LabError(f"client {index} ended with exit code {process.returncode}: {reason}")


def _end_client(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def _ask_servers(errand: OutsideLoad, run: str, port: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask each replica itself; the notes are about those that did not answer.

    Pod addresses cannot be reached from here, so each gets a port-forward of its own.
    """

    def ask(pod: pods.Pod) -> dict[str, Any] | str:
        from grpc_lb_lab.observe.stats import ask_server

        try:
            with forward(errand.kubectl, f"pod/{pods.name(pod)}", port) as address:
                return asdict(ask_server(address, run))
        except LabError as error:
            return f"no counts from {pods.name(pod)}: {error}"

    with ThreadPoolExecutor(MOST_FORWARDS) as pool:
        answers = list(pool.map(ask, errand.servers()))
    return [answer for answer in answers if isinstance(answer, dict)], [
        answer for answer in answers if isinstance(answer, str)
    ]
