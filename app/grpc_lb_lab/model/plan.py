"""What goes into a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.files import write_text
from grpc_lb_lab.model.scenario import ScenarioPlan
from grpc_lb_lab.model.strategy import Strategy

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Load:
    """The load that was asked for; ``requests`` or ``duration_s`` is set, not both. ``rate_rps`` None: closed loop."""

    requests: int | None = 1000
    duration_s: float | None = None
    rate_rps: float | None = None
    concurrency: int = 1
    clients: int = 1
    connections: int = 1
    replicas: int = 5
    seed: int = 1
    deadline_s: float = 5.0


@dataclass(frozen=True)
class Plan:
    """All that a client needs to know. The same JSON in a ConfigMap and in a local file.

    ``strategy`` is what the strategy file says, as settings have settled it. ``targets`` maps the words of
    ``client.target`` to addresses, for example
    ``{"service": "echo:50051", "sidecar": "127.0.0.1:15001", "sidecar_admin": "127.0.0.1:9901"}``; an empty
    ``headless`` means that not the clients ask the servers what they counted, but whoever started them. ``dns`` is
    ``HOST:PORT`` of the DNS server that gRPC shall ask, or empty for the machine's own. ``course`` is None in the
    scenario ``steady``, where nothing happens but the load. ``processes`` are the pids of what stands between client
    and servers on this machine, by the address that ``ProxyStats`` has for it, or by a name where nobody asks it for
    counts.
    """

    run: str
    scenario: str
    strategy: Strategy
    load: Load
    targets: dict[str, str]
    dns: str = ""
    course: ScenarioPlan | None = None
    processes: dict[str, int] = field(default_factory=dict)


def read_plan(path: Path) -> Plan:
    """The plan in the file that ``--plan`` names. Raises ``UsageError`` when it cannot be read or is no plan."""
    try:
        return from_dict(Plan, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"--plan {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"--plan {path} is not a plan: {error}") from error


def write_plan(path: Path, plan: Plan) -> Path:
    """Write a plan for ``read_plan``. Raises ``ArtifactError``."""
    return write_text(path, json.dumps(to_dict(plan), indent=1) + "\n")
