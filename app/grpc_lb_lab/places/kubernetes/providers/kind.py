"""The lab's kind cluster: created when missing, left alone when present, deleted only when the lab made it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own.state import claim_root, is_ours, remove_cluster
from grpc_lb_lab.places.kubernetes import install_state
from grpc_lb_lab.places.kubernetes.cluster import kubeconfig
from grpc_lb_lab.places.kubernetes.cluster.image import ensure_here
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl, ProgramError, attempt, run, say, stream
from grpc_lb_lab.places.kubernetes.providers import Cluster, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the node's kubeadm configuration, so it can be read from a cluster whose API does not answer.
MARK = "grpc-lb-lab/made-by"
# The label that kind gives to its containers.
LABEL = "io.x-k8s.kind.cluster"
CREATE_LIMIT_S = 300.0
START_LIMIT_S = 60.0
DNS_LIMIT_S = 60.0
DOCKER_LIMIT_S = 10.0
# An engine that answers does so in milliseconds; one that hangs must not hold the user up.
ANSWER_LIMIT_S = 2.0
LOAD_LIMIT_S = 300.0
# What a control plane takes, and what one replica or client takes; measured with Kubernetes 1.36.
CLUSTER_BYTES = 1_500_000_000
POD_BYTES = 60_000_000


@dataclass(frozen=True)
class KindCluster:
    """One kind cluster. ``state`` is the folder where the lab keeps its kubeconfig."""

    name: str
    state: Path

    @property
    def kubeconfig(self) -> Path:
        """Where the credentials are: a file of the lab, so the user's own is not touched."""
        return self.state / "kind" / self.name / "kubeconfig"

    @property
    def _begun(self) -> Path:
        """Exists from before the creation until it succeeded."""
        return self.state / "kind" / self.name / "creating"

    @property
    def context(self) -> str:
        """Name of the context in the kubeconfig."""
        return f"kind-{self.name}"

    def nodes(self) -> dict[str, str]:
        """Return the names of the node containers and whether they run (``running``, ``exited`` …)."""
        lines = run(
            ["docker", "ps", "--all", "--format={{.Names}} {{.State}}", f"--filter=label={LABEL}={self.name}"],
            limit_s=DOCKER_LIMIT_S,
        ).splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def is_ours(self, nodes: dict[str, str]) -> bool:
        """Tell whether the lab made the cluster, or began to."""
        if self._begun.exists():
            return True
        node = next((name for name in sorted(nodes) if name.endswith("control-plane")), "")
        copied = attempt(["docker", "cp", f"{node}:/kind/kubeadm.conf", "-"]) if node else None
        return bool(copied and MARK in copied.stdout)

    def up(self, node_image: str, proxy_mode: str, pods: int, logs: Path) -> bool:
        """Create the cluster unless it runs, and tell whether something was changed.

        Raises ``LabError`` when the name belongs to a cluster of somebody else, and for all that keeps kind from
        creating one; kind's own logs are then in ``logs``.
        """
        check_engine(pods)
        nodes = self.nodes()
        if nodes and not self.is_ours(nodes):
            raise LabError(
                f"a kind cluster named {self.name} exists that the lab did not make; it is left alone. "
                "Choose another name with -e place_kind_name=…, or use it as it is with "
                f"-e lab_cluster=existing -e place_context={self.context}"
            )
        claim_root(self.state)
        if nodes and self._begun.exists():
            say(f"removing the cluster {self.name}: its creation was interrupted")
            self._delete()
            nodes = {}
        changed = not nodes or self._start(nodes)
        if not nodes:
            self._create(node_image, proxy_mode, logs)
        self._write_kubeconfig()
        self._wait_for_api()
        if changed:
            self._wait_for_dns()
        return changed

    def down(self) -> bool:
        """Delete the cluster if the lab made it, and tell whether it was there."""
        try:
            nodes = self.nodes()
        except ProgramError:
            return False  # without an engine there is no cluster
        ours = bool(nodes) and self.is_ours(nodes)
        if ours:
            known_by = self._authority()
            self._delete()
            # Somebody may have used it as an existing cluster too; a reset shall not look for it any more.
            install_state.forget_cluster(self.state, known_by)
        elif nodes:
            say(f"the kind cluster {self.name} was not made by the lab: left alone")
        if is_ours(self.state):
            remove_cluster(self.state, self.name)
        return ours

    def _create(self, node_image: str, proxy_mode: str, logs: Path) -> None:
        ensure_here(node_image)
        self._begun.parent.mkdir(parents=True, exist_ok=True)
        self._begun.touch()
        config = self._begun.with_name("config.yaml")
        config.write_text(json.dumps(cluster_config(proxy_mode), indent=2), encoding="utf-8")
        say(f"creating the kind cluster {self.name} (about 30 s)")
        words = ["kind", "create", "cluster", "--name", self.name, "--image", node_image, "--config", str(config)]
        words += ["--kubeconfig", str(self.kubeconfig), "--wait", "120s", "--retain"]
        try:
            stream(words, limit_s=CREATE_LIMIT_S, log=config.with_name("create.log"))
        except ProgramError as error:
            logs.mkdir(parents=True, exist_ok=True)
            attempt(["kind", "export", "logs", str(logs), "--name", self.name], limit_s=60)
            shutil.copy(config.with_name("create.log"), logs / "kind-create.log")
            self._delete()
            raise LabError(f"kind could not create the cluster: {error}{_hint()}. Its logs: {logs}") from error
        self._begun.unlink()

    def _delete(self) -> None:
        run(["kind", "delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig)], limit_s=120)
        self._begun.unlink(missing_ok=True)

    def _authority(self) -> str:
        done = attempt(["kind", "get", "kubeconfig", "--name", self.name])
        return kubeconfig.authority(done.stdout) if done.code == 0 else ""

    def _start(self, nodes: dict[str, str]) -> bool:
        """Start containers that a restart of the machine stopped, and tell whether there were any."""
        stopped = [name for name, state in nodes.items() if state != "running"]
        if stopped:
            say(f"starting the stopped cluster {self.name}")
            run(["docker", "start", *stopped], limit_s=START_LIMIT_S)
        return bool(stopped)

    def _write_kubeconfig(self) -> None:
        text = run(["kind", "get", "kubeconfig", "--name", self.name])
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if not self.kubeconfig.exists() or self.kubeconfig.read_text(encoding="utf-8") != text:
            self.kubeconfig.touch(mode=0o600)
            self.kubeconfig.write_text(text, encoding="utf-8")

    def _wait_for_api(self) -> None:
        kubectl = Kubectl("default", str(self.kubeconfig), self.context)
        done = kubectl.attempt("get", "--raw", "/readyz", limit_s=START_LIMIT_S)
        if done.code != 0:
            raise LabError(
                f"the kind cluster {self.name} runs but its API does not answer ({done.reason}). "
                "Remove it with playbooks/reset.yml; the next run makes a new one"
            )

    def _wait_for_dns(self) -> None:
        """See CoreDNS in service: the node is Ready before names resolve, and a client would find nothing."""
        kubectl = Kubectl("kube-system", str(self.kubeconfig), self.context)
        words = ("rollout", "status", "deployment/coredns", f"--timeout={DNS_LIMIT_S:.0f}s", "--request-timeout=0")
        done = kubectl.attempt(*words, limit_s=DNS_LIMIT_S + 10)
        if done.code != 0:
            raise LabError(f"CoreDNS of the kind cluster {self.name} did not start: {done.reason}")


def cluster_config(proxy_mode: str) -> dict[str, Any]:
    """Return kind's configuration: one node with the lab's mark."""
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"kubeProxyMode": proxy_mode},
        "nodes": [{"role": "control-plane", "labels": {MARK: "grpc-lb-lab"}}],
    }


