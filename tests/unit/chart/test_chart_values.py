"""The schema refuses what the chart does not know; rules between fields tell all that is wrong at once."""

from __future__ import annotations

import json
from typing import Any

import chart_render
import helm_python
import pytest

SCHEMA = json.loads((chart_render.CHART / "values.schema.json").read_text(encoding="utf-8"))
STRATEGIES = chart_render.strategies()


def open_objects(schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of objects that accept any key."""
    found = set()
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        closed_otherwise = "propertyNames" in schema and isinstance(schema.get("additionalProperties"), dict)
        found |= set() if closed_otherwise else {path}
    for key, child in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
        found |= open_objects(child, f"{path}.{key}".lstrip("."))
    return found


def test_schema_is_closed_at_every_level() -> None:
    assert open_objects(SCHEMA) == set()


def test_an_open_object_would_be_noticed() -> None:
    changed = json.loads(json.dumps(SCHEMA))
    del changed["properties"]["plan"]["properties"]["load"]["additionalProperties"]
    assert open_objects(changed) == {"plan.load"}


def test_every_default_is_in_the_schema_and_valid() -> None:
    assert chart_render.render(STRATEGIES["service"], "servers")
    defaults = helm_python.values_from_yaml((chart_render.CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(defaults) < set(SCHEMA["properties"])
    of_strategy = {"strategy", "client", "server", "envoy", "gateway", "controlPlane", "load"}
    assert not set(defaults) & of_strategy, "a default would leak into the plan"


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 5},
        {"images": {"application": "x"}},
        {"clusterDns": {"domains": "x"}},
        {"clusterDns": {"server": "two words"}},
        {"resources": {"app": {"request": {}}}},
        {"resources": {"app": {"limits": {"gpu": 1}}}},
        {"plan": {"load": {"request": 10}}},
        {"plan": {"targets": {"sidecar": "127.0.0.1"}}},
        {"drain": {"prestop": 1}},
        {"replicas": 0},
        {"replicas": "5"},
        {"port": 80},
        {"part": "server"},
        {"plan": {"scenario": "Scale up"}},
        {"images": {"app": "has space"}},
    ],
)
def test_values_that_are_refused(values: dict[str, Any]) -> None:
    strategy = STRATEGIES["service"]
    with pytest.raises(helm_python.HelmError):
        helm_python.Chart.load(chart_render.CHART).render({**strategy, **values}, name="echo", namespace="x")


def test_without_a_strategy_file() -> None:
    with pytest.raises(helm_python.HelmError, match="strategy"):
        helm_python.Chart.load(chart_render.CHART).render({}, name="echo", namespace="x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"envoy": {}}, ["envoy.client must name a file"]),
        ({"envoy": {"client": "sidecar.yaml"}}, ["envoy.lbPolicy must be set"]),
        ({"envoy": {"client": "none.yaml"}}, ["envoy.lbPolicy must be set", "there is no files/envoy/none.yaml"]),
        ({"client": {"channel": "pick_first", "target": "service"}}, ["client.target must be sidecar, not service"]),
        ({"client": {"channel": "pick_first", "target": "port-forward"}}, ["the client runs outside the cluster"]),
        ({"controlPlane": "xds"}, ["controlPlane and client.target must be the same"]),
        (
            {"gateway": {"proxy": "nginx", "config": "none.conf"}},
            ["there is no files/gateway/none.conf", "client.target must be gateway, not sidecar"],
        ),
        ({"client": {"channel": "pick_first", "target": "gateway"}}, ["gateway must name a proxy", "runs outside"]),
        ({"client": {"channel": "xds", "target": "xds"}}, ["controlPlane and client.target must be the same"]),
        ({"envoy": {"server": "none.yaml"}}, ["envoy.server: there is no files/envoy/none.yaml"]),
        ({"plan": {"load": {"requests": 1, "duration_s": 1}}}, ["set requests or duration_s, not both"]),
    ],
)
def test_rules_between_fields(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(helm_python.HelmError) as error:
        chart_render.render({**STRATEGIES["envoy"], **change}, "load")
    for text in words:
        assert text in str(error.value)


def test_a_placeholder_that_nobody_fills() -> None:
    strategy = {**STRATEGIES["envoy"], "envoy": {"client": "sidecar-hash.yaml", "lbPolicy": "MAGLEV"}}
    with pytest.raises(
        helm_python.HelmError, match=r"sidecar-hash\.yaml has a placeholder that nobody fills: \$\{HASH_HEADER"
    ):
        chart_render.render(strategy, "load")


def test_a_strategy_that_insists_on_replicas() -> None:
    with pytest.raises(helm_python.HelmError, match="insists on 1 replicas: --set replicas=1"):
        chart_render.render(STRATEGIES["baseline"], "servers", replicas=5)


def test_lint_has_nothing_to_say() -> None:
    report = helm_python.lint(chart_render.CHART, values=STRATEGIES["service"], strict=True)
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [item["error"] for item in report["messages"]] == ["icon is recommended"]


def test_notes_say_what_to_do_next() -> None:
    servers = chart_render.render(STRATEGIES["envoy"], "servers")["NOTES.txt"]
    assert "helm --namespace grpc-lb-lab test echo" in servers
    assert "-f strategies/envoy.yaml --set part=load" in servers
    assert "wait --for=condition=complete" in chart_render.render(STRATEGIES["envoy"], "load")["NOTES.txt"]
