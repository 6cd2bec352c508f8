"""Waits until the servers, and what stands beside them, are in service: rolled out, and in their EndpointSlices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import say
from grpc_lb_lab.places.kubernetes.problems import Patience, last_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

RELEASE = "app.kubernetes.io/instance=echo,app.kubernetes.io/part-of=grpc-lb-lab"
COMPONENT = "app.kubernetes.io/component"
SERVERS = "servers"
SELECTOR = f"{RELEASE},{COMPONENT}={SERVERS}"
SERVICES = ("echo", "echo-headless")
POLL_S = 0.5


def wait(
    kubectl: Kubectl, replicas: int, limit_s: float, clock: Callable[[], float] = time.monotonic
) -> list[pods.Pod]:
    """Return the servers' pods as soon as ``replicas`` of them are in service, and a gateway or control plane too.

    Raises ``LabError`` when a pod has a problem that does not go away, and after ``limit_s`` seconds.
    """
    start, patience, said = clock(), Patience(clock), -1
    while True:
        objects = kubectl.items("deployments,pods,endpointslices", f"--selector={RELEASE}")
        parts = by_component(objects)
        others = parts.keys() - {SERVERS, "test"}
        servers, beside = _pods(parts.get(SERVERS, [])), [pod for name in others for pod in _pods(parts[name])]
        ready = sum(pods.is_ready(pod) for pod in servers)
        if in_service(parts.get(SERVERS, []), replicas) and all(in_service(parts[name], 1, [name]) for name in others):
            return servers
        if ready != said:
            say(f"{ready} of {replicas} servers are ready")
            said = ready
        problems = {problem for pod in [*servers, *beside] if (problem := pods.problem(pod))}
        # Nothing is wrong with a pod that was never made: a quota or a policy forbids it, and the Deployment says so.
        problems |= {problem for item in objects if item["kind"] == "Deployment" and (problem := pods.refused(item))}
        if staying := patience.staying(problems):
            raise LabError(f"the servers do not start: {staying}{last_words(kubectl, servers)}")
        if clock() - start > limit_s:
            why = _why([*servers, *beside])
            raise LabError(f"only {ready} of {replicas} servers got ready within {limit_s:.0f} s{why}")
        time.sleep(POLL_S)


def by_component(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Sort objects by what they belong to: the servers, a gateway, a control plane, the test of the release."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for item in objects:
        parts.setdefault(item["metadata"].get("labels", {}).get(COMPONENT, SERVERS), []).append(item)
    return parts


def _pods(objects: list[dict[str, Any]]) -> list[pods.Pod]:
    return [item for item in objects if item["kind"] == "Pod" and not pods.is_leaving(item)]


def in_service(objects: list[dict[str, Any]], replicas: int, services: Sequence[str] = SERVICES) -> bool:
    """Tell whether the Deployment is done and every Service has exactly its ready pods as endpoints."""
    deployments = [item for item in objects if item["kind"] == "Deployment"]
    addresses = {item["status"]["podIP"] for item in objects if item["kind"] == "Pod" and pods.is_ready(item)}
    rolled_out = len(deployments) == 1 and is_rolled_out(deployments[0], replicas)
    return rolled_out and len(addresses) == replicas and all(endpoints(objects, name) == addresses for name in services)


def is_rolled_out(deployment: dict[str, Any], replicas: int) -> bool:
    """Tell whether all replicas are of the newest template and available."""
    status = deployment.get("status", {})
    counts = (status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and set(counts) == {replicas}


def endpoints(objects: list[dict[str, Any]], service: str) -> set[str]:
    """Return the ready addresses of a Service; it may have several EndpointSlices."""
    return {
        address
        for item in objects
        if item["kind"] == "EndpointSlice" and item["metadata"]["labels"].get("kubernetes.io/service-name") == service
        for endpoint in item.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
        for address in endpoint["addresses"]
    }


def _why(servers: list[pods.Pod]) -> str:
    """Name one pod that is not ready, and what it waits for."""
    for pod in servers:
        if not pods.is_ready(pod):
            conditions = pod.get("status", {}).get("conditions", [])
            message = next((item.get("message", "") for item in conditions if item["type"] == "Ready"), "")
            phase = pod.get("status", {}).get("phase", "Unknown")
            return f": pod {pods.name(pod)} is {phase}, not ready ({message or 'no reason given'})"
    return ": all are ready, but the Services do not have all their endpoints"
