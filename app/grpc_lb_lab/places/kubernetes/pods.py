"""Small questions about a pod, answered from the JSON that ``kubectl get pods`` shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from grpc_lb_lab.model.inventory import Replica

Pod = dict[str, Any]

# Reasons of a waiting container that do not go away by waiting. The first two come back and forth while kubelet tries.
UNPULLABLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
BROKEN = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff")

_ATTEMPT = re.compile(r'^(Error creating: )?(pods "[^"]*" is )?')


@dataclass(frozen=True, order=True)
class Problem:
    """Why a pod will not do its work, in words. ``unscheduled``: it has no node yet."""

    words: str
    unscheduled: bool = False

    def __str__(self) -> str:
        """Return the words."""
        return self.words


def name(pod: Pod) -> str:
    """Return the pod's name."""
    return str(pod["metadata"]["name"])


def is_ready(pod: Pod) -> bool:
    """Tell whether the pod is in service: ready and not about to go."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and not is_leaving(pod)


def is_leaving(pod: Pod) -> bool:
    """Tell whether the pod was told to stop."""
    return "deletionTimestamp" in pod["metadata"]


def replica(pod: Pod) -> Replica:
    """Return what the report needs to know of an echo server."""
    return Replica(
        pod=name(pod),
        uid=str(pod["metadata"]["uid"]),
        ip=str(pod.get("status", {}).get("podIP", "")),
        ready=is_ready(pod),
        node=str(pod.get("spec", {}).get("nodeName", "")),
    )


def statuses(pod: Pod) -> list[dict[str, Any]]:
    """Return the status of every container, native sidecars included."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def problem(pod: Pod) -> Problem | None:
    """Say why this pod will not do its work; None when it does or still may.

    A container that restarts counts: neither server nor client nor proxy ends on its own.
    """
    status = pod.get("status", {})
    if status.get("reason") in ("Evicted", "NodeLost", "Terminated", "Preempting", "NodeShutdown"):
        message = status.get("message", "no reason given")
        return Problem(f"pod {name(pod)} was ended by Kubernetes ({status['reason']}): {message}")
    for container in statuses(pod):
        words = _waiting(container) or _ended(container)
        if words:
            return Problem(f"pod {name(pod)}, container {container['name']}: {words}")
    return _unschedulable(pod)


def refused(deployment: dict[str, Any]) -> Problem | None:
    """Say why no more pods can be created for a Deployment (a quota, a policy)."""
    for item in deployment.get("status", {}).get("conditions", []):
        if item["type"] == "ReplicaFailure" and item["status"] == "True":
            return refusal(str(deployment["metadata"]["name"]), item.get("message", ""))
    return None


def refusal(owner: str, message: str) -> Problem:
    """Say what the cluster said when it refused a pod of ``owner``, without the name that each attempt makes up."""
    return Problem(f"no more pods can be created for {owner}: {_short(_ATTEMPT.sub('', message))}")


def culprit(pod: Pod) -> str:
    """Return the name of the container that ``problem`` speaks of, or nothing."""
    return next((str(item["name"]) for item in statuses(pod) if _waiting(item) or _ended(item)), "")


def _waiting(container: dict[str, Any]) -> str:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in UNPULLABLE:
        return f"the image {container['image']} cannot be had ({reason}: {_short(message)})"
    if reason in BROKEN:
        last = (container.get("lastState") or {}).get("terminated") or {}
        code = f", it ended with exit code {last['exitCode']}" if "exitCode" in last else ""
        return f"it cannot start ({reason}{code}: {_short(message)})"
    return ""


def _ended(container: dict[str, Any]) -> str:
    ended = container.get("state", {}).get("terminated") or {}
    if not ended or ended.get("exitCode") == 0:
        return ""
    if ended.get("reason") == "OOMKilled":
        return "it was killed because it used more memory than its limit (OOMKilled)"
    signal = ended.get("signal") or (ended["exitCode"] - 128 if ended["exitCode"] > 128 else 0)
    if signal:
        return f"it was killed by signal {signal}"
    return f"it ended with exit code {ended['exitCode']}"


def _unschedulable(pod: Pod) -> Problem | None:
    for item in pod.get("status", {}).get("conditions", []):
        if item["type"] == "PodScheduled" and item["status"] == "False" and item.get("reason") == "Unschedulable":
            words = f"pod {name(pod)} finds no node: {_short(item.get('message', ''))}"
            return Problem(words, unscheduled=True)
    return None


def _short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= 240 else f"{text[:239]}…"
