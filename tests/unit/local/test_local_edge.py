"""The gateway's files, the programs that strategies need, the forwarder, the endpoints file, and what is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.local import programs
from grpc_lb_lab.places.local.addresses import Block
from grpc_lb_lab.places.local.desired_state import make_wish, merge, read_strategy, refuse_what_cannot_run
from grpc_lb_lab.places.local.supervisor import edge, envoy
from grpc_lb_lab.places.local.supervisor.control_planes import endpoints
from grpc_lb_lab.places.local.supervisor.dns_records import Zone
from grpc_lb_lab.places.local.supervisor.member import Member
from grpc_lb_lab.places.local.supervisor.server_proxy import port_behind

STRATEGIES = Path(__file__).parents[3] / "strategies"
READY = ("127.77.1.1", "127.77.1.2")
OLD, NEW = programs.Program("/nginx", "1.22.1"), programs.Program("/nginx", "1.29.0")


def strategy(name: str) -> Strategy:
    return read_strategy(STRATEGIES / f"{name}.yaml")


def place(folder: Path) -> edge.Place:
    return edge.Place(Block(77), 50051, folder, folder)


def filled(kind: str, file: str, program: programs.Program, folder: Path) -> str:
    return edge.fill(edge.FILES / file, edge.words(kind, program, place(folder), READY))


def test_nginx_gets_addresses_where_it_cannot_follow_a_name(tmp_path: Path) -> None:
    text = filled("nginx", "gateway-nginx.conf", OLD, tmp_path)
    assert "server 127.77.1.1:50051;\n    server 127.77.1.2:50051;" in text
    assert "resolver 127.77.0.2:5353 valid=5s" in text
    assert "server echo-headless:50051 resolve;" in filled("nginx", "gateway-nginx.conf", NEW, tmp_path)


@pytest.mark.parametrize("name", ["gateway", "gateway-nginx", "gateway-haproxy"])
def test_every_gateway_writes_its_hop_and_speaks_http2(tmp_path: Path, name: str) -> None:
    section = strategy(name).gateway
    assert section is not None
    text = filled(section.proxy, section.config, NEW, tmp_path)
    assert {"envoy": "via: gateway", "nginx": "via gateway;", "haproxy": "add-header via gateway"}[
        section.proxy
    ] in text
    assert "${" not in text
    assert "127.77.0.20:8080" in text or "127.77.0.20, port_value: 8080" in text


def test_placeholders_leave_the_proxys_own_variables_alone(tmp_path: Path) -> None:
    template = tmp_path / "x.conf"
    template.write_text("log $status $$ ${LB_POLICY}")
    assert edge.fill(template, {"LB_POLICY": "RANDOM"}) == "log $status $$ RANDOM"
    template.write_text("${NOBODY}")
    with pytest.raises(LabError, match="a placeholder that nobody fills: 'NOBODY'"):
        edge.fill(template, {})
    with pytest.raises(LabError, match=r"none\.cfg cannot be read"):
        edge.fill(tmp_path / "none.cfg", {})


def _check(kind: str, config: Path, program: programs.Program, folder: Path) -> list[str]:
    line = edge.command(kind, program, config, place(folder))
    return [*line, "-t"] if kind == "nginx" else [program.path, "-c", "-f", str(config)]


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        pytest.param("nginx", "gateway-nginx.conf", marks=pytest.mark.needs("nginx")),
        pytest.param("haproxy", "gateway-haproxy.cfg", marks=pytest.mark.needs("haproxy")),
    ],
)
def test_the_real_program_accepts_its_file(tmp_path: Path, kind: str, file: str) -> None:
    program = programs.find(kind)
    config = tmp_path / file
    config.write_text(filled(kind, file, program, tmp_path))
    done = subprocess.run(_check(kind, config, program, tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("../gateway/gateway.yaml", {"ECHO_HOST": "echo-headless", "LB_POLICY": "ROUND_ROBIN"}),
        ("server-sidecar.yaml", {"SERVER_ADDRESS": "127.0.0.1", "SERVER_PORT": 50061}),
        ("sidecar-advanced.yaml", {"LB_POLICY": "LEAST_REQUEST"}),
    ],
)
def test_envoy_accepts_its_file(tmp_path: Path, file: str, words: dict[str, Any]) -> None:
    config = tmp_path / "envoy.yaml"
    common = {"LISTEN_ADDRESS": "127.77.2.1", "ADMIN_ADDRESS": "127.77.2.1", "ECHO_PORT": 50051}
    config.write_text(envoy.fill(envoy.CHART_FILES / file, **common, **words))
    line = [*envoy.command(envoy.find_program().path, config, envoy.resolver("127.77.0.2")), "--mode", "validate"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_the_advanced_sidecar_has_the_settings_of_its_row() -> None:
    words = {"LISTEN_ADDRESS": "a", "ADMIN_ADDRESS": "a", "ECHO_PORT": 1, "LB_POLICY": "LEAST_REQUEST"}
    bootstrap = yaml.safe_load(envoy.fill(envoy.CHART_FILES / "sidecar-advanced.yaml", **words))["static_resources"]
    manager = bootstrap["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert [(one["match"]["prefix"], one["route"]["cluster"], one["route"]["timeout"]) for one in routes] == [
        ("/greeter.Greeter/", "greeter", "30s"),
        ("/orders.OrderService/", "orders", "60s"),
        ("/", "default", "30s"),
    ]
    clusters = {one["name"]: one for one in bootstrap["clusters"]}
    assert [one["lb_policy"] for one in clusters.values()] == ["LEAST_REQUEST", "ROUND_ROBIN", "ROUND_ROBIN"]
    [limits] = clusters["greeter"]["circuit_breakers"]["thresholds"]
    assert limits | {"priority": "DEFAULT"} == {
        "priority": "DEFAULT",
        "max_connections": 100,
        "max_pending_requests": 100,
        "max_requests": 1000,
        "max_retries": 3,
    }
    assert clusters["greeter"]["outlier_detection"] == {
        "consecutive_5xx": 5,
        "interval": "10s",
        "base_ejection_time": "30s",
        "max_ejection_percent": 50,
    }
    [check] = clusters["greeter"]["health_checks"]
    found = (check["timeout"], check["interval"], check["unhealthy_threshold"], check["healthy_threshold"])
    assert found == ("5s", "10s", 3, 2)


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SERVERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "install the package nginx-light" in programs.missing("nginx")
    assert programs.missing("") == ""
    with pytest.raises(
        LabError, match="needs haproxy, and haproxy is not installed on this machine: install the package"
    ):
        programs.find("haproxy")


def test_needs_of_the_strategies_with_a_world_of_their_own() -> None:
    assert strategy("gateway-nginx").needs.gateway == "nginx"
    assert not strategy("gateway-nginx").needs.envoy
    assert strategy("gateway").needs.envoy
    assert strategy("envoy-both").needs.server_proxy == "server-sidecar.yaml"
    assert strategy("port-forward").needs.forward
    assert strategy("xds").needs.control_plane == "xds"


def test_control_planes_stay_and_server_proxies_do_not() -> None:
    running = make_wish(strategy("lookaside"), 5)
    assert merge(running, make_wish(strategy("xds"), 5)).control_planes == ["lookaside", "xds"]
    assert merge(make_wish(strategy("envoy-both"), 5), make_wish(strategy("envoy"), 5)).server_proxy == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"strategy": {"name": "x", "clusters": ["kind"]}},
            "strategy x cannot run on local; it needs -e lab_cluster=kind",
        ),
        ({"client": {"target": "sidecar"}}, "client.target=sidecar needs `envoy.client`"),
        ({"client": {"target": "xds"}}, "client.target=xds needs `controlPlane: xds`"),
        ({"client": {"target": "gateway"}}, "client.target=gateway needs `gateway`"),
        ({"client": {"target": "mesh"}}, "client.target=mesh is none of endpoints, gateway,"),
    ],
)
def test_what_cannot_run_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_what_cannot_run(Strategy.parse({"client": {"target": "headless"}, **changes}))
    assert words in str(refused.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in STRATEGIES.glob("*.yaml")))
def test_every_strategy_for_local_is_accepted(name: str) -> None:
    found = strategy(name)
    if found.runs_on("local"):
        refuse_what_cannot_run(found)
    else:
        with pytest.raises(UsageError):
            refuse_what_cannot_run(found)


def test_control_planes_have_names() -> None:
    zone = Zone("127.77.0.10", others=(("lookaside", "127.77.0.3"),))
    assert zone.addresses("lookaside.grpc-lb-lab.svc.cluster.local.") == ("127.77.0.3",)
    assert zone.addresses("xds.") is None


def test_the_endpoints_file_is_what_the_control_planes_read() -> None:
    from grpc_lb_lab.control_planes.endpoints.file import parse

    states = ("ready", "starting", "terminating", "unready", "ended")
    members = [Member(f"p{n}", f"u{n}", f"127.77.1.{n}", 50051, None, state=s) for n, s in enumerate(states)]  # type: ignore[arg-type]
    found = parse(json.dumps(endpoints(members)))
    assert sorted(found.services) == ["echo", "echo-headless"]
    assert [one.pod for one in found.eligible("echo") or ()] == ["p0"]
    assert len(found.services["echo"]) == 3


def test_the_server_listens_behind_its_envoy_on_another_port() -> None:
    assert port_behind(50051) == 50061
    assert port_behind(50061) == 50062


def test_a_forwarder_sends_everything_to_one_address_from_its_own() -> None:
    from grpc_lb_lab.places.local.forward import forward

    async def scenario() -> tuple[bytes, str]:
        peers = []

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peers.append(writer.get_extra_info("peername")[0])
            writer.write(await reader.read(100))
            writer.close()

        server = await asyncio.start_server(echo, "127.98.1.1", 0)
        port = server.sockets[0].getsockname()[1]
        running = asyncio.create_task(forward(("127.98.0.30", port), ("127.98.1.1", port)))
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.98.0.30", port)
        writer.write(b"hello")
        answer = await reader.read()
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()
        return answer, peers[0]

    assert asyncio.run(scenario()) == (b"hello", "127.98.0.30")
