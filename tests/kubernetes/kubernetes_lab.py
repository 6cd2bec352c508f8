"""The lab on Kubernetes as a user starts it, and kubectl to look and to break things."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT_S = 300


@dataclass(frozen=True)
class Run:
    """A playbook that has ended. ``screen`` is stdout and stderr together."""

    code: int
    screen: str
    seconds: float

    @property
    def errors(self) -> str:
        return "\n".join(line for line in self.screen.splitlines() if line.startswith("error: "))

    def changed_tasks(self) -> list[str]:
        """Return the names of the tasks that changed something, as the callback prints them."""
        names: list[str] = []
        task = ""
        for line in self.screen.splitlines():
            if re.match(r"^  \S", line):
                task = line.strip()
            elif re.match(r"^    changed in ", line):
                names.append(task)
        return names


@dataclass(frozen=True)
class KubernetesLab:
    """One lab with its own cluster name, namespace, state and artifacts."""

    folder: Path
    cluster: str = os.environ.get("LAB_KIND_CLUSTER", "grpc-lb-lab-test")
    namespace: str = "lab-test"
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def artifacts(self) -> Path:
        # Kept for whoever looks at a failed run (CI uploads them).
        kept = os.environ.get("LAB_TEST_ARTIFACTS")
        return Path(kept) if kept else self.folder / "artifacts"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kind" / self.cluster / "kubeconfig"

    def but(self, **variables: Any) -> KubernetesLab:
        """Return the same lab with other settings."""
        return KubernetesLab(self.folder, self.cluster, self.namespace, self.variables | variables)

    def existing(self, kubeconfig: Path, image: str = "", **variables: Any) -> KubernetesLab:
        """Return the lab as somebody sees it who only has a kubeconfig."""
        own = {"lab_cluster": "existing", "place_image": image or self.image()}
        return self.but(**own, place_kubeconfig=str(kubeconfig), **variables)

    def use_as_existing(self, kubeconfig: Path) -> None:
        """Have the cluster noted as an existing one too, as after a run with a kubeconfig of the user's own."""
        kubeconfig.write_bytes(self.kubeconfig.read_bytes())
        words = ["kubernetes", "prepare", f"--state={self.state}", f"--kubeconfig={kubeconfig}"]
        words += ["--namespace=noted", "--strategy=x", "--images", "x:1"]
        subprocess.run([str(BIN / "lb-lab"), *words], check=True, capture_output=True, timeout=60)

    def command(self, playbook: str, **variables: Any) -> list[str]:
        values = {
            "lab_cluster": "kind",
            "place_kind_name": self.cluster,
            "lab_namespace": self.namespace,
            "lab_state_dir": str(self.state),
            "lab_artifacts_dir": str(self.artifacts),
        }
        values |= self.variables | variables
        return [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", "-e", json.dumps(values)]

    def play(
        self,
        playbook: str = "lab",
        environment: dict[str, str] | None = None,
        limit_s: float = LIMIT_S,
        **variables: Any,
    ) -> Run:
        started = time.monotonic()
        done = subprocess.run(
            self.command(playbook, **variables),
            cwd=REPO,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
        return Run(done.returncode, done.stdout, time.monotonic() - started)

    def start(self, **variables: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("lab", **variables),
            cwd=REPO,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def report(self, strategy: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.cell(strategy) / "report.json").read_text(encoding="utf-8"))
        return data

    def cell(self, strategy: str) -> Path:
        return self.artifacts / "latest" / strategy / "steady"

    def kubectl(self, *words: str, stdin: str | None = None, code: int | None = 0) -> str:
        """Run kubectl as the cluster's admin."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    def pods(self, release: str) -> list[dict[str, Any]]:
        selector = f"--selector=app.kubernetes.io/instance={release}"
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", selector, "--output=json"))["items"]
        return items

    def wait_for_client(self, limit_s: float = 60) -> str:
        """Return the name of a client pod as soon as its client runs."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for pod in self.pods("load"):
                states = pod.get("status", {}).get("containerStatuses", [])
                if any("running" in item["state"] for item in states if item["name"] == "client"):
                    return str(pod["metadata"]["name"])
            time.sleep(0.3)
        raise AssertionError("no client runs")

    def image(self) -> str:
        """Return the lab's image that is in the cluster."""
        deployment = json.loads(
            self.kubectl("get", "deployment", "echo", "--output=json", "--namespace", self.namespace)
        )
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    def clusters(self) -> list[str]:
        done = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.split()

    def in_node(self, script: str) -> str:
        """Run a shell script in the cluster's node."""
        command = ["docker", "exec", f"{self.cluster}-control-plane", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def write_scenario(lab: KubernetesLab, name: str, duration_s: float, *events: dict[str, Any]) -> None:
    """Write a scenario into the lab's own folder of them. Nothing is expected but that it can be carried out."""
    anything = {"class": "even", "share": "any", "errors": "any"}
    needs_s = 3 + max(event["after_s"] for event in events)
    scenario = {
        "scenario": {"name": name, "title": "A test", "shows": "A test.", "phase": {"from_s": 2, "to_s": 2.5}},
        "load": {"duration_s": duration_s, "needs_s": needs_s, "rate_rps": 100, "deadline_s": 1},
        "events": list(events),
        "expect": dict.fromkeys(("headless", "envoy", "xds", "lookaside", "gateway"), anything),
        "refuse": {},
    }
    path = Path(lab.variables["lab_scenarios_dir"]) / f"{name}.yaml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
