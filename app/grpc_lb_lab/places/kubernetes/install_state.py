"""What the lab installed and where: a digest of the chart, and the places that a reset must look at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.files import write_text
from grpc_lb_lab.own.state import claim_root
from grpc_lb_lab.places.kubernetes.cluster import kubeconfig
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.places.kubernetes.providers import Wanted

CHART = Path(__file__).resolve().parents[4] / "charts" / "grpc-echo"


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


@dataclass(frozen=True)
class Place:
    """A namespace of one certain cluster.

    ``kubeconfig`` (absolute, one file or several as in KUBECONFIG) and ``context`` lead there. ``uid`` is the
    cluster's own: that of its namespace kube-system, empty where the user may not read it; ``server`` and ``authority``
    are as in ``kubeconfig.Target``.
    """

    namespace: str
    kubeconfig: str
    context: str
    server: str = ""
    authority: str = ""
    uid: str = ""

    @property
    def kubectl(self) -> Kubectl:
        """kubectl, bound to this place."""
        return Kubectl(self.namespace, self.kubeconfig, self.context)

    def is_in_cluster_of(self, other: Place) -> bool:
        """Tell whether both are in the same cluster. One of an older lab, which noted no more, is where it leads to."""
        if self.uid and other.uid:
            return self.uid == other.uid
        if not self.server or not other.server:
            return (self.kubeconfig, self.context) == (other.kubeconfig, other.context)
        return (self.server, self.authority) == (other.server, other.authority)

    def is_same_as(self, other: Place) -> bool:
        """Tell whether both are the same namespace of the same cluster."""
        return self.namespace == other.namespace and self.is_in_cluster_of(other)

    def __str__(self) -> str:
        """Return the place as messages name it."""
        where = f" ({self.server})" if self.server else ""
        return f"context {self.context}{where}, namespace {self.namespace}"


def find(wanted: Wanted) -> Place:
    """Return the place with all that is known without asking the cluster. Raises ``KubeconfigError``."""
    found = kubeconfig.find(wanted.kubeconfig, wanted.context)
    return Place(wanted.namespace, found.kubeconfig, found.context, found.server, found.authority)


def remember(state: Path, place: Place) -> None:
    """Note that the lab installs something in this place, so that a reset finds it from wherever it is called."""
    places = remembered(state)
    if place not in places:
        _write(state, [*places, place])


def forget(state: Path, *places: Place) -> None:
    """Strike places off: nothing of the lab is left there, or nobody wants to know."""
    _keep(state, [known for known in remembered(state) if not any(known.is_same_as(place) for place in places)])


def forget_cluster(state: Path, authority: str) -> None:
    """Strike off every place in the cluster with these certificates: it was deleted."""
    _keep(state, [known for known in remembered(state) if not authority or known.authority != authority])


def _keep(state: Path, kept: list[Place]) -> None:
    if kept:
        _write(state, kept)
    else:
        _file(state).unlink(missing_ok=True)


def remembered(state: Path) -> list[Place]:
    """Return the places, oldest first. Raises ``LabError`` for a file that is not as the lab wrote it."""
    path = _file(state)
    try:
        return [Place(**{str(key): str(value) for key, value in item.items()}) for item in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"{path}, where the lab notes in which clusters it installed something, cannot be read ({error}). "
            "Look there yourself (Helm releases echo and load), then remove this file"
        ) from error


def _file(state: Path) -> Path:
    return state / "kubernetes.json"


def _write(state: Path, places: list[Place]) -> None:
    claim_root(state)
    write_text(_file(state), json.dumps([asdict(place) for place in places], indent=1) + "\n")
