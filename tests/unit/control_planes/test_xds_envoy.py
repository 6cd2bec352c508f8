"""Real Envoy, told everything but the control plane's address by ADS."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from control_plane_parts import Backends, Caller, Plane, Planes, free_port, wait_until

ENVOY = Path(sys.executable).parent / "envoy"
LISTEN, ADMIN = "127.78.9.201", "127.78.9.202"


class Proxy:
    """One Envoy under the control of ``plane``."""

    def __init__(self, planes: Planes, plane: Plane) -> None:
        self.listen = f"{LISTEN}:{free_port(LISTEN)}"
        self.admin = f"{ADMIN}:{free_port(ADMIN)}"
        file = planes.folder / "envoy.json"
        file.write_text(json.dumps(bootstrap(plane.address, self.listen, self.admin)))
        command = [str(ENVOY), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        planes.run(command)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=2) as answer:
            return str(answer.read().decode())

    def counter(self, name: str) -> int:
        try:
            stats = json.loads(self.get(f"/stats?format=json&filter=^{name}$"))["stats"]
        except OSError:
            return 0
        return int(stats[0]["value"]) if stats else 0


def bootstrap(control_plane: str, listen: str, admin: str) -> dict[str, Any]:
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {"id": "test-envoy", "cluster": "lab", "metadata": {"listen": listen, "service": "echo"}},
        "admin": {"address": socket_address(admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}],
            },
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "control",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "control",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(control_plane)}}]}],
                    },
                }
            ]
        },
    }


def socket_address(text: str) -> dict[str, Any]:
    address, _, port = text.rpartition(":")
    return {"socket_address": {"address": address, "port_value": int(port)}}


def test_envoy_balances_evenly_follows_changes_and_refuses_bad_resources(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2, 3)
    planes.write(backends.entries())
    plane, override = planes.start_broken_xds()
    plane.wait_serving()
    proxy = Proxy(planes, plane)
    wait_until(lambda: proxy.counter("listener_manager.listener_create_success"))
    wait_until(lambda: proxy.counter("cluster.echo.membership_healthy") == 3)
    caller = Caller(planes, f"ipv4:{proxy.listen}")
    pods, errors = caller.call(300)
    assert not errors
    assert pods == {"echo-1": 100, "echo-2": 100, "echo-3": 100}

    planes.write(backends.entries(1, 3))
    wait_until(lambda: proxy.counter("cluster.echo.membership_total") == 2)
    assert caller.call(40) == ({"echo-1": 20, "echo-3": 20}, {})
    assert proxy.counter("cluster_manager.cluster_added") == 2  # the control plane and echo: never rebuilt

    for short, counter in (
        ("EDS", "cluster.echo.update_rejected"),
        ("CDS", "cluster_manager.cds.update_rejected"),
        ("LDS", "listener_manager.lds.update_rejected"),
        ("RDS", "http.echo.rds.echo.update_rejected"),
    ):
        planes.replace(override, {"bad": [short]})
        wait_until(lambda counter=counter: proxy.counter(counter))
        assert caller.call(40) == ({"echo-1": 20, "echo-3": 20}, {})
    assert plane.log().count('"event": "xds-nack"') == 4

    planes.replace(override, {"bad": []})
    plane.end()
    assert caller.call(40) == ({"echo-1": 20, "echo-3": 20}, {})  # Envoy goes on without its control plane
    plane.start()
    planes.write(backends.entries())
    wait_until(lambda: proxy.counter("cluster.echo.membership_total") == 3)
    assert caller.call(30) == ({"echo-1": 10, "echo-2": 10, "echo-3": 10}, {})
