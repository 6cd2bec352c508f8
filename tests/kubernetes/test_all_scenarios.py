"""Every scenario on kind, with a client that asks DNS and with an Envoy. Long: `make test-scenarios-kubernetes`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_lab import REPO, Run

if TYPE_CHECKING:
    from kubernetes_lab import KubernetesLab

STRATEGIES = ["headless", "envoy"]
SCENARIOS = sorted(path.stem for path in (REPO / "scenarios").glob("*.yaml"))
LIMIT_S = 1800


@pytest.fixture(scope="module")
def comparison(kind_lab: KubernetesLab) -> Run:
    """One comparison of all of them."""
    return kind_lab.play("compare", limit_s=LIMIT_S, strategies=STRATEGIES, scenarios=SCENARIOS)


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_scenarios(kind_lab: KubernetesLab, comparison: Run, strategy: str, scenario: str) -> None:
    path = kind_lab.artifacts / "latest" / strategy / scenario / "report.json"
    assert path.exists(), comparison.screen
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    verdict = report["verdict"]
    assert verdict["status"] == "pass", verdict["cause"]
    buckets = report["timeline"]["buckets"]
    assert sum(bucket["ok"] + bucket["failed"] for bucket in buckets) == report["actual"]["requests"]
    assert "command" in {event["kind"] for event in report["events"]}
    assert (report["run"]["cluster"], report["run"]["scenario"]) == ("kind", scenario)
