"""EndpointSlices over the real watch protocol, with everything that goes wrong with it."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from control_plane_parts import wait_until
from fake_api_server import ADDRESS, ApiServer, piece
from grpc_lb_lab.control_planes.endpoints.backoff import Backoff
from grpc_lb_lab.control_planes.endpoints.cluster import ClusterSource, cluster_configuration
from grpc_lb_lab.control_planes.endpoints.slices import merge
from grpc_lb_lab.model.errors import LabError
from kubernetes import client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[ApiServer]:
    found = ApiServer()
    yield found
    found.stop()


class Seen:
    """A source that runs, and every list of addresses that it published for ``echo``."""

    def __init__(self, api: ApiServer, settle_s: float = 0.3) -> None:
        configuration = client.Configuration(host=f"http://{ADDRESS}:{api.port}")
        self.source = ClusterSource(configuration, "lab", settle_s=settle_s, backoff=Backoff(0.05, 0.2))
        self.lists: list[list[str]] = []
        self.source.subscribe(lambda: self.lists.append(self.now()))
        self.source.start()

    def now(self) -> list[str]:
        endpoints = self.source.snapshot()
        return [e.address for e in (endpoints.eligible("echo") if endpoints else None) or ()]


@pytest.fixture
def seen(api: ApiServer, request: pytest.FixtureRequest) -> Iterator[Seen]:
    api.put(piece("echo-a", "10.0.0.1", "10.0.0.2"))
    found = Seen(api, getattr(request, "param", 0.3))
    wait_until(lambda: found.now() == ["10.0.0.1", "10.0.0.2"])
    wait_until(lambda: api.watches)
    yield found
    found.source.close()


def test_all_slices_of_a_service_count(api: ApiServer, seen: Seen) -> None:
    api.put(piece("echo-b", "10.0.0.3"))
    api.put(piece("other-a", "10.0.9.9", service="other"))
    wait_until(lambda: seen.now() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    endpoints = wait_until(lambda: (s := seen.source.snapshot()) and "other" in s.services and s)
    (other,) = endpoints.eligible("other")
    assert (other.target, other.pod, other.uid) == ("10.0.9.9:50051", "pod-10.0.9.9", "uid-10.0.9.9")
    assert endpoints.eligible("nobody") is None
    api.delete("echo-a")
    wait_until(lambda: seen.now() == ["10.0.0.3"])
    assert api.lists == 1


@pytest.mark.parametrize("seen", [2.0], indirect=True, ids=["settle"])
def test_address_that_moves_between_slices_does_not_flap(api: ApiServer, seen: Seen) -> None:
    before = len(seen.lists)
    api.put(piece("echo-a", "10.0.0.1"))
    time.sleep(0.05)
    api.put(piece("echo-b", "10.0.0.2"))
    time.sleep(2.5)
    assert seen.lists[before:] == []
    api.put(piece("echo-a", "10.0.0.1", "10.0.0.2", "10.0.0.3"))
    wait_until(lambda: len(seen.now()) == 3)  # in two slices at the same time: counts once
    api.put(piece("echo-b"))
    time.sleep(2.5)
    assert seen.now() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize("seen", [2.0], indirect=True, ids=["settle"])
def test_lost_readiness_counts_at_once_and_a_lost_address_after_a_moment(api: ApiServer, seen: Seen) -> None:
    api.put(piece("echo-a", "10.0.0.1", "10.0.0.2 ready=false serving=true"))
    started = time.monotonic()
    wait_until(lambda: seen.now() == ["10.0.0.1"])
    assert time.monotonic() - started < 2.0
    api.put(piece("echo-a", "10.0.0.2 ready=true"))
    wait_until(lambda: seen.now() == ["10.0.0.1", "10.0.0.2"])
    wait_until(lambda: seen.now() == ["10.0.0.2"])


def test_expired_version_is_listed_anew(api: ApiServer, seen: Seen) -> None:
    api.compact()
    wait_until(lambda: api.lists == 2)
    api.put(piece("echo-b", "10.0.0.3"))
    wait_until(lambda: len(seen.now()) == 3)
    assert [] not in seen.lists


def test_bookmark_moves_the_version_on(api: ApiServer, seen: Seen) -> None:
    api.bookmark()
    api.put(piece("echo-b", "10.0.0.3"))
    wait_until(lambda: len(seen.now()) == 3)
    assert api.lists == 1


def test_api_server_restarts(api: ApiServer, seen: Seen) -> None:
    api.stop()
    time.sleep(0.3)
    assert seen.now() == ["10.0.0.1", "10.0.0.2"]
    api.put(piece("echo-a", "10.0.0.2", "10.0.0.4"))  # while nobody could watch
    api.start()
    wait_until(lambda: seen.now() == ["10.0.0.2", "10.0.0.4"])
    api.put(piece("echo-b", "10.0.0.5"))
    wait_until(lambda: len(seen.now()) == 3)


def test_api_server_that_is_not_there_yet() -> None:
    api = ApiServer()
    api.stop()
    found = Seen(api)
    time.sleep(0.2)
    assert found.source.snapshot() is None
    api.put(piece("echo-a", "10.0.0.1"))
    api.start()
    wait_until(lambda: found.now() == ["10.0.0.1"])
    started = time.monotonic()
    found.source.close()
    assert time.monotonic() - started < 2
    assert not [thread for thread in threading.enumerate() if thread.name == "watch endpointslices"]
    api.stop()


@pytest.mark.parametrize("answers", [0, 1], ids=["list", "watch"])
def test_close_does_not_wait_for_an_answer(answers: int) -> None:
    """A server that takes the request and says nothing, to the list or to the watch after it."""
    body = b'{"metadata": {"resourceVersion": "1"}, "items": []}'
    with socket.create_server((ADDRESS, 0)) as listener:
        host = f"http://{ADDRESS}:{listener.getsockname()[1]}"
        source = ClusterSource(client.Configuration(host=host), "lab")
        source.start()
        listener.settimeout(10)
        connection, _ = listener.accept()
        with connection:
            for _ in range(answers):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert connection.recv(65536)
            started = time.monotonic()
            source.close()
            assert time.monotonic() - started < 2
            assert not [thread for thread in threading.enumerate() if thread.name == "watch endpointslices"]


def test_ready_and_serving_conditions() -> None:
    def addresses(*given: str) -> list[str]:
        return [e.address for e in merge([piece("a", *given)]).eligible("echo") or ()]

    assert addresses("10.0.0.1") == ["10.0.0.1"]  # no conditions: ready
    assert addresses("10.0.0.1 ready=false") == []
    assert addresses("10.0.0.1", "10.0.0.2 ready=false serving=true") == ["10.0.0.1"]
    assert addresses("10.0.0.1 ready=false serving=false", "10.0.0.2 ready=false serving=true") == ["10.0.0.2"]


def test_odd_slices() -> None:
    both = [piece("a", "10.0.0.1"), piece("b", "fd00::1", addressType="IPv6")]
    assert [e.target for e in merge(both).eligible("echo") or ()] == ["10.0.0.1:50051"]
    assert [e.target for e in merge(both[1:]).eligible("echo") or ()] == ["[fd00::1]:50051"]
    assert merge([piece("a", endpoints=None)]).eligible("echo") == ()  # a Service without pods
    assert merge([piece("a", "10.0.0.1", ports=None)]).eligible("echo") == ()
    assert merge([{"metadata": {"name": "loose"}, "addressType": "IPv4"}]).services == {}
    first = [{"name": "web", "port": 80}, {"name": "x", "appProtocol": "grpc", "port": 81}]
    assert [e.port for e in merge([piece("a", "10.0.0.1", ports=first)]).eligible("echo") or ()] == [81]


def test_no_cluster_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "no-such-kubeconfig")
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(LabError, match=r"^no Kubernetes cluster to watch: "):
        cluster_configuration()
