"""The variables of a mesh: which Istio, from where, and what a run changes of the strategy's own settings."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab import documents
from grpc_lb_lab.model.strategy import Mesh, Strategy
from grpc_lb_lab.model.text import acts, one_line
from grpc_lb_lab.settings import values
from grpc_lb_lab.settings.problems import Problem
from grpc_lb_lab.settings.values import RefusedError

if TYPE_CHECKING:
    from grpc_lb_lab.settings.reader import Reader

VERSION = "1.31.1"
CHARTS = "https://blob.istio.io/istio-release/charts"
MTLS = ("PERMISSIVE", "STRICT")
PITFALLS = ("injection-off", "unnamed-port", "tcp-port", "headless-in-mesh", "ignored-field")
PARTS = ("base", "istiod")

# 1.31 only: which Kubernetes a version supports is known to places/kubernetes/cluster/istio.py, not to the charts.
_VERSION = values.Pattern(re.compile(r"1\.31\.[0-9]{1,2}"), f"allowed is 1.31.N, such as {VERSION}")
_URL = re.compile(r"(https?|oci)://[^\s]{1,2000}")


@dataclass(frozen=True)
class Istio:
    """The Istio that the lab installs where there is none. ``values`` go to the chart istiod."""

    version: str = VERSION
    charts: str = CHARTS
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Charts:
    """Where the charts base and istiod are: a URL, or a folder that holds both."""

    base: Path

    def parse(self, value: Any) -> str:
        """Return the URL without a slash at its end, or the absolute path."""
        if isinstance(value, str) and _URL.fullmatch(value) and not any(map(acts, value)):
            return value.rstrip("/")
        allowed = "allowed is a URL (https://… or oci://…) or a folder that holds the charts base and istiod"
        try:
            folder = values.ExistingFolder(self.base).parse(value)
        except RefusedError as refused:
            raise RefusedError(allowed) from refused
        missing = [part for part in PARTS if not (folder / part / "Chart.yaml").is_file()]
        if missing:
            raise RefusedError(f"{missing[0]}/Chart.yaml is not in there; {allowed}")
        return str(folder)


@dataclass(frozen=True)
class ChartValues:
    """Values of a chart: a map, or the path of a YAML file that holds one."""

    base: Path

    def parse(self, value: Any) -> dict[str, Any]:
        """Return the map; an empty file is an empty one."""
        allowed = "allowed is a map or the path of a YAML file that holds one"
        if not isinstance(value, dict | str) or (isinstance(value, str) and any(map(acts, value))):
            raise RefusedError(allowed)
        try:
            if isinstance(value, dict):
                documents.check(value)
                return value
            data = documents.read(self.base / Path(value).expanduser())
        except (documents.DocumentError, RuntimeError, ValueError) as error:  # a ~user that does not exist; no UTF-8
            raise RefusedError(f"{allowed} ({one_line(str(error), 200)})") from error
        if data is not None and not isinstance(data, dict):
            raise RefusedError(allowed)
        return data or {}


def read(reader: Reader, repo: Path) -> Istio:
    """Read the variables of the installation; where one is refused its default stands in."""
    return Istio(
        version=reader.value("lab_istio_version", _VERSION, VERSION) or VERSION,
        charts=reader.value("lab_istio_charts", Charts(repo), CHARTS) or CHARTS,
        values=reader.value("lab_istio_values", ChartValues(repo), None) or {},
    )


def apply(reader: Reader, strategy: Strategy | None) -> tuple[Strategy | None, list[str]]:
    """Return the strategy with what the run wants of its mesh, and notes on what it has no use for."""
    mtls = reader.value("lab_istio_mtls", values.Word(MTLS), None)
    pitfall = reader.value("lab_pitfall", values.Word(PITFALLS), None)
    if not strategy:
        return strategy, []
    mesh = strategy.mesh or Mesh()
    if pitfall and pitfall not in mesh.pitfalls:
        has = ", ".join(mesh.pitfalls) or "none, it is for strategies with a mesh (docs/istio.md)"
        reader.problems.append(Problem(f"lab_pitfall={pitfall}: strategy={strategy.name} cannot be shown with it", has))
        return strategy, []
    changed = copy.deepcopy(strategy.words)
    notes = []
    if mtls and mesh.mtls:
        changed["mesh"]["mtls"] = mtls
    elif mtls:
        notes.append("lab_istio_mtls is not used: this strategy has no servers with sidecars")
    if pitfall:
        changed["mesh"]["pitfall"] = pitfall
        notes.append(f"pitfall {pitfall}: this run is to show what goes wrong (docs/istio.md)")
    if pitfall == "headless-in-mesh":
        changed["client"]["target"] = "headless"
    return Strategy.parse(changed), notes
