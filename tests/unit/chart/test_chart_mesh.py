"""What a strategy's `mesh` makes of the chart, and what each pitfall changes."""

from __future__ import annotations

import json
from typing import Any

import chart_render
import pytest

STRATEGIES = chart_render.strategies()
MESHES = {name: strategy for name, strategy in STRATEGIES.items() if "mesh" in strategy}
OPT_OUT = "sidecar.istio.io/inject"


def with_pitfall(name: str, pitfall: str) -> dict[str, Any]:
    return {**MESHES[name], "mesh": {**MESHES[name]["mesh"], "pitfall": pitfall}}


def templates(strategy: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """Return what each pod of a release is made from, by its kind."""
    objects = chart_render.objects(strategy, part)
    pods = {item["kind"]: item for item in objects if item["kind"] in ("Deployment", "Job", "Pod")}
    return {kind: item if kind == "Pod" else item["spec"]["template"] for kind, item in pods.items()}


def one(strategy: dict[str, Any], kind: str, name: str = "echo") -> dict[str, Any]:
    objects = chart_render.objects(strategy, "servers")
    return next(item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - set(MESHES)))
def test_no_pod_of_other_strategies_lets_istio_in(name: str) -> None:
    for part in chart_render.parts(STRATEGIES[name]):
        for pod in templates(STRATEGIES[name], part).values():
            assert pod["metadata"]["labels"][OPT_OUT] == "false"
        kinds = {item["apiVersion"] for item in chart_render.objects(STRATEGIES[name], part)}
        assert not any("istio" in kind for kind in kinds)


@pytest.mark.parametrize("name", ["istio", "istio-least-request"])
def test_sidecars_are_let_in_and_count_for_the_calls(name: str) -> None:
    found = templates(MESHES[name], "servers") | templates(MESHES[name], "load")
    for pod in found.values():
        assert OPT_OUT not in pod["metadata"]["labels"]
    for kind in ("Deployment", "Job"):
        config = json.loads(found[kind]["metadata"]["annotations"]["proxy.istio.io/config"])
        (pattern,) = config["proxyStatsMatcher"]["inclusionRegexps"]
        assert pattern == "cluster[.](outbound|inbound)[|]50051[|].*"


def test_only_the_client_of_a_proxyless_mesh_has_an_agent() -> None:
    strategy = MESHES["istio-proxyless"]
    for pod in templates(strategy, "servers").values():
        assert pod["metadata"]["labels"][OPT_OUT] == "false"
    job = templates(strategy, "load")["Job"]
    assert job["metadata"]["annotations"]["inject.istio.io/templates"] == "grpc-agent"
    assert job["spec"]["shareProcessNamespace"] is True
    agent = job["spec"]["containers"][1]
    assert (agent["name"], agent["image"], agent["imagePullPolicy"]) == ("istio-proxy", "auto", "IfNotPresent")
    assert "shareProcessNamespace" not in templates(MESHES["istio"], "load")["Job"]["spec"]


def test_the_rule_and_the_mode_are_the_strategys() -> None:
    strategy = MESHES["istio-least-request"]
    rule = one(strategy, "DestinationRule")
    assert (rule["apiVersion"], rule["spec"]["host"]) == (
        "networking.istio.io/v1",
        "echo.grpc-lb-lab.svc.cluster.local",
    )
    assert rule["spec"]["trafficPolicy"] == strategy["mesh"]["destinationRule"]
    peers = one(strategy, "PeerAuthentication")
    assert (peers["apiVersion"], peers["spec"]["mtls"]) == ("security.istio.io/v1", {"mode": "PERMISSIVE"})
    pod = templates(strategy, "servers")["Deployment"]
    assert peers["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_the_production_rule_is_the_one_of_the_page() -> None:
    assert MESHES["istio-least-request"]["mesh"]["destinationRule"] == {
        "loadBalancer": {"simple": "LEAST_REQUEST"},
        "connectionPool": {
            "tcp": {"maxConnections": 100, "connectTimeout": "30s"},
            "http": {"http2MaxRequests": 1000, "maxRequestsPerConnection": 10},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 5,
            "interval": "30s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 50,
        },
    }


def test_pitfall_injection_off_is_the_clients() -> None:
    strategy = with_pitfall("istio", "injection-off")
    assert templates(strategy, "load")["Job"]["metadata"]["labels"][OPT_OUT] == "false"
    assert OPT_OUT not in templates(strategy, "servers")["Deployment"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("pitfall", "port"),
    [
        ("unnamed-port", {"port": 50051, "targetPort": "grpc"}),
        ("tcp-port", {"name": "tcp-echo", "port": 50051, "targetPort": "grpc"}),
    ],
)
def test_pitfalls_of_the_port_are_the_services(pitfall: str, port: dict[str, Any]) -> None:
    strategy = with_pitfall("istio", pitfall)
    assert one(strategy, "Service")["spec"]["ports"] == [port]
    assert one(strategy, "Service", "echo-headless")["spec"]["ports"][0]["appProtocol"] == "grpc"


def test_pitfall_ignored_field_asks_by_the_old_name() -> None:
    outliers = one(with_pitfall("istio-least-request", "ignored-field"), "DestinationRule")["spec"]["trafficPolicy"]
    assert outliers["outlierDetection"]["consecutiveErrors"] == 5
    assert "consecutive5xxErrors" not in outliers["outlierDetection"]


@pytest.mark.parametrize(
    "mesh",
    [
        {},
        {"proxy": "envoy"},
        {"proxy": "sidecar", "mtls": "DISABLE"},
        {"proxy": "sidecar", "destinationRule": {"outlierDetection": {"consecutiveErrors": 5}}},
        {"proxy": "sidecar", "destinationRule": {"loadBalancer": {"simple": "ROUNDROBIN"}}},
        {"proxy": "sidecar", "destinationRule": {"connectionPool": {"tcp": {"connectTimeout": "30"}}}},
        {"proxy": "sidecar", "pitfalls": ["none"]},
    ],
)
def test_the_grammar_refuses_what_istio_would_ignore(mesh: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="mesh"):
        chart_render.render({**MESHES["istio"], "mesh": mesh}, "servers")


def test_fields_that_do_not_fit_each_other_are_named() -> None:
    wrong = {
        **MESHES["istio"],
        "client": {"channel": "xds", "target": "mesh"},
        "mesh": {"proxy": "sidecar", "pitfall": "tcp-port", "pitfalls": ["ignored-field"]},
    }
    with pytest.raises(Exception, match="mesh") as caught:
        chart_render.render(wrong, "servers")
    told = str(caught.value)
    assert 'client.target mesh and mesh.proxy grpc-agent go together, not mesh and "sidecar"' in told
    assert "mesh.pitfall: tcp-port is none of mesh.pitfalls" in told
    assert "ignored-field needs destinationRule.outlierDetection.consecutive5xxErrors" in told
