"""Pods, rollouts and loads, judged from the JSON that kubectl shows."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model import client_log
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Replica
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.kubernetes import job, pods, problems, rollout
from grpc_lb_lab.places.kubernetes.cluster.programs import Done, Kubectl
from grpc_lb_lab.places.kubernetes.place import with_newcomers
from grpc_lb_lab.places.kubernetes.pods import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def make(name: str, *, ready: bool = True, ip: str = "10.0.0.1", **status: Any) -> pods.Pod:
    conditions = [{"type": "Ready", "status": str(ready), "message": "containers with unready status: [server]"}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {job.INDEX: name.rpartition("-")[2]}},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "podIP": ip, "conditions": conditions, **status},
    }


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "image": "lab:1", "state": state, "lastState": {}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"containerStatuses": [container("server", running={})]}, ""),
        ({"containerStatuses": [container("server", waiting={"reason": "ContainerCreating"})]}, ""),
        ({"containerStatuses": [container("client", terminated={"exitCode": 0})]}, ""),
        (
            {
                "containerStatuses": [
                    container("server", waiting={"reason": "ErrImagePull", "message": "no  such\nhost"})
                ]
            },
            "pod p-0, container server: the image lab:1 cannot be had (ErrImagePull: no such host)",
        ),
        (
            {"initContainerStatuses": [container("envoy", waiting={"reason": "ImagePullBackOff"})]},
            "container envoy: the image lab:1 cannot be had",
        ),
        (
            {
                "containerStatuses": [
                    container("server", waiting={"reason": "CrashLoopBackOff", "message": "back-off"})
                    | {"lastState": {"terminated": {"exitCode": 2}}}
                ]
            },
            "it cannot start (CrashLoopBackOff, it ended with exit code 2: back-off)",
        ),
        ({"containerStatuses": [container("client", terminated={"exitCode": 137})]}, "was killed by signal 9"),
        (
            {"containerStatuses": [container("client", terminated={"exitCode": 137, "reason": "OOMKilled"})]},
            "used more memory than its limit",
        ),
        ({"containerStatuses": [container("client", terminated={"exitCode": 4})]}, "ended with exit code 4"),
        ({"reason": "Evicted", "message": "low on disk"}, "was ended by Kubernetes (Evicted): low on disk"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ]
            },
            "pod p-0 finds no node: 0/1 nodes",
        ),
    ],
)
def test_problem(status: dict[str, Any], words: str) -> None:
    found = pods.problem(make("p-0", **status))
    assert words in str(found) if words else found is None


def deployment(**status: int) -> dict[str, Any]:
    counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 3, **status}
    return {"kind": "Deployment", "metadata": {"generation": 3}, "status": counts}


def endpoint_slice(service: str, *addresses: str, ready: bool = True) -> dict[str, Any]:
    endpoints = [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses]
    labels = {"kubernetes.io/service-name": service}
    return {"kind": "EndpointSlice", "metadata": {"labels": labels}, "endpoints": endpoints}


def world() -> list[dict[str, Any]]:
    # Two slices of one Service, as large Services have them.
    slices = [endpoint_slice("echo", "10.0.0.1"), endpoint_slice("echo", "10.0.0.2")]
    slices.append(endpoint_slice("echo-headless", "10.0.0.1", "10.0.0.2"))
    return [deployment(), make("e-1", ip="10.0.0.1"), make("e-2", ip="10.0.0.2"), *slices]


def test_in_service() -> None:
    assert rollout.in_service(world(), 2)
    assert not rollout.in_service(world(), 3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda objects: objects.pop(0),
        lambda objects: objects[0]["status"].update(updatedReplicas=1),
        lambda objects: objects[0]["status"].update(replicas=3),
        lambda objects: objects[0]["status"].update(observedGeneration=2),
        lambda objects: objects[1]["metadata"].update(deletionTimestamp="now"),
        lambda objects: objects.pop(4),
        lambda objects: objects.pop(),
        lambda objects: objects[5]["endpoints"][0]["conditions"].update(ready=False),
        lambda objects: objects.append(endpoint_slice("echo", "10.0.0.9")),
    ],
)
def test_not_yet_in_service(spoil: Any) -> None:
    objects = world()
    spoil(objects)
    assert not rollout.in_service(objects, 2)


def gateway(*, ready: bool = True, address: str = "10.0.0.9") -> list[dict[str, Any]]:
    objects = [deployment(replicas=1, updatedReplicas=1, availableReplicas=int(ready))]
    objects += [make("g-1", ready=ready, ip="10.0.0.9"), endpoint_slice("gateway", address, ready=ready)]
    for item in objects:
        item["metadata"].setdefault("labels", {})[rollout.COMPONENT] = "gateway"
    return objects


@pytest.mark.parametrize(
    "beside",
    [gateway(ready=False), gateway(address="10.0.0.8"), gateway()[:2]],
    ids=["not ready", "another address", "no slice"],
)
def test_what_stands_beside_the_servers_is_waited_for(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL_S", 0)
    kubectl = FakeKubectl([*world(), *beside])
    with pytest.raises(LabError, match="only 2 of 2 servers got ready within 60 s: "):
        rollout.wait(kubectl, 2, 60, clock=ticking(1))  # type: ignore[arg-type]
    kubectl.objects = [*world(), *gateway()]
    found = rollout.wait(kubectl, 2, 60, clock=ticking(1))  # type: ignore[arg-type]
    assert [pods.name(pod) for pod in found] == ["e-1", "e-2"]


class FakeKubectl:
    """Shows the same objects for ever."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self.objects = objects

    def items(self, *_: str) -> list[dict[str, Any]]:
        return self.objects

    def run(self, *_: str) -> str:
        return ""

    def attempt(self, *_: str) -> Done:
        return Done(0, "", "")


