"""The proxy at the edge: where it is seen from this machine, and the way in through it."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.model.ports import ADMIN_PORT
from grpc_lb_lab.observe.admin import ask_text
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError, say
from grpc_lb_lab.places.kubernetes.forward import forward
from grpc_lb_lab.places.kubernetes.outside import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.places.kubernetes import pods
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

NAME = "gateway"
# Names are asked again every few seconds, but Envoy keeps a replica that went until three health checks have failed.
COMPLETE_LIMIT_S = 90.0
REACH_LIMIT_S = 20.0
CALL_LIMIT_S = 2.0
PAUSE_S = 0.5
REMEDY = "Say how this machine reaches it with -e echo_gateway=ADDRESS or ADDRESS:PORT (docs/existing-clusters.md)"


def address(kubectl: Kubectl, wanted: str = "") -> str:
    """Return ``IP:PORT`` where clients outside reach the gateway: its node's own address, and a NodePort until `close`.

    ``wanted`` (``HOST`` or ``HOST:PORT``) takes the place of either; with a port, none is opened. Raises ``UsageError``
    for a name that has no address, ``LabError`` when the gateway has no node yet.
    """
    try:
        return _address(kubectl, wanted)
    except LabError:
        close(kubectl)
        raise


def close(kubectl: Kubectl) -> None:
    """Take the gateway's NodePort back, if there is one; whether that worked or not is only said."""
    try:
        done = kubectl.attempt("patch", "service", NAME, f"--patch={_type('ClusterIP')}")
    except ProgramError as error:
        say(f"the gateway's NodePort stays open: {error}")
        return
    if done.code != 0 and "NotFound" not in done.stderr:
        say(f"the gateway's NodePort stays open: {done.reason}")


def _type(name: str) -> str:
    return json.dumps({"spec": {"type": name}})


def _address(kubectl: Kubectl, wanted: str) -> str:
    host, _, port = wanted.partition(":")
    if not port:
        opened = kubectl.run("patch", "service", NAME, f"--patch={_type('NodePort')}", "--output=json")
        port = str(json.loads(opened)["spec"]["ports"][0]["nodePort"])
    if not host:
        found = kubectl.items("pods", f"--selector=app.kubernetes.io/component={NAME}")
        # The pod tells it, so this needs no right to look at nodes.
        host = next((str(pod["status"]["hostIP"]) for pod in found if pod["status"].get("hostIP")), "")
    if not host:
        raise LabError("the gateway's pod has no node, so it has no address")
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError as error:
        raise UsageError(f"echo_gateway={wanted}: {host} has no address ({error.strerror})") from error


@contextlib.contextmanager
def way(kubectl: Kubectl, plan: Plan, servers: Sequence[pods.Pod]) -> Iterator[Way]:
    """Wait until the gateway knows all ``servers``; its counters come through a port-forward to its admin interface.

    Raises ``LabError`` when it cannot be reached from here, or does not know all replicas.
    """
    where, proxy = plan.targets[NAME], plan.strategy.proxies.gateway
    uids = {str(pod["metadata"]["uid"]) for pod in servers}
    say(f"waiting for the gateway at {where} to see {len(uids)} replicas")
    with forward(kubectl, f"deployment/{NAME}", ADMIN_PORT) as admin:
        wait(where, uids, caller(where, f"{plan.run}.gateway"), counter(proxy, admin))
        keeps = functools.partial(keep, admin) if proxy == "envoy" else None
        yield Way(f"the gateway at {where}", {NAME: where, f"{NAME}_admin": admin}, shared=True, keep=keeps)


def wait(
    where: str,
    uids: Collection[str],
    call: Callable[[], str],
    panics: Callable[[], int] = lambda: 0,
    limit_s: float = COMPLETE_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Call until so many calls in a row as reach every replica twice reached all of them, and none that is leaving.

    ``call`` returns the UID of who answered and raises ``OSError`` when nobody did. ``panics`` counts the calls that
    went anywhere because too few replicas were known to be healthy (Envoy): such a round tells nothing, and the next
    replica that is found healthy would begin a new round robin in the middle of the load.
    """
    began, seen, reached = clock(), set[str](), False
    while True:
        before = panics()
        try:
            seen, reached = {call() for _ in range(2 * len(uids))}, True
        except OSError as error:
            seen = set()
            if not reached and clock() - began > REACH_LIMIT_S:
                raise LabError(f"the gateway at {where} does not answer: {error}. {REMEDY}") from error
        if seen == set(uids) and panics() == before:
            return
        if clock() - began > limit_s:
            break
        time.sleep(PAUSE_S)
    strangers = len(seen - set(uids))
    more = f", and to {strangers} that should be gone," if strangers else ""
    known = f"{len(seen) - strangers} of {len(uids)} replicas{more}"
    raise LabError(f"the gateway at {where} sends calls to {known} after {limit_s:.0f} s")


def counter(proxy: str, admin: str) -> Callable[[], int]:
    """Return a function that reads Envoy's count of calls in panic mode; always 0 for others, which have none."""
    from grpc_lb_lab.observe import edge_counters

    def panics() -> int:
        try:
            return edge_counters.read(proxy, admin).get("lb_healthy_panic", 0)
        except OSError as error:
            raise LabError(f"the gateway's counters cannot be read: {error}") from error

    return panics if proxy == "envoy" else lambda: 0


def keep(admin: str, folder: Path) -> None:
    """Keep configuration, hosts and counters of an Envoy at the edge, as they are after the load."""
    pages = {"config.json": "config_dump", "clusters.txt": "clusters", "stats.txt": "stats?usedonly"}
    for name, path in pages.items():
        try:
            text = ask_text(admin, path, CALL_LIMIT_S)
        except OSError as error:
            text = f"not to be had: {error}\n"
        (folder / f"envoy-{name}").write_text(text, encoding="utf-8")


def caller(where: str, run: str) -> Callable[[], str]:
    """Return a function that makes one call of ``run``, which is no run of a report, on a connection of its own."""
    import grpc

    from grpc_lb_lab.observe.stats import OPTIONS
    from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc

    def call() -> str:
        try:
            reply = stub.Echo(echo_pb2.EchoRequest(), timeout=CALL_LIMIT_S, metadata=(("x-lab-run", run),))
        except grpc.RpcError as error:
            known = isinstance(error, grpc.Call)
            raise OSError(f"{error.code().name}, {error.details()}" if known else str(error)) from error
        return str(reply.backend.uid)

    stub = echo_pb2_grpc.EchoServiceStub(grpc.insecure_channel(f"ipv4:{where}", options=OPTIONS))
    return call
