"""Scenarios on a cluster: what the watches tell, what kubectl is told to do, whose clock counts."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.pb.echo.v1 import echo_pb2
from grpc_lb_lab.places.kubernetes import faults, injector, job, place, problems
from grpc_lb_lab.places.kubernetes.clocks import Clocks
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
from grpc_lb_lab.places.kubernetes.injector import KubernetesInjector
from grpc_lb_lab.places.kubernetes.namespace import DIGEST
from grpc_lb_lab.places.kubernetes.replica_watcher import SERVICE, ReplicaWatcher
from grpc_lb_lab.run.client_reports import ClientReports
from grpc_lb_lab.run.feed import LiveFeed
from grpc_lb_lab.servers import echo
from grpc_lb_lab.servers.config import EchoConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grpc_lb_lab.places.kubernetes.pods import Pod


def make(name: str, ip: str = "", *, ready: bool = False, **more: Any) -> Pod:
    state = {"running": {}} if ip else {"waiting": {"reason": "ContainerCreating"}}
    server = {"name": "server", "image": "lab:1", "state": state, "restartCount": 0} | more
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": f"2026-01-01T00:00:0{name[-1]}Z"},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [server],
        },
    }


def leaving(pod: Pod) -> Pod:
    pod = copy.deepcopy(pod)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return pod


def endpoint_slice(*addresses: str) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"uid": "slice-1", "labels": {"kubernetes.io/service-name": SERVICE}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


class Told:
    """What a watcher told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ready: list[list[str]] = []
        self.watcher = ReplicaWatcher(
            Kubectl("ns"), [make("e-1", "10.0.0.1", ready=True)], tell=self.events.append, ready=self.ready.append
        )

    def kinds(self) -> list[tuple[str, str]]:
        return [(event.kind, event.pod) for event in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_pod_that_comes_and_goes_with_grace(told: Told) -> None:
    see = told.watcher.see_pod
    see("ADDED", make("e-1", "10.0.0.1", ready=True))  # the watch begins with what is there
    see("ADDED", make("e-2"))
    see("MODIFIED", make("e-2", "10.0.0.2"))
    up = make("e-2", "10.0.0.2", ready=True)
    see("MODIFIED", up)
    see("MODIFIED", up)
    see("MODIFIED", leaving(up))
    ended = leaving(make("e-2", "10.0.0.2", state={"terminated": {"exitCode": 0}}))
    see("MODIFIED", ended)
    see("DELETED", ended)
    see("MODIFIED", ended)
    kinds = ["replica-started", "replica-ready", "replica-terminating", "replica-ended"]
    assert told.kinds() == [(kind, "e-2") for kind in kinds]
    assert {(event.uid, event.ip) for event in told.events} == {("uid-e-2", "10.0.0.2")}
    assert told.ready == [["e-1", "e-2"], ["e-1"]]
    assert [(item.pod, item.ready) for item in told.watcher.everyone()] == [("e-1", True), ("e-2", False)]
    assert [item.pod for item in told.watcher.current()] == ["e-1"]


def test_a_pod_keeps_the_address_that_it_had(told: Told) -> None:
    ended = leaving(make("e-1", state={"terminated": {"exitCode": 0}}))
    told.watcher.see_pod("MODIFIED", leaving(make("e-1", "10.0.0.1", ready=True)))
    told.watcher.see_pod("MODIFIED", ended)
    told.watcher.see_pod("DELETED", ended)
    assert [item.ip for item in told.watcher.everyone()] == ["10.0.0.1"]
    assert {event.ip for event in told.events} == {"10.0.0.1"}


def test_a_pod_that_is_removed_by_force_ends_and_never_was_about_to_go(told: Told) -> None:
    told.watcher.see_pod("DELETED", leaving(make("e-1", "10.0.0.1", ready=True)))
    assert told.kinds() == [("replica-ended", "e-1")]
    assert told.ready == [[]]


def test_a_server_that_dies_in_its_pod_ends_and_starts_again(told: Told) -> None:
    dead = make("e-1", "10.0.0.1", state={"terminated": {"exitCode": 137}})
    told.watcher.see_pod("MODIFIED", dead)
    told.watcher.see_pod("MODIFIED", make("e-1", "10.0.0.1", restartCount=1))
    told.watcher.see_pod("MODIFIED", make("e-1", "10.0.0.1", ready=True, restartCount=1))
    kinds = ["replica-unready", "replica-ended", "replica-started", "replica-ready"]
    assert told.kinds() == [(kind, "e-1") for kind in kinds]


def test_pods_that_still_leave_from_the_run_before_are_no_part_of_this_one(told: Told) -> None:
    old = leaving(make("e-0", "10.0.0.9", ready=True))
    told.watcher.see_pod("ADDED", old)
    told.watcher.see_pod("DELETED", old)
    assert told.events == []
    assert [item.pod for item in told.watcher.everyone()] == ["e-1"]


def test_endpoints_are_told_when_they_change(told: Told) -> None:
    told.watcher.see_slice("ADDED", endpoint_slice("10.0.0.2", "10.0.0.1"))
    told.watcher.see_slice("MODIFIED", endpoint_slice("10.0.0.1", "10.0.0.2"))
    told.watcher.see_slice("MODIFIED", endpoint_slice("10.0.0.1"))
    assert [event.detail for event in told.events] == ["10.0.0.1,10.0.0.2", "10.0.0.1"]


def test_the_watches_begin_with_what_is_there_and_are_asked_for_again(
    program: Callable[[str, str], None], calls: Callable[[], list[str]]
) -> None:
    found = json.dumps({"items": [endpoint_slice("10.0.0.1")]})
    change = json.dumps({"type": "MODIFIED", "object": endpoint_slice("10.0.0.1", "10.0.0.2")})
    script = f"""case "$*" in
      *"get endpointslices"*--watch*) echo '{change}' ;;
      *"get endpointslices"*) echo '{found}' ;;
    esac"""
    program("kubectl", script)
    events: list[Event] = []
    watcher = ReplicaWatcher(Kubectl("ns"), [], tell=events.append)
    watcher.start()
    try:
        wait_for(lambda: sum("get pods" in call for call in calls()) >= 2)
        assert [event.kind for event in events] == ["endpoints"]
    finally:
        watcher.close()


def wait_for(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.02)

    asyncio.run(wait())


def patches(calls: Callable[[], list[str]]) -> list[dict[str, Any]]:
    return [json.loads(call.split("--patch=", 1)[1]) for call in calls() if " patch deployment echo" in call]


def test_a_changed_deployment_is_none_that_the_next_run_keeps(
    told: Told, program: Callable[[str, str], None], calls: Callable[[], list[str]]
) -> None:
    program("kubectl", ":")
    subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
    asyncio.run(subject.scale(3))
    asyncio.run(subject.restart())
    asyncio.run(subject.replace())
    asyncio.run(subject.delete("e-1"))
    found = patches(calls)
    assert all(patch["metadata"]["annotations"] == {DIGEST: "changed by a scenario"} for patch in found)
    assert found[0]["spec"] == {"replicas": 3}
    rolling = [patch["spec"]["strategy"]["rollingUpdate"] for patch in found[1:]]
    assert rolling == [{"maxSurge": 1, "maxUnavailable": 0}, {"maxSurge": "100%", "maxUnavailable": 0}]
    assert all(injector.RESTARTED in patch["spec"]["template"]["metadata"]["annotations"] for patch in found[1:])
    assert calls()[-1].endswith("delete pod e-1 --wait=false")
    asyncio.run(subject.close())


def test_settled_waits_for_the_pods_that_are_wanted_and_for_those_that_shall_go(
    told: Told, program: Callable[[str, str], None]
) -> None:
    program("kubectl", ":")

    async def play() -> None:
        subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
        await asyncio.wait_for(subject.settled(), 5)
        await subject.delete("e-1")
        settled = asyncio.create_task(subject.settled())
        told.watcher.see_pod("ADDED", make("e-2", "10.0.0.2", ready=True))
        await asyncio.sleep(injector.LOOK_S * 3)
        assert not settled.done()  # two, and one of them was told to go
        told.watcher.see_pod("MODIFIED", leaving(make("e-1", "10.0.0.1", ready=True)))
        await asyncio.wait_for(settled, 5)
        await subject.close()

    asyncio.run(play())


def test_a_pod_that_finds_no_node_ends_the_scenario(
    told: Told, program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("kubectl", ":")
    monkeypatch.setattr(problems, "UNSCHEDULABLE_PATIENCE_S", 0.05)
    homeless = make("e-2")
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    homeless["status"]["conditions"] = [condition]

    async def play() -> None:
        subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
        await subject.scale(2)
        told.watcher.see_pod("ADDED", homeless)
        with pytest.raises(LabError, match="the replicas do not get ready: pod e-2 finds no node: Insufficient cpu"):
            await asyncio.wait_for(subject.settled(), 5)
        await subject.close()

    asyncio.run(play())


def test_a_rollout_that_never_ends_does_not_go_on_for_ever(
    told: Told, program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("kubectl", ":")
    monkeypatch.setattr(injector, "SETTLE_S", 0.2)
    monkeypatch.setattr(injector, "SETTLE_EACH_S", 0)

    async def play() -> None:
        subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
        await subject.scale(3)
        with pytest.raises(LabError, match="not over 0 s after the last event: 1 of 3 replicas are ready"):
            await asyncio.wait_for(subject.settled(), 5)
        await subject.close()

    asyncio.run(play())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[echo.EchoServer]:
    """A real server to which every port-forward leads."""
    running = echo.start(EchoConfig(listen="127.0.0.1:0", pod="e-1", uid="uid-e-1", fault_token="the Secret's"))

    @contextmanager
    def forward(_kubectl: Kubectl, target: str, _port: int) -> Iterator[str]:
        if target != "pod/e-1":
            raise LabError(f"kubectl port-forward {target} did not open: forbidden")
        yield f"127.0.0.1:{running.port}"

    monkeypatch.setattr(faults, "forward", forward)
    monkeypatch.setattr(faults.FaultLines, "_token", "the Secret's")
    yield running
    running.server.stop(0).wait()


def test_faults_reach_the_server_and_are_taken_back_at_the_end(told: Told, server: echo.EchoServer) -> None:
    async def play() -> None:
        subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
        await subject.slow("e-1", 70, 30)
        assert vars(server.service.faults)["_fault"].delay_s == 0.07
        await subject.fail("e-1", "UNAVAILABLE", 30)
        assert vars(server.service.faults)["_fault"].fail_code == "UNAVAILABLE"
        await asyncio.wait_for(subject.settled(), 5)
        await subject.close()

    asyncio.run(play())
    assert vars(server.service.faults)["_fault"] is None


def test_a_server_that_is_still_stopped_at_the_end_is_replaced(
    told: Told, program: Callable[[str, str], None], calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("kubectl", ":")
    asked: list[tuple[str, int, bool]] = []
    monkeypatch.setattr(
        faults.FaultLines, "ask", lambda _, pod, request: asked.append((pod, request.stop_ms, request.crash))
    )

    async def play() -> None:
        subject = KubernetesInjector(Kubectl("ns"), told.watcher, 50051, 1)
        await subject.stop("e-1", 20)
        told.watcher.see_pod("MODIFIED", make("e-1", "10.0.0.1"))  # its readiness probe fails, as it must
        await asyncio.wait_for(subject.settled(), 5)
        await subject.close()
        await subject.kill("e-1")

    asyncio.run(play())
    assert asked == [("e-1", 20_000, False), ("e-1", 0, True)]
    assert [call.split("ns ", 1)[1].split(" ", 1)[1] for call in calls()] == [
        "delete pod e-1 --force --grace-period=0 --wait=false --ignore-not-found",
        "delete pod e-1 --force --grace-period=0 --wait=false",
    ]


def test_a_fault_that_cannot_be_asked_for_is_told(server: echo.EchoServer) -> None:
    lines = faults.FaultLines(Kubectl("ns"), 50051)
    try:
        with pytest.raises(LabError, match="pod/e-2 did not open: forbidden"):
            lines.open(["e-1", "e-2"])
        with pytest.raises(LabError, match="pod e-1 took no fault: INVALID_ARGUMENT"):
            lines.ask("e-1", echo_pb2.FaultRequest(for_ms=10**9))
    finally:
        lines.close()


@pytest.mark.parametrize(
    ("ahead", "shift", "words"),
    [(0.02, 0.0, "agree within 250 ms"), (3.5, 3.5, "3.50 s ahead of"), (-2.25, -2.25, "2.25 s behind")],
)
def test_events_have_the_clients_time(ahead: float, shift: float, words: str) -> None:
    clocks = Clocks()
    assert (clocks.words(), clocks.ahead_s) == ([], 0.0)
    for way in (0.9, 0.0, 0.4):  # the quickest line tells most
        clocks.see(100.0, 100.0 + ahead + way)
    assert clocks.ahead_s == pytest.approx(shift)
    assert clocks.as_clients_see(Event(50.0, "command", "scale")).at == pytest.approx(50.0 - shift)
    assert words in clocks.words()[0]


def test_lines_that_waited_in_the_log_make_no_event_late(tmp_path: Path, program: Callable[[str, str], None]) -> None:
    program("kubectl", """echo '{"items": []}'""")
    files = place.Files(*(tmp_path / name for name in ("plan", "results", "inventory", "logs", "live")))
    plan = Plan("r1", "kill", Strategy.parse({"client": {"target": "headless"}}), Load(), {})

    def line(written_at: float, done: int) -> str:
        told = live_feed.ClientLine(at=written_at, i=0, start=began_at, done=done, ok=done, failed=0)
        return live_feed.render(told)

    async def play() -> float:
        feed = LiveFeed(files.live)
        reports = ClientReports(feed)
        subject = place.KubernetesPlace(Kubectl("ns"), files, plan, feed, reports, "kind", {}, 60)
        waiting = asyncio.create_task(subject.first_call())
        clients = subject.clients()
        assert isinstance(clients, job.ClientPods)
        see = vars(clients)["_state"].see_line
        see(f"[pod/load-0-abc/client] {live_feed.PREFIX}{line(began_at, 0)}")  # read two seconds after it was written
        await asyncio.sleep(0.1)
        see(f"[pod/load-0-abc/client] {live_feed.PREFIX}{line(time.time(), 9)}")
        return await waiting

    began_at = time.time() - 2
    assert asyncio.run(play()) == began_at


def test_live_lines_go_to_the_feed_and_not_into_the_log() -> None:
    seen: list[str] = []
    state = job.Following(1, on_live=seen.append)
    line = live_feed.render(live_feed.ClientLine(at=2.0, i=0, start=1.0, done=5, ok=5, failed=0))
    alive_at = state.alive_at
    state.see_line(f"[pod/load-0-abc/client] {live_feed.PREFIX}{line}")
    assert (seen, state.lines) == ([line], [])
    assert state.alive_at == alive_at  # a client whose calls all hang goes on writing them
    state.see_line("[pod/load-0-abc/client] hello")
    assert state.alive_at > alive_at