def ticking(step_s: float) -> Any:
    now = iter(range(1_000_000))
    return lambda: next(now) * step_s


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        (
            make("e-1", ready=False),
            "only 0 of 2 servers got ready within 60 s: pod e-1 is Running, not ready (containers with",
        ),
        (
            make("e-1", ready=False, containerStatuses=[container("server", waiting={"reason": "ImagePullBackOff"})]),
            "the servers do not start: pod e-1, container server: the image lab:1 cannot be had",
        ),
    ],
)
def test_wait_gives_up_with_a_reason(pod: pods.Pod, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL_S", 0)
    with pytest.raises(LabError) as error:
        rollout.wait(FakeKubectl([pod]), 2, 60, clock=ticking(1))  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


QUOTA = "forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"


def test_pods_that_a_quota_forbids_are_named_though_no_pod_has_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL_S", 0)

    def looks() -> Iterator[list[dict[str, Any]]]:
        for attempt in itertools.count():  # each attempt makes up another name
            item = deployment(updatedReplicas=1, replicas=1)
            item["metadata"]["name"] = "echo"
            message = f'pods "echo-7d4b-{attempt}" is {QUOTA}'
            item["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": message}]
            yield [item, make("e-1")]

    kubectl, seen = FakeKubectl([]), looks()
    kubectl.items = lambda *_: next(seen)  # type: ignore[method-assign]
    with pytest.raises(LabError) as error:
        rollout.wait(kubectl, 2, 120, clock=ticking(0.5))  # type: ignore[arg-type]
    assert str(error.value) == f"the servers do not start: no more pods can be created for echo: {QUOTA}"


def client_pods(folder: Path, clients: int, kubectl: Any) -> job.ClientPods:
    plan = Plan("r", "steady", Strategy.parse({"client": {"target": "headless"}}), Load(clients=clients), {})
    return job.ClientPods(kubectl, plan, folder / "results", folder / "logs", lambda _: None, 30)


async def run(subject: job.ClientPods) -> None:
    """Follow it to its end."""
    try:
        await subject.start()
        while not await subject.look():
            pass
    finally:
        await subject.end()


