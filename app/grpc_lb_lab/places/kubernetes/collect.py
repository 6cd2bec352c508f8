"""Keeps what explains a run, red or green: events, descriptions, logs, and how DNS and kube-proxy were set."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from grpc_lb_lab.model import client_log
from grpc_lb_lab.model.errors import ArtifactError
from grpc_lb_lab.model.ports import ADMIN_PORT
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grpc_lb_lab.places.kubernetes import pods
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

OURS = "--selector=app.kubernetes.io/part-of=grpc-lb-lab"
LIMIT_S = 20.0
MOST_PODS = "--max-log-requests=200"


def _log(release: str) -> tuple[str, ...]:
    selector = f"--selector=app.kubernetes.io/instance={release},app.kubernetes.io/part-of=grpc-lb-lab"
    return ("logs", selector, "--all-containers", "--prefix", "--tail=2000", "--ignore-errors", MOST_PODS)


# File to the kubectl command whose output it holds.
FILES: dict[str, tuple[str, ...]] = {
    "events.txt": ("get", "events", "--sort-by=.metadata.creationTimestamp"),
    "pods.txt": ("get", "pods", "--output=wide", OURS),
    "describe.txt": ("describe", "pods,jobs,deployments,services,endpointslices", OURS),
    "servers.log": _log("echo"),
    "load.log": _log("load"),
    "Corefile": ("get", "configmap", "coredns", "--namespace=kube-system", "--output=jsonpath={.data.Corefile}"),
    "kube-proxy.conf": (
        "get",
        "configmap",
        "kube-proxy",
        "--namespace=kube-system",
        r"--output=jsonpath={.data.config\.conf}",
    ),
}


def collect(kubectl: Kubectl, folder: Path) -> list[str]:
    """Write all that can be had into ``folder`` and return the names of the files.

    What cannot be had (a restricted user, a cluster that is gone) leaves a file that says why. A file that is there is
    kept: it was written when something broke, before the pods went.

    Raises ``ArtifactError`` when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {name: words for name, words in FILES.items() if not (folder / name).exists()}
        with ThreadPoolExecutor(4) as pool:
            texts = dict(zip(wanted, pool.map(lambda words: _output(kubectl, words), wanted.values()), strict=True))
        for name, text in texts.items():
            (folder / name).write_text(text or "nothing\n", encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{error.filename or folder}: {error.strerror}") from error
    return list(wanted)


def _output(kubectl: Kubectl, words: Sequence[str]) -> str:
    try:
        done = kubectl.attempt(*words, limit_s=LIMIT_S)
    except ProgramError as error:
        return f"not to be had: {error}\n"
    if done.code != 0 and not done.stdout:
        return f"not to be had: {done.reason}\n"
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if not client_log.is_for_programs(line))


def envoy(kubectl: Kubectl, clients: Sequence[pods.Pod], folder: Path) -> None:
    """Keep the configuration and the hosts of the first client's Envoy, while it runs: it is gone with its pod.

    What it counted is in the client's own result: only the client knows when its last call has ended.
    """
    first = min(clients, key=lambda pod: str(pod["metadata"]["name"]))
    base = f"/api/v1/namespaces/{kubectl.namespace}/pods/{first['metadata']['name']}:{ADMIN_PORT}/proxy"
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in (
        ("envoy-config.json", "config_dump"),
        ("envoy-clusters.txt", "clusters"),
    ):
        text = _output(kubectl, ("get", "--raw", f"{base}/{path}"))
        if name.endswith(".json") and text.startswith("{"):
            text = json.dumps(json.loads(text), indent=1)
        (folder / name).write_text(text, encoding="utf-8")