def engine() -> dict[str, Any]:
    """Return what ``docker info`` says. Raises ``LabError`` within 10 s when no engine answers."""
    remedy = "Start Docker, or use -e lab_cluster=local, which needs none"
    try:
        done = attempt(["docker", "info", "--format", "{{json .}}"], limit_s=DOCKER_LIMIT_S)
    except ProgramError as error:
        raise LabError(f"no Docker engine answers ({error}). {remedy}") from error
    info: dict[str, Any] = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    problems = info.get("ServerErrors") or []
    if done.code != 0 or problems or not info.get("ServerVersion"):
        raise LabError(f"no Docker engine answers ({problems[0] if problems else done.reason}). {remedy}")
    return info


def check_engine(pods: int) -> None:
    """Refuse an engine that is not there, or too small for a control plane and ``pods`` pods."""
    memory = int(engine().get("MemTotal", 0))
    needed = CLUSTER_BYTES + pods * POD_BYTES
    if 0 < memory < needed:
        raise LabError(
            f"Docker has {memory / 1e9:.1f} GB of memory, the cluster with {pods} pods needs {needed / 1e9:.1f} GB. "
            "Give Docker more memory, or use fewer replicas (-e lab_replicas=…)"
        )


def _hint() -> str:
    """Name the most common reason that kind itself does not tell."""
    if str(engine().get("CgroupVersion")) == "1":
        return " (this machine uses cgroup v1, which kubelet 1.35 and newer refuses: try an older lab_kind_node_image)"
    return ""


def load_into(references: Sequence[str], cluster: str, nodes: Sequence[str]) -> list[str]:
    """Copy the images that a node lacks into it; returns their references.

    One ``kind load`` for all: layers that they share are copied once.
    """
    present = {node: _on_node(node) for node in nodes}
    missing = [ref for ref in references if any(full_name(ref) not in present[node] for node in nodes)]
    if missing:
        say(f"copying into the cluster: {', '.join(missing)}")
        stream(["kind", "load", "docker-image", *missing, "--name", cluster], limit_s=LOAD_LIMIT_S)
    return missing


def _on_node(node: str) -> set[str]:
    """Ask containerd itself, which every kind node has."""
    return set(run(["docker", "exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet"]).split())


def full_name(reference: str) -> str:
    """Return the name under which containerd keeps an image: ``a/b:c`` is ``docker.io/a/b:c``."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


class Kind:
    """``providers.Provider`` for the lab's own kind cluster."""

    # A node holds 110 pods, some of which are the cluster's.
    max_replicas = 90
    programs = ("kind", "kubectl", "helm")
    engine = "Docker engine"
    own = True

    def answers(self) -> bool:
        """Tell whether a Docker engine answers in time."""
        try:
            return attempt(["docker", "info"], limit_s=ANSWER_LIMIT_S).code == 0
        except ProgramError:
            return False

    def up(self, wanted: Wanted) -> Cluster:
        """Create the cluster unless it runs."""
        cluster = KindCluster(wanted.name, wanted.state)
        changed = cluster.up(wanted.node_image, wanted.proxy_mode, wanted.pods, wanted.logs)
        return Cluster(str(cluster.kubeconfig), cluster.context, changed)

    def down(self, wanted: Wanted) -> bool:
        """Delete the cluster if the lab made it."""
        return KindCluster(wanted.name, wanted.state).down()

    def load_images(self, wanted: Wanted, references: Sequence[str]) -> list[str]:
        """Copy the images that a node lacks; those that the engine lacks are pulled first."""
        for reference in references:
            ensure_here(reference)
        return load_into(references, wanted.name, list(KindCluster(wanted.name, wanted.state).nodes()))


PROVIDER = Kind()
