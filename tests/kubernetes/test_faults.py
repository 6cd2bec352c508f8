"""What goes wrong on a cluster ends in a clear message within its time, leaves logs, and the next run works."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
from grpc_lb_lab.places.kubernetes.forward import forward

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubernetes_lab import KubernetesLab


def passes(lab: KubernetesLab, strategy: str = "service") -> None:
    run = lab.play(strategy=strategy)
    assert run.code == 0, run.screen


def logs(lab: KubernetesLab, strategy: str, name: str) -> str:
    return (lab.cell(strategy) / "logs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("how", ["deleted", "killed"])
def test_a_client_pod_that_is_lost(cluster: KubernetesLab, how: str) -> None:
    run = cluster.start(strategy="service", lab_duration=60)
    pod = cluster.wait_for_client()
    time.sleep(2)
    if how == "deleted":
        cluster.kubectl("delete", "pod", pod, "--wait=false", "--grace-period=1")
    else:
        kill(cluster, pod, "client", "KILL")
    lost = time.monotonic()
    screen, _ = run.communicate(timeout=60)
    assert time.monotonic() - lost < 12
    assert run.returncode != 0
    assert f"error: the load was cut short: pod {pod}" in screen, screen
    assert ("was killed by signal 9" if how == "killed" else pod) in screen
    # Collected before the lab takes the pod away; of a deleted one only the events are left by then.
    assert pod in logs(cluster, "service", "events.txt" if how == "deleted" else "pods.txt")
    if how == "killed":
        assert f"Name:             {pod}" in logs(cluster, "service", "describe.txt")
    assert logs(cluster, "service", "load.log")
    passes(cluster)


def kill(cluster: KubernetesLab, pod: str, container: str, name: str) -> None:
    """Send a signal to the first process of a container, from the node: inside, PID 1 is immune."""
    items = [item for item in cluster.pods("load") + cluster.pods("echo") if item["metadata"]["name"] == pod]
    status = next(item for item in items[0]["status"]["containerStatuses"] if item["name"] == container)
    identity = status["containerID"].rpartition("/")[2]
    cluster.in_node(f"for p in /proc/[0-9]*; do grep -q {identity} $p/cgroup && kill -{name} ${{p#/proc/}}; done; true")


def test_a_server_that_never_gets_ready(cluster: KubernetesLab) -> None:
    passes(cluster)
    pod = cluster.pods("echo")[0]["metadata"]["name"]
    kill(cluster, pod, "server", "STOP")
    try:
        deadline = time.monotonic() + 30
        while all(ready(item) for item in cluster.pods("echo")):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        run = cluster.existing(cluster.kubeconfig).play(strategy="service", echo_limit=5)
    finally:
        kill(cluster, pod, "server", "KILL")
    assert run.code != 0
    assert f"only 4 of 5 servers got ready within 5 s: pod {pod} is Running, not ready" in run.errors
    assert pod in logs(cluster, "service", "describe.txt")
    passes(cluster)


def ready(pod: dict) -> bool:  # type: ignore[type-arg]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])


def test_an_image_that_cannot_be_pulled(cluster: KubernetesLab) -> None:
    passes(cluster)
    missing = "registry.invalid/grpc-lb-lab:none"
    run = cluster.existing(cluster.kubeconfig, missing).play(strategy="service")
    assert run.code != 0
    assert re.search(
        rf"the servers do not start: pod \S+, container server: the image {missing} cannot be had", run.errors
    )
    assert run.seconds < 45
    assert missing in logs(cluster, "service", "describe.txt")
    passes(cluster)


def test_servers_that_crash(cluster: KubernetesLab) -> None:
    passes(cluster)
    run = cluster.existing(cluster.kubeconfig, "python:3.13-slim").play(strategy="service")
    assert run.code != 0
    assert "the servers do not start: pod echo-" in run.errors, run.screen
    assert run.seconds < 60
    passes(cluster)


def test_servers_that_find_no_node(cluster: KubernetesLab) -> None:
    passes(cluster)
    node = f"{cluster.cluster}-control-plane"
    cluster.kubectl("cordon", node)
    try:
        run = cluster.existing(cluster.kubeconfig).play(strategy="headless")
    finally:
        cluster.kubectl("uncordon", node)
    assert run.code != 0
    assert re.search(r"the servers do not start: pod \S+ finds no node: 0/1 nodes are available", run.errors), (
        run.screen
    )
    passes(cluster)


def test_the_playbook_is_killed_in_the_middle(cluster: KubernetesLab) -> None:
    run = cluster.start(strategy="service", lab_duration=120)
    cluster.wait_for_client()
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    passes(cluster)
    jobs = cluster.kubectl("get", "jobs", "--output=name").split()
    assert jobs == ["job.batch/load"]
    assert len(cluster.pods("load")) == 1


def test_only_ansible_is_killed(cluster: KubernetesLab) -> None:
    """The lab's own program outlives it for a moment, sees that, and takes the load away."""
    run = cluster.start(strategy="service", lab_duration=120)
    cluster.wait_for_client()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 30
    while cluster.pods("load"):
        assert time.monotonic() < deadline, "the load goes on"
        time.sleep(0.5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def test_a_context_that_does_not_answer(cluster: KubernetesLab, tmp_path: Path) -> None:
    text = cluster.kubeconfig.read_text(encoding="utf-8")
    refused = tmp_path / "refused"
    # Port 1 of the loopback address refuses; the other address is kept for documentation (RFC 5737) and never answers.
    refused.write_text(re.sub(r"server: \S+", "server: https://127.0.0.1:1", text), encoding="utf-8")
    silent = tmp_path / "silent"
    silent.write_text(re.sub(r"server: \S+", "server: https://192.0.2.1:6443", text), encoding="utf-8")
    for path in (refused, silent):
        run = cluster.existing(path, "x:1").play(strategy="service")
        assert run.code != 0
        named = rf"the cluster of context kind-{cluster.cluster} \(https://\S+\) does not answer"
        assert re.search(named, run.errors), run.screen
        assert run.seconds < 30


def test_no_docker(cluster: KubernetesLab) -> None:
    run = cluster.play(strategy="service", environment={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert run.code != 0
    assert "error: no Docker engine answers" in run.errors
    assert "-e lab_cluster=local" in run.errors
    assert run.seconds < 10


def test_a_base_image_that_is_not_to_be_had(cluster: KubernetesLab) -> None:
    run = cluster.play(strategy="service", place_image_base="registry.invalid/python:3.13")
    assert run.code != 0
    assert "the image registry.invalid/python:3.13 is not in Docker and cannot be pulled" in run.errors
    passes(cluster)


@pytest.fixture
def somebody_elses_node() -> Iterator[str]:
    """A container that looks like the node of a kind cluster which the lab did not make."""
    name = "somebody-else-control-plane"
    words = ["docker", "run", "--detach", "--name", name, "--label", "io.x-k8s.kind.cluster=somebody-else"]
    subprocess.run([*words, "--entrypoint", "sleep", "python:3.13-slim", "600"], check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def test_a_kind_cluster_of_somebody_else(cluster: KubernetesLab, somebody_elses_node: str) -> None:
    run = cluster.play(strategy="service", place_kind_name="somebody-else")
    assert run.code != 0
    assert "a kind cluster named somebody-else exists that the lab did not make" in run.errors
    assert run.seconds < 10
    assert cluster.play("reset", place_kind_name="somebody-else").code == 0
    inspect = ["docker", "inspect", "--format", "{{.State.Running}}", somebody_elses_node]
    assert subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip() == "true"


def wait_for_answer(stub: echo_pb2_grpc.EchoServiceStub) -> None:
    """Wait until the gateway has found a server."""
    deadline = time.monotonic() + 30
    while True:
        try:
            stub.Echo(echo_pb2.EchoRequest(), wait_for_ready=True, timeout=30)
            return
        except grpc.RpcError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_faults_come_from_the_lab_only_and_a_gateway_closes_behind_the_load(cluster: KubernetesLab) -> None:
    run = cluster.start(strategy="gateway", lab_duration=6)
    ports = "--output=jsonpath={.spec.type} {.spec.ports[0].nodePort}"
    deadline = time.monotonic() + 60
    while not (found := cluster.kubectl("get", "service", "gateway", ports, code=None)).startswith("NodePort"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    host = cluster.pods("echo")[0]["status"]["hostIP"]
    with grpc.insecure_channel(f"{host}:{found.split()[1]}") as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        wait_for_answer(stub)
        with pytest.raises(grpc.RpcError) as caught:
            stub.SetFault(echo_pb2.FaultRequest(crash=True), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, "the gateway knows the echo methods only"
    screen, _ = run.communicate(timeout=60)
    assert run.returncode == 0, screen
    assert cluster.kubectl("get", "service", "gateway", ports) == "ClusterIP "
    pod = cluster.pods("echo")[0]["metadata"]["name"]
    forwarding = forward(Kubectl(cluster.namespace, str(cluster.kubeconfig)), f"pod/{pod}", 50051)
    with forwarding as address, grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        echo_pb2_grpc.EchoServiceStub(channel).SetFault(echo_pb2.FaultRequest(crash=True), timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_quota_is_named_and_once_it_is_lifted_the_next_run_passes(cluster: KubernetesLab) -> None:
    cluster.kubectl("create", "quota", "small", "--hard=pods=3")
    try:
        run = cluster.play(strategy="headless", place_fresh=True)
    finally:
        cluster.kubectl("delete", "quota", "small")
    assert run.code != 0
    assert "no more pods can be created for echo: forbidden: exceeded quota: small" in run.errors, run.screen
    passes(cluster, "headless")


def test_servers_that_are_lost_in_a_steady_load_are_named(cluster: KubernetesLab) -> None:
    run = cluster.start(strategy="headless", lab_duration=8, lab_rate=100)
    cluster.wait_for_client()
    time.sleep(3)
    deleted, killed = (pod["metadata"]["name"] for pod in cluster.pods("echo")[:2])
    cluster.kubectl("delete", "pod", deleted, "--wait=false", "--grace-period=1")
    kill(cluster, killed, "server", "KILL")
    screen, _ = run.communicate(timeout=60)
    report = cluster.report("headless")
    told = [f"server {deleted} was deleted during the load", f"server {killed} ended and was restarted during the load"]
    for words in told:
        assert any(note.startswith(words) for note in report["notes"]), screen
        assert report["verdict"]["status"] == "pass" or words[1:] in report["verdict"]["cause"], screen


def test_a_node_that_is_paused_in_a_steady_load_is_named(cluster: KubernetesLab) -> None:
    run = cluster.start(strategy="headless", lab_duration=14, lab_rate=100)
    cluster.wait_for_client()
    time.sleep(3)
    node = f"{cluster.cluster}-control-plane"
    subprocess.run(["docker", "pause", node], check=True, capture_output=True)
    try:
        time.sleep(8)
    finally:
        subprocess.run(["docker", "unpause", node], check=True, capture_output=True)
    screen, _ = run.communicate(timeout=90)
    notes = cluster.report("headless")["notes"]
    assert any(re.match(r"the whole lab stood still for [789] s \(at ", note) for note in notes), screen
