"""The variables of a mesh, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc_lb_lab import settings
from grpc_lb_lab.settings import compare
from grpc_lb_lab.settings.mesh import CHARTS, PITFALLS, VERSION

REPO = Path(__file__).resolve().parents[2]


def check(strategy="istio", cluster="kind", **variables):
    raw = {"lab_strategy": strategy, "lab_cluster": cluster, **variables}
    return settings.validate(raw, repo=REPO, answers=lambda _: True)


def refusal(**variables) -> str:
    with pytest.raises(settings.UsageError) as caught:
        check(**variables)
    return str(caught.value)


def test_defaults():
    found = check()
    assert (found.istio.version, found.istio.charts, found.istio.values) == (VERSION, CHARTS, {})
    assert found.strategy.words["mesh"]["mtls"] == "PERMISSIVE"
    assert "pitfall" not in found.strategy.words["mesh"]
    assert found.facts()["istio"]["version"] == VERSION


def test_a_folder_with_both_charts(tmp_path):
    for part in ("base", "istiod"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "Chart.yaml").touch()
    assert check(lab_istio_charts=str(tmp_path)).istio.charts == str(tmp_path)
    (tmp_path / "istiod" / "Chart.yaml").unlink()
    assert "istiod/Chart.yaml is not in there; allowed is a URL" in refusal(lab_istio_charts=str(tmp_path))


@pytest.mark.parametrize("value", ["https://example.com/charts/", "oci://example.com/istio"])
def test_a_repository_of_charts(value):
    assert check(lab_istio_charts=value).istio.charts == value.rstrip("/")


@pytest.mark.parametrize("value", [7, "", "no/such/folder", "ftp://example.com", "https://two words"])
def test_what_is_no_source_of_charts(value):
    assert "allowed is a URL (https://… or oci://…) or a folder" in refusal(lab_istio_charts=value)


def test_values_as_a_map_or_a_file(tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("global: {hub: example.com/istio}\n")
    wanted = {"global": {"hub": "example.com/istio"}}
    assert check(lab_istio_values=wanted).istio.values == wanted
    assert check(lab_istio_values=str(file)).istio.values == wanted
    file.write_text("")
    assert check(lab_istio_values=str(file)).istio.values == {}


@pytest.mark.parametrize("text", ["- a\n- list\n", "global: {\n", "just words"])
def test_a_file_that_holds_no_map(tmp_path, text):
    file = tmp_path / "values.yaml"
    file.write_text(text)
    assert "allowed is a map or the path of a YAML file" in refusal(lab_istio_values=str(file))
    assert "lab_istio_values=" in refusal(lab_istio_values=str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("value", ["1.30.2", "1.32.0", "1.31", "latest", 1.31, "1.31.1-alpha"])
def test_only_versions_whose_kubernetes_is_known(value):
    assert "allowed is 1.31.N, such as 1.31.1" in refusal(lab_istio_version=value)


def test_strict_is_the_servers_and_no_matter_of_others():
    assert check(lab_istio_mtls="STRICT").strategy.words["mesh"]["mtls"] == "STRICT"
    for strategy in ("service", "istio-proxyless"):
        found = check(strategy, lab_istio_mtls="STRICT")
        assert "mtls" not in found.strategy.words.get("mesh", {})
        assert found.notes == ["lab_istio_mtls is not used: this strategy has no servers with sidecars"]
    assert "lab_istio_mtls=strict: unknown" in refusal(lab_istio_mtls="strict")


def test_a_pitfall_is_one_of_the_strategys():
    assert check(lab_pitfall="tcp-port").strategy.words["mesh"]["pitfall"] == "tcp-port"
    headless = check(lab_pitfall="headless-in-mesh").strategy
    assert headless.client.target == "headless"
    told = refusal(lab_pitfall="ignored-field")
    assert told.startswith(
        "lab_pitfall=ignored-field: strategy=istio cannot be shown with it. Allowed: injection-off, "
    )
    assert "Allowed: none, it is for strategies with a mesh" in refusal(strategy="service", lab_pitfall="tcp-port")
    assert f"Allowed: {', '.join(PITFALLS)}" in refusal(lab_pitfall="everything")


def test_every_pitfall_can_be_shown_with_some_strategy():
    shown = {
        pitfall
        for name in ("istio", "istio-least-request", "istio-port-forward", "istio-proxyless")
        for pitfall in check(name).strategy.words["mesh"].get("pitfalls", [])
    }
    assert shown == set(PITFALLS)


def test_local_is_told_what_works_and_a_comparison_leaves_meshes_out():
    told = refusal(cluster="local")
    assert told == "strategy=istio: cannot run on local. Allowed: -e lab_cluster=kind or -e lab_cluster=existing"
    found = compare.compare({"lab_cluster": "local"}, repo=REPO, answers=lambda _: False)
    assert not any(cell.strategy.startswith("istio") for cell in found.cells)
    assert sum("=istio" in reason and "cannot run on local" in reason for reason in found.left_out) == 4