def test_clients_that_a_quota_forbids_are_named_from_the_events_of_this_job(
    program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    events = {"items": [{"message": f'Error creating: pods "load-0-x" is {QUOTA}'}]}
    program(
        "kubectl",
        f"""case "$*" in
*--watch*) exec sleep 60 ;;
*"get job"*) echo uid-2 ;;
*involvedObject.uid=uid-2,*) echo '{json.dumps(events)}' ;;
*) exit 1 ;;
esac""",
    )
    monkeypatch.setattr(job, "LOOK_AT_EVENTS_S", 0.1)
    monkeypatch.setattr(problems, "PATIENCE_S", 0.1)
    with pytest.raises(LabError) as error:
        asyncio.run(run(client_pods(tmp_path, 2, Kubectl("ns"))))
    assert str(error.value) == f"the load does not start: no more pods can be created for load: {QUOTA}"


def test_a_node_may_join_for_longer_than_an_image_may_be_missing() -> None:
    for problem, limit_s in ((Problem("no image"), 8), (Problem("no node", unscheduled=True), 30)):
        subject = problems.Patience(ticking(1))
        looks = [subject.staying({problem}) for _ in range(limit_s + 1)]
        assert looks == [None] * limit_s + [problem]


def test_a_passing_problem_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL_S", 0)
    bad = make("e-1", ready=False, containerStatuses=[container("server", waiting={"reason": "ErrImagePull"})])
    kubectl = FakeKubectl([bad])
    looks = iter([[bad], [bad], world()])
    kubectl.items = lambda *_: next(looks)  # type: ignore[method-assign]
    assert len(rollout.wait(kubectl, 2, 60, clock=ticking(1))) == 2  # type: ignore[arg-type]


def finished(name: str) -> pods.Pod:
    return make(name, containerStatuses=[container("client", terminated={"exitCode": 0})])


def test_load_is_finished_when_every_client_ended_well() -> None:
    state = job.Following(2)
    state.see_pod("ADDED", make("load-0", containerStatuses=[container("client", running={})]))
    assert not state.started
    state.see_pod("ADDED", make("load-1", containerStatuses=[container("client", running={})]))
    assert state.started
    state.see_pod("MODIFIED", finished("load-0"))
    assert not state.finished
    state.see_pod("MODIFIED", finished("load-1"))
    assert state.finished


@pytest.mark.parametrize(
    ("kind", "pod", "words"),
    [
        ("DELETED", make("load-0"), "pod load-0 was deleted in the middle of the run"),
        (
            "MODIFIED",
            make("load-0", phase="Failed", containerStatuses=[container("client", terminated={"exitCode": 137})]),
            "pod load-0, container client: it was killed by signal 9",
        ),
        (
            "MODIFIED",
            make("load-0", phase="Failed", reason="Evicted", message="low on memory"),
            "(Evicted): low on memory",
        ),
    ],
)
def test_a_lost_client_ends_the_load(kind: str, pod: pods.Pod, words: str) -> None:
    with pytest.raises(LabError, match="the load was cut short") as error:
        job.Following(1).see_pod(kind, pod)
    assert words in str(error.value)


def test_a_finished_pod_may_go() -> None:
    state = job.Following(1)
    leaving = finished("load-0")
    leaving["metadata"]["deletionTimestamp"] = "now"
    state.see_pod("MODIFIED", leaving)
    assert state.finished


def test_lines_of_the_log() -> None:
    state = job.Following(2)
    state.see_line("[pod/load-0-abc/client] warming up")
    state.see_line("[pod/load-1-def/client] " + client_log.result_line(json.dumps({"index": 1, "requests": 500})))
    assert state.results == {1: {"index": 1, "requests": 500}}
    assert state.lines == ["[pod/load-0-abc/client] warming up"]


def client_world(index: int, log: str) -> str:
    """What kubectl shows of a client that has ended well, as the arms of a `case`."""
    pod = finished(f"load-{index}")
    told = json.dumps({"type": "MODIFIED", "object": pod})
    return f"""*--watch*) echo '{told}'; exec sleep 60 ;;
*"logs load-{index}"*) echo '{log}' ;;"""


def test_a_result_that_did_not_come_with_the_log_is_asked_for_again(
    program: Callable[[str, str], None], tmp_path: Path, calls: Callable[[], list[str]]
) -> None:
    result = {"index": 0, "requests": 7}
    program(
        "kubectl", f'case "$*" in\n{client_world(0, client_log.result_line(json.dumps(result)))}\n*) exit 1 ;;\nesac'
    )
    asyncio.run(run(client_pods(tmp_path, 1, Kubectl("ns"))))
    assert json.loads((tmp_path / "results" / "client-0.json").read_text()) == result
    assert not any("delete job" in call for call in calls()), "the next run's work, as the pods explain this one"


def test_a_client_without_a_result_is_named(
    program: Callable[[str, str], None], tmp_path: Path, calls: Callable[[], list[str]]
) -> None:
    program("kubectl", f'case "$*" in\n{client_world(0, "nothing")}\n*) exit 1 ;;\nesac')
    with pytest.raises(LabError, match="no result came from client 0, though the pod ended well"):
        asyncio.run(run(client_pods(tmp_path, 1, Kubectl("ns"))))
    assert "delete job load" in calls()[-1]
    assert (tmp_path / "logs" / "events.txt").is_file(), "what explains it was kept before"


def test_who_came_during_the_load_is_added_and_the_others_stay_as_they_were() -> None:
    before = [Replica("e-1", "uid-e-1", "10.0.0.1"), Replica("e-2", "uid-e-2", "10.0.0.2")]
    gone, new = Replica("e-1", "uid-e-1", "10.0.0.1", ready=False), Replica("e-3", "uid-e-3", "10.0.0.3")
    assert with_newcomers(before, [gone, before[1], new]) == [*before, new]
