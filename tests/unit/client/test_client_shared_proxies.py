"""What shared proxies say of themselves, and clients that wait for one another."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from grpc_lb_lab.load import start_barrier
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.observe import edge_counters, proxies, shared_proxies

NGINX = "Active connections: 1 \nserver accepts handled requests\n 7 7 1021 \nReading: 0 Writing: 1 Waiting: 0 \n"
HAPROXY = """# pxname,svname,stot,lbtot,connect,reuse,wretr,wredis,econ,eresp,status,
edge,FRONTEND,3,,,,,,,,OPEN,
echo,replica1,510,510,,,0,0,0,0,UP,
echo,replica2,510,510,,,0,0,0,0,UP 1/2,
echo,replica3,0,0,,,0,0,0,0,MAINT (resolution),
echo,BACKEND,1020,1020,2,1018,1,0,0,0,UP,
"""


@pytest.fixture
def admin():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.paths, server.body = [], b""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def address(admin) -> str:
    return f"127.0.0.1:{admin.server_port}"


def test_nginx_tells_requests(admin):
    admin.body = NGINX.encode()
    assert edge_counters.read("nginx", address(admin)) == {"accepts": 7, "handled": 7, "requests": 1021}
    assert admin.paths == ["/stub_status"]


def test_haproxy_tells_requests_connections_and_servers(admin):
    admin.body = HAPROXY.encode()
    found = edge_counters.read("haproxy", address(admin))
    assert (found["requests"], found["connections"], found["retries"], found["servers_up"]) == (1020, 2, 1, 2)
    assert admin.paths == ["/stats;csv"]


def test_envoy_tells_totals_without_gauges(admin):
    admin.body = (
        b'{"stats": [{"name": "cluster.echo.upstream_rq_total", "value": 12},'
        b' {"name": "cluster.echo.upstream_cx_total", "value": 2},'
        b' {"name": "cluster.echo.membership_healthy", "value": 5},'
        b' {"name": "cluster.control.upstream_rq_total", "value": 99}]}'
    )
    found = edge_counters.read("envoy", address(admin))
    assert (found["requests"], found["connections"], found["retries"]) == (12, 2, 0)
    assert "membership_healthy" not in found


@pytest.mark.parametrize("kind", ["nginx", "haproxy", "envoy"])
def test_an_answer_of_somebody_else_is_an_error(admin, kind):
    admin.body = b"<html>hello</html>"
    with pytest.raises(OSError, match="the answer is not"):
        edge_counters.read(kind, address(admin))


def test_several_clusters_are_added_up_and_kept_apart():
    found = proxies.add_up(
        {
            "cluster.greeter.upstream_rq_total": 30,
            "cluster.orders.upstream_rq_total": 12,
            "cluster.greeter.outlier_detection.ejections_active": 1,
        }
    )
    assert found["upstream_rq_total"] == 42
    assert found["greeter/upstream_rq_total"] == 30
    assert not proxies.is_total("greeter/outlier_detection.ejections_active")
    stats = proxies.compare("a:1", {"upstream_rq_total": 2, "greeter/upstream_rq_total": 2}, found)
    assert stats.upstream_requests == 40
    assert stats.counters["greeter/upstream_rq_total"] == 28


def gateway_plan(admin_address: str) -> Plan:
    strategy = {"client": {}, "gateway": {"proxy": "nginx", "config": "gateway-nginx.conf"}}
    targets = {"gateway_admin": admin_address} if admin_address else {}
    return Plan("r", "steady", Strategy.parse(strategy), Load(), targets)


def test_two_readings_make_a_proxy(admin):
    plan = gateway_plan(address(admin))
    admin.body = NGINX.replace("1021", "20").encode()
    first = asyncio.run(shared_proxies.read_all(plan))
    admin.body = NGINX.encode()
    [proxy], notes = shared_proxies.compare(first, asyncio.run(shared_proxies.read_all(plan)))
    assert (proxy.hop, proxy.upstream_requests, proxy.reading_counts, notes) == ("gateway", 1001, 1, [])
    assert proxy.first["requests"] == 20


def test_a_gateway_that_does_not_answer_is_a_note():
    readings = asyncio.run(shared_proxies.read_all(gateway_plan("127.98.9.9:9")))
    assert readings.totals == {}
    assert "the counters of gateway at 127.98.9.9:9 cannot be read" in readings.notes[0]
    without = asyncio.run(shared_proxies.read_all(gateway_plan("")))
    assert "names no admin interface" in without.notes[0]


def test_a_plan_without_shared_proxies_asks_nobody():
    plan = Plan("r", "steady", Strategy(), Load(), {})
    assert asyncio.run(shared_proxies.read_all(plan)) == ({}, [])


def test_clients_wait_for_one_another(tmp_path):
    async def both() -> list[str]:
        async def later() -> str:
            await asyncio.sleep(0.05)
            arrived.append("late")
            return await start_barrier.meet(tmp_path, 1, 2, lambda: False)

        arrived: list[str] = []
        notes = await asyncio.gather(start_barrier.meet(tmp_path, 0, 2, lambda: bool(0)), later())
        assert arrived == ["late"]
        return notes

    assert asyncio.run(both()) == ["", ""]


def test_a_client_that_never_comes_is_noted(tmp_path):
    note = asyncio.run(start_barrier.meet(tmp_path, 0, 3, lambda: False, limit_s=0.05))
    assert "only 1 of 3 clients were warm" in note
    assert asyncio.run(start_barrier.meet(tmp_path, 0, 3, lambda: True)) == ""
