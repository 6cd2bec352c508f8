"""Envoy: where the program is, how its files are filled, and what its admin interface says."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import string
import subprocess
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.ports import ADMIN_PORT
from grpc_lb_lab.observe.admin import ask
from grpc_lb_lab.places.local.addresses import DNS_PORT
from grpc_lb_lab.places.local.programs import Program as Program

CHART_FILES = Path(__file__).resolve().parents[5] / "charts" / "grpc-echo" / "files" / "envoy"
SERVICE_FILE = Path(__file__).parent / "files" / "service.yaml"

_ADMIN_TIMEOUT_S = 2.0


def find_program(known: dict[str, Any] | None = None) -> Program:
    """Find Envoy: the Python package's, else the one on PATH. Takes 0.1 s, unless it is the one that is ``known``.

    Raises ``LabError`` when there is none, or none that runs on this platform.
    """
    path = _packaged() or shutil.which("envoy")
    if path is None:
        raise LabError("this strategy needs Envoy, which is not installed: run `make setup`, or put `envoy` on PATH")
    stamp = Path(path).stat().st_mtime_ns
    if known and (known["path"], known["stamp"]) == (path, stamp):
        return Program(**known)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"Envoy at {path} does not run on this platform ({os.uname().machine}): {error}") from error
    # "…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    parts = done.stdout.rpartition("version:")[2].strip().split("/")
    return Program(path, parts[1] if len(parts) > 1 else "unknown", stamp)


def _packaged() -> str | None:
    # Not by importing it: xds-protos also owns `envoy/__init__.py` and may have replaced it.
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "_bin" / "envoy"
        if os.access(program, os.X_OK):
            return str(program)
    return None


def fill(template: Path, **words: str | int) -> str:
    """Fill the ``${WORD}`` placeholders of a bootstrap file. Raises ``LabError`` for a missing file or word."""
    try:
        return string.Template(template.read_text(encoding="utf-8")).substitute(words)
    except OSError as error:
        raise LabError(f"Envoy's file {template} cannot be read: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise LabError(f"Envoy's file {template} has a placeholder that nobody fills: {error}") from error


def resolver(dns: str) -> dict[str, Any]:
    """Return the part of a bootstrap that makes Envoy ask the lab's DNS server at address ``dns``, and only that.

    Over UDP; c-ares asks again by TCP by itself when an answer was truncated.
    """
    kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    server = {"socket_address": {"address": dns, "port_value": DNS_PORT}}
    return {
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": kind,
                "resolvers": [server],
                # The machine's own search domains have no business in the lab.
                "dns_resolver_options": {"no_default_search_domain": True},
            },
        }
    }


def command(program: str, config: Path, extra: dict[str, Any] | None = None) -> list[str]:
    """Return the command line for one Envoy with one worker; ``extra`` is merged into its bootstrap."""
    line = [program, "-c", str(config), "--concurrency", "1", "--log-level", "warning"]
    # Hot restart shares memory between all Envoys of a machine by a number, and they would collide.
    line += ["--disable-hot-restart"]
    return [*line, "--config-yaml", json.dumps(extra)] if extra else line


class Admin:
    """The admin interface of one Envoy."""

    def __init__(self, address: str, port: int = ADMIN_PORT) -> None:
        """``address`` is a host address; nothing is asked yet."""
        self._where = f"{address}:{port}"

    async def ready(self) -> bool:
        """Say whether Envoy has loaded everything and listens."""
        try:
            await self._ask("ready")
        except OSError:
            return False
        return True

    async def healthy_hosts(self) -> int:
        """Count the hosts that get calls: known, and healthy where they are checked; -1: no answer.

        Of several clusters, the one with the fewest counts.
        """
        try:
            body = await self._ask("clusters?format=json")
        except OSError:
            return -1
        healthy = {"eds_health_status": "HEALTHY"}
        counts = [
            sum(host.get("health_status", {}) == healthy for host in cluster.get("host_statuses", []))
            for cluster in json.loads(body).get("cluster_statuses", [])
        ]
        return min(counts, default=0)

    async def _ask(self, path: str) -> bytes:
        return await asyncio.to_thread(ask, self._where, path, timeout_s=_ADMIN_TIMEOUT_S)
