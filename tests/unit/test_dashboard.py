"""The Grafana dashboard and the Prometheus files have what Grafana and Prometheus need to take them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((REPO / "dashboards" / "grpc-lb-lab.json").read_text())
PANELS = DASHBOARD["panels"]


def test_it_imports_anywhere():
    """No id of somebody's own Grafana, and the data source is asked for."""
    assert "id" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] >= 36  # Grafana migrates older ones, and data sources were names before
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    own = {"type": "prometheus", "uid": "${datasource}"}
    assert all(panel["datasource"] == own for panel in PANELS)
    assert all(target["datasource"] == own for panel in PANELS for target in panel["targets"])


def test_panels_have_their_own_place_and_id():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["title"] and panel["description"] for panel in PANELS)


def test_prometheus_files_give_the_labels_that_the_dashboard_uses():
    local = yaml.safe_load((REPO / "dashboards" / "prometheus-local.yml").read_text())
    assert local["scrape_configs"][0]["file_sd_configs"] == [{"files": ["../.lab/local/metrics.json"]}]
    cluster = yaml.safe_load((REPO / "dashboards" / "prometheus-kubernetes.yml").read_text())
    rules = cluster["scrape_configs"][0]["relabel_configs"]
    assert {rule.get("target_label") for rule in rules} == {None, "pod", "role"}
    assert {rule["replacement"] for rule in rules if "replacement" in rule} == {"client", "server"}
    assert "metrics" in {rule["regex"] for rule in rules if rule.get("action") == "keep"}
