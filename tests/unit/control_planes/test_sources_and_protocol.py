"""The file source, the backoff, and the rules of the xDS protocol that real clients rarely exercise."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from broken_xds import BrokenCatalog
from control_plane_parts import wait_until
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2
from grpc_lb_lab.control_planes import lookaside
from grpc_lb_lab.control_planes.commands import add_parsers
from grpc_lb_lab.control_planes.endpoints.backoff import Backoff
from grpc_lb_lab.control_planes.endpoints.file import FileSource, parse
from grpc_lb_lab.control_planes.endpoints.model import Endpoint, Endpoints
from grpc_lb_lab.control_planes.xds.catalog import Catalog
from grpc_lb_lab.control_planes.xds.kinds import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from grpc_lb_lab.control_planes.xds.stream import Stream
from grpc_lb_lab.model.errors import LabError, UsageError


def catalog(**services: list[str]) -> Catalog:
    return Catalog(
        Endpoints({name: tuple(Endpoint(address, 1) for address in found) for name, found in services.items()})
    )


class Client:
    """One side of a stream, by hand; ``ask`` returns what the control plane sends as type → names."""

    def __init__(self, agent: str = "gRPC C-core") -> None:
        self.stream = Stream()
        self.agent = agent

    def ask(
        self, have: Catalog, type_url: str, *names: str, nonce: str = "", error: str = ""
    ) -> dict[str, tuple[str, ...]]:
        message = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, response_nonce=nonce)
        message.node.user_agent_name = self.agent
        if error:
            message.error_detail.CopyFrom(status_pb2.Status(message=error))
        self.stream.request(message)
        return self.pushes(have)

    def pushes(self, have: Catalog) -> dict[str, tuple[str, ...]]:
        return {p.type_url: tuple(r.name for r in p.resources) for p in self.stream.pushes(have)}


def test_naming_nothing_means_all_until_something_was_named() -> None:
    have, client = catalog(a=["1"], b=["2"]), Client()
    assert client.ask(have, CLUSTER) == {CLUSTER: ("a", "b")}
    assert client.ask(have, CLUSTER, "a", nonce="1") == {CLUSTER: ("a",)}
    assert client.ask(have, CLUSTER, nonce="2") == {}
    assert client.ask(have, CLUSTER, "*", nonce="2") == {CLUSTER: ("a", "b")}
    assert Client().ask(have, ENDPOINTS) == {}  # no wildcard for these


def test_stale_nonce_changes_nothing() -> None:
    have, client = catalog(a=["1"], b=["2"]), Client()
    client.ask(have, ENDPOINTS, "a")
    assert client.ask(catalog(a=["9"]), ENDPOINTS, "a", nonce="1") == {ENDPOINTS: ("a",)}
    assert client.ask(have, ENDPOINTS, "b", nonce="1") == {ENDPOINTS: ("a",)}  # a changed; b was not subscribed
    assert client.stream.subscriptions[ENDPOINTS].names == {"a"}


def test_unsubscribed_is_not_sent_and_subscribed_again_is() -> None:
    have, client = catalog(a=["1"], b=["2"]), Client()
    assert client.ask(have, ENDPOINTS, "a", "b") == {ENDPOINTS: ("a", "b")}
    assert client.ask(have, ENDPOINTS, "b", nonce="1") == {}
    assert client.pushes(catalog(a=["7"], b=["2"])) == {}
    assert client.ask(have, ENDPOINTS, "a", "b", nonce="1") == {ENDPOINTS: ("a",)}


def test_only_what_changed_is_pushed() -> None:
    client = Client()
    have = catalog(a=["1"], b=["2"])
    for type_url in (LISTENER, CLUSTER, ROUTES, ENDPOINTS):
        client.ask(have, type_url, "a", "b")
    assert client.pushes(have) == {}
    assert client.pushes(catalog(a=["1"], b=["2", "3"])) == {ENDPOINTS: ("b",)}
    assert client.pushes(catalog(a=["1"])) == {CLUSTER: ("a",), LISTENER: ("a",), ENDPOINTS: ("a",), ROUTES: ("a",)}
    assert client.pushes(Catalog(None)) == {}  # knowing nothing is not the same as nothing


def test_refused_is_sent_again_only_when_it_changes() -> None:
    have, client = catalog(a=["1"]), Client()
    client.ask(have, ENDPOINTS, "a")
    client.ask(have, ENDPOINTS, "a", nonce="1")
    new = catalog(a=["2"])
    assert client.pushes(new) == {ENDPOINTS: ("a",)}
    assert client.ask(new, ENDPOINTS, "a", nonce="2", error="no") == {}
    subscription = client.stream.subscriptions[ENDPOINTS]
    assert subscription.error == "no"
    assert subscription.accepted != subscription.version
    assert client.pushes(new) == {}
    assert client.pushes(have) == {ENDPOINTS: ("a",)}
    client.ask(have, ENDPOINTS, "a", nonce="3")
    assert (subscription.accepted, subscription.error) == (subscription.version, "")


def test_endpoints_follow_a_changed_cluster() -> None:
    have, client = catalog(a=["1"]), Client()
    client.ask(have, CLUSTER)
    client.ask(have, ENDPOINTS, "a")
    bad = BrokenCatalog(have.endpoints, frozenset({CLUSTER}))
    assert client.pushes(bad) == {CLUSTER: ("a",), ENDPOINTS: ("a",)}  # Envoy warms the cluster and waits for them


def test_versions_name_the_content_and_outlive_a_restart() -> None:
    def version(have: Catalog) -> str:
        client = Client()
        client.ask(have, CLUSTER)
        return client.stream.subscriptions[CLUSTER].version

    assert version(catalog(a=["1"])) == version(catalog(a=["2"])) != version(catalog(a=["1"], b=["1"]))


def test_envoy_gets_one_listener_with_an_address_and_grpc_all_without() -> None:
    have = catalog(echo=["1"], other=["2"])
    assert Client("envoy").ask(have, LISTENER) == {LISTENER: ("echo",)}
    assert Client().ask(have, LISTENER) == {LISTENER: ("echo", "other")}


def test_unknown_type_is_never_answered() -> None:
    assert Client().ask(catalog(a=["1"]), "type.googleapis.com/unknown") == {}


def test_file_is_followed_and_nonsense_in_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not capfd: what another thread writes while it is being read is lost.
    told: list[str] = []
    monkeypatch.setattr("grpc_lb_lab.control_planes.endpoints.file.log", lambda event, **_: told.append(event))
    file = tmp_path / "endpoints.json"
    source = FileSource(file, every_s=0.01)
    woken: list[int] = []
    unsubscribe = source.subscribe(lambda: woken.append(1))
    source.start()
    assert source.snapshot() is None
    entry = {"address": "127.77.1.1", "port": 50051, "pod": "p", "uid": "u"}
    file.write_text(json.dumps({"services": {"echo": [entry, {**entry, "address": "127.77.1.2", "ready": False}]}}))
    endpoints = wait_until(source.snapshot)
    assert [e.target for e in endpoints.eligible("echo")] == ["127.77.1.1:50051"]
    for nonsense in ("{", "[]", '{"services": {"echo": [{"port": 1}]}}', '{"services": {"echo": ["x"]}}'):
        told.clear()
        file.write_text(nonsense)
        wait_until(lambda: "file-refused" in told)
    file.unlink()
    assert source.snapshot() == endpoints
    assert woken == [1]
    unsubscribe()
    file.write_text('{"services": {}}')
    wait_until(lambda: source.snapshot() != endpoints)
    source.close()
    assert woken == [1]
    with pytest.raises(ValueError, match="service echo: 5 is not an endpoint"):
        parse('{"services": {"echo": [5]}}')


def test_backoff_doubles_to_its_limit_with_seeded_jitter() -> None:
    def waits(seed: int) -> list[float]:
        backoff = Backoff(1, 8, seed)
        return [backoff.next_s() for _ in range(6)]

    assert waits(1) == waits(1) != waits(2)
    assert all(whole / 2 <= wait <= whole for whole, wait in zip((1, 2, 4, 8, 8, 8), waits(3), strict=True))
    backoff = Backoff(1, 8)
    backoff.next_s()
    backoff.succeeded()
    assert backoff.next_s() <= 1


def test_commands_refuse_what_makes_no_sense(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())

    def run(*words: str) -> None:
        arguments = parser.parse_args(words)
        arguments.handler(arguments)

    file = str(tmp_path / "none.json")
    with pytest.raises(UsageError, match="--listen must be ADDRESS:PORT"):
        run("xds", "--listen", "18000", "--endpoints-file", file)
    with pytest.raises(UsageError, match="--kubernetes-namespace must not be empty"):
        run("lookaside", "--kubernetes-namespace", "")
    with pytest.raises(SystemExit):
        run("lookaside", "--endpoints-file", file, "--kubernetes-namespace", "lab")
    with pytest.raises(SystemExit):
        run("xds")
    with pytest.raises(LabError, match="cannot listen on"):
        lookaside.serve("192.0.2.1:1", FileSource(Path(file)))
