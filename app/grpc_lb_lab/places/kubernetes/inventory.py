"""What the report must know of the cluster: replicas, the Service's address, and the versions of what is involved."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.inventory import Inventory
from grpc_lb_lab.places.kubernetes import pods, rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl


def take(kubectl: Kubectl, cluster: str, servers: list[pods.Pod], images: dict[str, str]) -> Inventory:
    """Return the inventory. What this user may not read is left out, and a note says so.

    ``images`` maps names such as ``envoy`` to references whose tags are versions.
    """
    questions: dict[str, Callable[[], str]] = {
        "service": lambda: _service_ip(kubectl),
        "kubernetes": lambda: _kubernetes(kubectl),
        "kube-proxy mode": lambda: _proxy_mode(kubectl),
        "CoreDNS": lambda: _core_dns(kubectl),
        "node": lambda: _node(kubectl, str(servers[0]["spec"].get("nodeName", "")) if servers else ""),
    }
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = dict(zip(questions, pool.map(lambda ask: ask(), questions.values()), strict=True))
    service_ip = answers.pop("service")
    unknown = sorted(name for name, answer in answers.items() if not answer)
    notes = [f"not to be read with this user's rights: {', '.join(unknown)}"] if unknown else []
    versions = {name: answer for name, answer in answers.items() if answer}
    versions |= {name: reference.rpartition(":")[2] for name, reference in images.items() if reference}
    replicas = sorted((pods.replica(pod) for pod in servers), key=lambda replica: replica.pod)
    return Inventory(cluster=cluster, replicas=replicas, service_ip=service_ip, versions=versions, notes=notes)


def _maybe(kubectl: Kubectl, *arguments: str) -> dict[str, Any]:
    done = kubectl.attempt(*arguments, "--output=json")
    data: dict[str, Any] = json.loads(done.stdout) if done.code == 0 and done.stdout.startswith("{") else {}
    return data


def _service_ip(kubectl: Kubectl) -> str:
    return str(_maybe(kubectl, "get", "service", rollout.SERVICES[0]).get("spec", {}).get("clusterIP", ""))


def _kubernetes(kubectl: Kubectl) -> str:
    return str(_maybe(kubectl, "version").get("serverVersion", {}).get("gitVersion", ""))


def _proxy_mode(kubectl: Kubectl) -> str:
    config = _maybe(kubectl, "get", "configmap", "kube-proxy", "--namespace=kube-system").get("data", {})
    if not config:
        return ""
    modes = [
        line.split(":", 1)[1].strip().strip('"')
        for line in config.get("config.conf", "").splitlines()
        if line.startswith("mode:")
    ]
    return next((mode for mode in modes if mode), "iptables")


def _core_dns(kubectl: Kubectl) -> str:
    deployment = _maybe(kubectl, "get", "deployment", "coredns", "--namespace=kube-system")
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return str(containers[0]["image"].rpartition(":")[2]) if containers else ""


def _node(kubectl: Kubectl, name: str) -> str:
    info = _maybe(kubectl, "get", "node", name).get("status", {}).get("nodeInfo", {}) if name else {}
    return f"{info['osImage']}, kernel {info['kernelVersion']}, {info['containerRuntimeVersion']}" if info else ""
