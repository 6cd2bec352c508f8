"""The strategy port-forward: the client runs here, outside the cluster, and comes in through kubectl."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.kubernetes import pods
from grpc_lb_lab.kubernetes.programs import end, say
from grpc_lb_lab.report.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from grpc_lb_lab.kubernetes.programs import Kubectl

OPEN_LIMIT_S = 15.0
LOOK_S = 0.1
MOST_FORWARDS = 8
_OPEN = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def forward(kubectl: Kubectl, target: str, remote_port: int, local_port: int = 0) -> Iterator[str]:
    """Open ``kubectl port-forward`` and give its address, ``127.0.0.1:PORT``. It ends with the block.

    Raises ``LabError`` when it is not open within 15 s.
    """
    ports = f"{local_port or ''}:{remote_port}"
    process = kubectl.start("port-forward", "--address=127.0.0.1", target, ports, stderr=subprocess.STDOUT)
    try:
        yield f"127.0.0.1:{_opened(process, target)}"
    finally:
        end(process)


def _opened(process: subprocess.Popen[str], target: str) -> int:
    assert process.stdout
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read_until_open, process, said)
        try:
            port = reading.result(OPEN_LIMIT_S)
        except TimeoutError:
            process.kill()  # ends the reader as well
            port = 0
    if not port:
        raise LabError(f"kubectl port-forward {target} did not open: {said[-1] if said else 'it said nothing'}")
    return port


def _read_until_open(process: subprocess.Popen[str], said: list[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        said.append(line.strip())
        found = _OPEN.match(line)
        if found:
            return int(found[1])
    return 0


def load(
    kubectl: Kubectl,
    plan_path: Path,
    results: Path,
    logs: Path,
    servers: Sequence[pods.Pod],
    limit_s: float,
    owner_alive: Callable[[], bool] = lambda: True,
) -> None:
    """Send the load of a plan through one port-forward to the Service, and ask every replica what it counted.

    Raises ``LabError`` when the port-forward or a client breaks.
    """
    plan = json.loads(plan_path.read_text(encoding="utf-8"))
    port = int(plan["targets"]["service"].rpartition(":")[2])
    local_port = int(plan["targets"]["port-forward"].rpartition(":")[2])
    results.mkdir(parents=True, exist_ok=True)
    # The names of the cluster mean nothing out here; the replicas' own counts are asked for below.
    outside = plan | {"targets": {"port-forward": plan["targets"]["port-forward"]}}
    client_plan = logs / "plan-outside.json"
    client_plan.write_text(json.dumps(outside, indent=1), encoding="utf-8")
    with forward(kubectl, "service/echo", port, local_port):
        _clients(client_plan, plan, results, logs, limit_s, owner_alive)
    counted = _ask_servers(kubectl, plan["run"], servers, port)
    for path in results.glob("client-*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        notes = [note for note in result["notes"] if "own counts" not in note]
        path.write_text(json.dumps(result | {"servers": counted, "notes": notes}), encoding="utf-8")


def _clients(
    plan_path: Path, plan: dict[str, Any], results: Path, logs: Path, limit_s: float, owner_alive: Callable[[], bool]
) -> None:
    """Run the plan's clients side by side to their end."""
    deadline = time.monotonic() + limit_s
    with contextlib.ExitStack() as stack:
        clients: dict[int, subprocess.Popen[bytes]] = {}
        for index in range(int(plan["load"]["clients"])):
            log = stack.enter_context((logs / f"client-{index}.log").open("wb"))
            words = [sys.executable, "-m", "grpc_lb_lab", "client", "--plan", str(plan_path)]
            words += ["--index", str(index), "--output", str(results / f"client-{index}.json")]
            clients[index] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(_end_client, clients[index])
        say(f"{len(clients)} client process(es) call through kubectl port-forward")
        while any(process.poll() is None for process in clients.values()):
            time.sleep(LOOK_S)
            if not owner_alive():
                raise LabError("the playbook ended; so does its load")
            if time.monotonic() > deadline:
                raise LabError(f"the load was not done after {limit_s:.0f} s")
    for index, process in clients.items():
        if process.returncode != 0:
            text = (logs / f"client-{index}.log").read_text(encoding="utf-8", errors="replace").strip()
            reason = text.splitlines()[-1] if text else "it said nothing"
            raise LabError(f"client {index} ended with exit code {process.returncode}: {reason}")


def _end_client(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def _ask_servers(kubectl: Kubectl, run: str, servers: Sequence[pods.Pod], port: int) -> list[dict[str, Any]]:
    """Ask each replica itself: pod addresses cannot be reached from here, so each gets a port-forward of its own."""

    def ask(pod: pods.Pod) -> dict[str, Any]:
        from grpc_lb_lab.client.stats import ask_server

        with forward(kubectl, f"pod/{pods.name(pod)}", port) as address:
            return asdict(ask_server(address, run))

    with ThreadPoolExecutor(MOST_FORWARDS) as pool:
        return list(pool.map(ask, servers))
