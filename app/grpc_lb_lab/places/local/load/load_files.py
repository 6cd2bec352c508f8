"""Files of a load: what its clients are told, and what is kept of it beside their results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import ArtifactError, UsageError
from grpc_lb_lab.model.ports import ADMIN_PORT, CONTROL_PLANE_PORTS, GATEWAY_PORT, SIDECAR_PORT
from grpc_lb_lab.own import marks
from grpc_lb_lab.places.local.addresses import DNS_PORT, Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from grpc_lb_lab.model.plan import Plan

_LOG_LIMIT = 1 << 20


@dataclass(frozen=True)
class LoadFolder:
    """Where a load's files go: ``results`` for what the report reads, ``logs`` beside it."""

    results: Path

    @property
    def logs(self) -> Path:
        """Logs of clients, proxies, replicas and DNS."""
        return self.results.parent / "logs"

    def result(self, index: int) -> Path:
        """The file that client ``index`` writes."""
        return self.results / f"client-{index}.json"

    def client_log(self, index: int) -> Path:
        """What client ``index`` says."""
        return self.logs / f"client-{index}.log"

    def prepare(self) -> None:
        """Make the folders and remove the results of an earlier load, which would be counted again.

        Raises ``ArtifactError``, and ``UsageError`` for files of these names that no load wrote.
        """
        inventory = self.results / "inventory.json"
        with _explained(self.results):
            self.results.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(parents=True, exist_ok=True)
            of_an_older_version = _is_inventory(inventory)
            results = [*self.results.glob("client-*.json"), *([inventory] if os.path.lexists(inventory) else [])]
            for folder, old in ((self.results, results), (self.logs, [*self.logs.glob("client-*.log")])):
                if not marks.is_inside(folder):
                    if old and not of_an_older_version:
                        raise UsageError(
                            f"--results {self.results}: {old[0]} is there and of no load. Allowed: another folder"
                        )
                    marks.put(folder)
            for path in (*results, *self.logs.glob("client-*.log")):
                path.unlink(missing_ok=True)

    def write_inventory(self, inventory: dict[str, Any]) -> None:
        """Write ``inventory.json``. Raises ``ArtifactError``."""
        path = self.results / "inventory.json"
        with _explained(path):
            path.write_text(json.dumps(inventory, indent=1) + "\n", encoding="utf-8")

    def keep_logs(self, logs: Iterable[Path]) -> None:
        """Copy logs, at most their last megabyte each. Raises ``ArtifactError``."""
        for log in logs:
            if not log.exists():  # its process never came as far as to open it
                continue
            kept = self.logs / log.name
            with _explained(kept), log.open("rb") as source, kept.open("wb") as target:
                source.seek(max(0, log.stat().st_size - _LOG_LIMIT))
                shutil.copyfileobj(source, target)

    def keep_queries(self, queries: Iterable[Any]) -> None:
        """Write the DNS queries of the load, one JSON object a line. Raises ``ArtifactError``."""
        path = self.logs / "dns.jsonl"
        with _explained(path):
            path.write_text("".join(json.dumps(to_dict(query)) + "\n" for query in queries), encoding="utf-8")


def _is_inventory(path: Path) -> bool:
    """Recognize the results of a version that set no marks."""
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if marks.is_file(path) else None
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and {"cluster", "replicas", "versions"} <= data.keys()


def targets(block: Block, port: int, client: int = 0, ready: Iterable[str] = ()) -> dict[str, str]:
    """Return what the words of ``client.target`` mean here, for the client with this index.

    ``ready`` are the addresses of the replicas that are ready now.
    """
    sidecar = block.sidecar(client)
    return {
        "endpoints": ",".join(f"{address}:{port}" for address in ready),
        "gateway": f"{block.gateway}:{GATEWAY_PORT}",
        "gateway_admin": f"{block.gateway}:{ADMIN_PORT}",
        "port-forward": f"{block.port_forward}:{port}",
        **{name: f"{name}:{number}" for name, number in CONTROL_PLANE_PORTS.items()},
        "service": f"echo:{port}",
        "headless": f"echo-headless:{port}",
        "sidecar": f"{sidecar}:{SIDECAR_PORT}",
        "sidecar_admin": f"{sidecar}:{ADMIN_PORT}",
    }


def client_plan(
    plan: Plan,
    block: Block,
    port: int,
    client: int,
    ready: Iterable[str] = (),
    processes: Mapping[str, int] | None = None,
) -> Plan:
    """Return the plan for one client: the same, but with the proxy that stands beside this one.

    ``processes`` are the pids of ``Plan.processes``.
    """
    own = {**plan.targets, **targets(block, port, client, ready)}
    return dataclasses.replace(plan, targets=own, dns=f"{block.dns}:{DNS_PORT}", processes=dict(processes or {}))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{error.filename or path}: {error.strerror}") from error
