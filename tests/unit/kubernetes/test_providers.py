"""A provider of clusters is one file and one line: here a new one is added so, to a copy of the package, and used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import providers

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = Path(__file__).resolve().parents[3]
NEW = """
from grpc_lb_lab.places.kubernetes.providers import Cluster


class Paper:
    max_replicas = 7
    programs = ("kubectl", "helm")
    engine = "sheet of paper"
    own = True

    def answers(self):
        return True

    def up(self, wanted):
        return Cluster(f"{wanted.state}/{wanted.name}", "paper", changed=True)

    def down(self, wanted):
        return wanted.name == "drawn"

    def load_images(self, wanted, references):
        return list(references)


PROVIDER = Paper()
"""
LINE = '    "paper": "grpc_lb_lab.places.kubernetes.providers.paper",\n'
CHECK = """
import json, pathlib, sys
from grpc_lb_lab import settings

def run(**raw):
    try:
        found = settings.validate(
            {"lab_strategy": "service", "lab_strategies_dir": sys.argv[2], **raw},
            repo=pathlib.Path(sys.argv[1]), platform="linux", answers=lambda name: name == "paper",
        )
    except settings.UsageError as error:
        return str(error)
    return [found.cluster, found.cluster_reason, found.load.replicas, found.worlds]

print(json.dumps({
    "auto": run(),
    "asked for": run(lab_cluster="paper", lab_replicas=7),
    "too many": run(lab_cluster="paper", lab_replicas=8),
    "unknown": run(lab_cluster="papyrus"),
    "only there": run(lab_strategy="drawn"),
    "not there": run(lab_strategy="drawn", lab_cluster="local"),
}))
"""


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Run Python with the copy that has one more provider."""
    package = tmp_path / "app" / "grpc_lb_lab"
    shutil.copytree(REPO / "app" / "grpc_lb_lab", package, ignore=shutil.ignore_patterns("__pycache__"))
    registry = package / "places" / "kubernetes" / "providers" / "__init__.py"
    registry.with_name("paper.py").write_text(NEW)
    text = registry.read_text()
    assert text.count("MODULES = {\n") == 1
    registry.write_text(text.replace("MODULES = {\n", f"MODULES = {{\n{LINE}"))

    def call(*words: str) -> str:
        environment = {"PYTHONPATH": str(package.parent), "PATH": str(tmp_path), "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_a_new_provider_is_checked_as_the_others(python: Callable[..., str], tmp_path: Path) -> None:
    strategies = tmp_path / "strategies"
    shutil.copytree(REPO / "strategies", strategies)
    drawn = (strategies / "service.yaml").read_text().replace("name: service\n", "name: drawn\n  clusters: [paper]\n")
    (strategies / "drawn.yaml").write_text(drawn)
    found = json.loads(python("-c", CHECK, str(REPO), str(strategies)))
    places = ["local", "paper", "kind", "existing"]
    assert found["auto"] == ["paper", "a sheet of paper answers", 5, places]
    assert found["asked for"] == ["paper", "", 7, ["paper"]]
    assert found["too many"] == "lab_replicas=8: allowed is a whole number from 1 to 7"
    assert found["unknown"].endswith("Allowed: auto, local, paper, kind, existing")
    assert found["only there"][0] == "paper"
    assert found["not there"] == "strategy=drawn: cannot run on local. Allowed: -e lab_cluster=paper"


def test_a_new_provider_has_the_commands_of_the_others(python: Callable[..., str], tmp_path: Path) -> None:
    def told(*words: str) -> dict[str, Any]:
        line = ("-m", "grpc_lb_lab", "kubernetes", *words, "--provider=paper", f"--state={tmp_path}/state")
        data: dict[str, Any] = json.loads(python(*line).splitlines()[-1])
        return data

    up = told("up", "--name=drawn", f"--logs={tmp_path}/logs")
    assert up == {"kubeconfig": f"{tmp_path}/state/drawn", "context": "paper", "changed": True}
    assert told("down", "--name=drawn") == {"changed": True}
    assert told("down", "--name=another") == {"changed": False}


@pytest.mark.parametrize("name", providers.names())
def test_every_provider_has_what_a_run_asks_of_it(name: str) -> None:
    provider = providers.get(name)
    assert provider.max_replicas >= 1
    assert {"kubectl", "helm"} <= set(provider.programs)


def test_an_existing_cluster_is_found_and_never_touched(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        json.dumps(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://c:6443"}}],
            }
        )
    )
    wanted = providers.Wanted(tmp_path, kubeconfig=str(tmp_path / "config"))
    existing = providers.get("existing")
    assert existing.up(wanted) == providers.Cluster(str(tmp_path / "config"), "here")
    assert existing.down(wanted) is existing.answers() is False, "nothing was installed anywhere"
    with pytest.raises(LabError, match="lab:1 cannot be copied into an existing cluster"):
        existing.load_images(wanted, ["lab:1"])
