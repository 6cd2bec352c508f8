"""Envoy's files: the real Envoy accepts them, and they say what the strategy's row asks for."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local.supervisor import envoy
from grpc_lb_lab.places.local.supervisor.service import endpoints, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

SIDECAR = envoy.CHART_FILES / "sidecar.yaml"
WORDS = {"LISTEN_ADDRESS": "127.77.2.1", "ADMIN_ADDRESS": "127.77.2.1", "ECHO_PORT": 50051}
POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV")


def validate(config: Path, extra: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    line = [*envoy.command(envoy.find_program().path, config, extra), "--mode", "validate"]
    return subprocess.run(line, capture_output=True, text=True, cwd=config.parent, timeout=30, check=False)


@pytest.mark.parametrize("policy", POLICIES)
def test_envoy_accepts_the_sidecar_with_every_policy(tmp_path: Path, policy: str) -> None:
    config = tmp_path / "sidecar.yaml"
    config.write_text(envoy.fill(SIDECAR, LB_POLICY=policy, **WORDS))
    done = validate(config, envoy.resolver("127.77.0.2"))
    assert done.returncode == 0, done.stderr


def test_envoy_rejects_a_policy_that_does_not_exist(tmp_path: Path) -> None:
    config = tmp_path / "sidecar.yaml"
    config.write_text(envoy.fill(SIDECAR, LB_POLICY="ROUND_ROBBIN", **WORDS))
    assert validate(config).returncode != 0


def test_the_sidecar_has_the_settings_of_its_row() -> None:
    bootstrap = yaml.safe_load(envoy.fill(SIDECAR, LB_POLICY="ROUND_ROBIN", **WORDS))
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    cluster = bootstrap["static_resources"]["clusters"][0]
    http2 = next(iter(cluster["typed_extension_protocol_options"].values()))["explicit_http_config"]
    check = cluster["health_checks"][0]
    assert manager["via"] == "envoy-client"
    assert route["timeout"] == "30s"
    assert route["retry_policy"] == {
        "retry_on": "unavailable,resource-exhausted",
        "num_retries": 3,
        "per_try_timeout": "10s",
    }
    assert (cluster["name"], cluster["type"], cluster["connect_timeout"]) == ("echo", "STRICT_DNS", "5s")
    assert cluster["lb_policy"] == "ROUND_ROBIN"
    assert http2 == {"http2_protocol_options": {"max_concurrent_streams": 100}}
    assert "grpc_health_check" in check
    assert (check["interval"], check["timeout"]) == ("10s", "5s")
    assert (check["unhealthy_threshold"], check["healthy_threshold"]) == (3, 2)
    assert bootstrap["admin"]["address"]["socket_address"]["port_value"] == 9901


def test_envoy_accepts_the_service_file(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    config = tmp_path / "service.yaml"
    config.write_text(envoy.fill(envoy.SERVICE_FILE, SERVICE_ADDRESS="127.77.0.10", ECHO_PORT=50051))
    write_atomically(tmp_path / "service" / "endpoints.json", json.dumps(endpoints(["127.77.1.1"], 50051)))
    done = validate(config)
    assert done.returncode == 0, done.stderr


def test_endpoints_are_one_assignment_with_a_host_a_replica() -> None:
    [assignment] = endpoints(["127.77.1.1", "127.77.1.2"], 50051)["resources"]
    hosts = [host["endpoint"]["address"]["socket_address"] for host in assignment["endpoints"][0]["lb_endpoints"]]
    assert assignment["cluster_name"] == "echo"
    assert hosts == [{"address": f"127.77.1.{host}", "port_value": 50051} for host in (1, 2)]


def test_no_ready_replica_is_an_assignment_without_hosts() -> None:
    [assignment] = endpoints([], 50051)["resources"]
    assert assignment["endpoints"] == []


def test_an_atomic_write_leaves_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "endpoints.json"
    write_atomically(target, "old")
    before = target.stat().st_ino
    write_atomically(target, "new")
    assert target.read_text() == "new"
    assert target.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [target]


def test_a_placeholder_that_nobody_fills_is_named(tmp_path: Path) -> None:
    template = tmp_path / "odd.yaml"
    template.write_text("a: ${NOBODY}\n")
    with pytest.raises(LabError, match=r"odd\.yaml has a placeholder that nobody fills: 'NOBODY'"):
        envoy.fill(template, LB_POLICY="RANDOM")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"none\.yaml cannot be read: No such file"):
        envoy.fill(tmp_path / "none.yaml")


def test_a_missing_envoy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="needs Envoy, which is not installed: run `make setup`"):
        envoy.find_program()


def test_an_envoy_of_another_platform_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "envoy"
    program.write_bytes(b"\x7fELF of another world")
    program.chmod(0o755)
    monkeypatch.setattr(envoy, "_packaged", lambda: str(program))
    with pytest.raises(LabError, match="does not run on this platform"):
        envoy.find_program()
