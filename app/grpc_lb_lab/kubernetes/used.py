"""What the lab installed and where: a digest of the chart, and the places that a reset must look at."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.own.state import claim_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.kubernetes.programs import Kubectl

CHART = Path(__file__).resolve().parents[3] / "charts" / "grpc-echo"


def chart_digest(images: Sequence[str]) -> str:
    """Return a digest of the chart's files and of the images: what else the servers are made of.

    Helm compares versions and values only; with this among the values it notices an edited template too.
    """
    digest = hashlib.sha256("\n".join(images).encode())
    for path in sorted(item for item in CHART.rglob("*") if item.is_file()):
        digest.update(f"\n{path.relative_to(CHART)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def digest(*parts: str) -> str:
    """Return a digest that changes with any of the texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def remember(state: Path, kubectl: Kubectl) -> None:
    """Note that the lab works in this place, so that a reset finds it when the current context is another by then."""
    places = remembered(state)
    place = _place(kubectl)
    if place not in places:
        _write(state, [*places, place])


def forget(state: Path, kubectl: Kubectl) -> None:
    """Strike a place off: nothing of the lab is left there."""
    places = [place for place in remembered(state) if place != _place(kubectl)]
    if places:
        _write(state, places)
    else:
        _file(state).unlink(missing_ok=True)


def remembered(state: Path) -> list[dict[str, str]]:
    """Return the places, oldest first, each with the fields of ``Kubectl``."""
    try:
        places: list[dict[str, str]] = json.loads(_file(state).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return places


def _place(kubectl: Kubectl) -> dict[str, str]:
    return {"namespace": kubectl.namespace, "kubeconfig": kubectl.kubeconfig, "context": kubectl.context}


def _file(state: Path) -> Path:
    return state / "kubernetes.json"


def _write(state: Path, places: list[dict[str, str]]) -> None:
    claim_root(state)
    _file(state).write_text(json.dumps(places, indent=1) + "\n", encoding="utf-8")
