"""gRPC's own ``xds:///`` resolver against the control plane."""

from __future__ import annotations

import signal
import time

import grpc
from control_plane_parts import LOCAL, Backends, Caller, Plane, Planes, wait_until
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from grpc_lb_lab.load.channels.xds_bootstrap import xds_bootstrap

ACKED, NACKED = 3, 4


def statuses(plane: Plane) -> dict[str, tuple[int, str, str]]:
    """Type → status, version accepted and version refused, as CSDS tells."""
    with grpc.insecure_channel(plane.address, options=LOCAL) as channel:
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        answer = stub.FetchClientStatus(csds_pb2.ClientStatusRequest(), timeout=5)
    return {
        config.type_url.rpartition(".")[2]: (
            config.client_status,
            config.version_info,
            config.error_state.version_info,
        )
        for client in answer.config
        for config in client.generic_xds_configs
    }


def call_until_all(caller: Caller, pods: set[str]) -> None:
    """Rounds of calls until exactly these pods answer: the client has followed."""

    def followed() -> bool:
        found, errors = caller.call(12)
        assert not errors
        return set(found) == pods

    wait_until(followed)


def calling(planes: Planes, plane: Plane) -> Caller:
    plane.wait_serving()
    return Caller(planes, "xds:///echo", xds_bootstrap(plane.address, "test-client"))


def started(planes: Planes) -> tuple[Plane, Caller]:
    plane = planes.start("xds")
    return plane, calling(planes, plane)


def test_calls_are_even_and_all_is_acked(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2, 3)
    planes.write(backends.entries())
    plane, caller = started(planes)
    call_until_all(caller, {"echo-1", "echo-2", "echo-3"})
    pods, errors = caller.call(100)
    assert not errors
    assert sorted(pods.values()) == [33, 33, 34]
    found = wait_until(lambda: len(s := statuses(plane)) == 4 and all(v[0] == ACKED for v in s.values()) and s)
    assert set(found) == {"Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment"}


def test_endpoints_come_and_go_without_a_failed_call(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    planes.write(backends.entries())
    plane, caller = started(planes)
    call_until_all(caller, {"echo-1", "echo-2"})
    before = statuses(plane)
    caller.begin(400, 0.005)
    time.sleep(0.3)
    backends.add(3)
    for numbers in ((1, 2, 3), (2, 3)):
        old = statuses(plane)["ClusterLoadAssignment"]
        planes.write(backends.entries(*numbers))
        wait_until(lambda old=old: (s := statuses(plane)["ClusterLoadAssignment"]) != old and s[0] == ACKED)
        time.sleep(0.5)  # what was taken is in force a moment later
    backends.remove(1)
    pods, errors = caller.result()
    assert not errors
    assert set(pods) == {"echo-1", "echo-2", "echo-3"}
    call_until_all(caller, {"echo-2", "echo-3"})
    after = statuses(plane)
    assert [kind for kind in before if before[kind] != after[kind]] == ["ClusterLoadAssignment"]
    assert plane.log().count('"event": "xds-sent"') == 6  # four at the start, then only the two changes of EDS


def test_refused_resource_leaves_the_old_one_in_force(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    planes.write(backends.entries())
    plane, override = planes.start_broken_xds()
    caller = calling(planes, plane)
    call_until_all(caller, {"echo-1", "echo-2"})
    good = statuses(plane)
    for kind, short in (("ClusterLoadAssignment", "EDS"), ("Cluster", "CDS"), ("Listener", "LDS")):
        planes.replace(override, {"bad": [short]})
        bad = wait_until(lambda kind=kind: (s := statuses(plane))[kind][0] == NACKED and s)
        assert bad[kind][1] == good[kind][1] != bad[kind][2]
        pods, errors = caller.call(40)
        assert not errors
        assert pods == {"echo-1": 20, "echo-2": 20}
        planes.replace(override, {"bad": []})
        wait_until(lambda kind=kind: statuses(plane)[kind] == good[kind])
    assert plane.log().count('"event": "xds-nack"') == 3  # each once: what was refused is not sent again
    backends.add(3)
    planes.write(backends.entries())
    call_until_all(caller, {"echo-1", "echo-2", "echo-3"})


def test_control_plane_restarts_in_the_middle(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    planes.write(backends.entries())
    plane, caller = started(planes)
    call_until_all(caller, {"echo-1", "echo-2"})
    caller.begin(300, 0.005)
    plane.end()
    backends.add(3)
    planes.write(backends.entries())
    plane.start()
    pods, errors = caller.result()
    assert not errors
    assert min(pods["echo-1"], pods["echo-2"]) > 50
    call_until_all(caller, {"echo-1", "echo-2", "echo-3"})
    assert plane.end(signal.SIGTERM) == 0


def test_empty_list_fails_calls_and_so_does_a_service_that_is_gone(backends: Backends, planes: Planes) -> None:
    backends.add(1)
    planes.write([])
    _, caller = started(planes)
    pods, errors = caller.call(1)
    assert not pods
    assert [text.split(":")[0] for text in errors] == ["UNAVAILABLE"]
    planes.write(backends.entries())
    wait_until(lambda: caller.call(1)[0])
    planes.write(backends.entries(), service="other")
    wait_until(lambda: caller.call(1)[1])
    pods, errors = caller.call(1)
    assert not pods
    assert [text.split(":")[0] for text in errors] == ["UNAVAILABLE"]
