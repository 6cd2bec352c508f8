"""The kind cluster and the engine, with programs that only pretend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes.providers import kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Program = Callable[[str, str], None]
    Calls = Callable[[], list[str]]

INFO = json.dumps({"ServerVersion": "28", "MemTotal": 8_000_000_000, "CgroupVersion": "2"})


def docker(info: str = INFO, nodes: str = "", kubeadm: str = "") -> str:
    return f"""
case "$1" in
  info) echo '{info}' ;;
  ps) printf '{nodes}' ;;
  cp) echo '{kubeadm}' ;;
  image) exit 0 ;;
esac
"""


def cluster(tmp_path: Path) -> kind.KindCluster:
    return kind.KindCluster("lab", tmp_path / "state")


def up(tmp_path: Path, pods: int = 6) -> bool:
    return cluster(tmp_path).up("kindest/node:v1", "iptables", pods, tmp_path / "logs")


def test_somebody_elses_cluster_is_refused_and_left_alone(tmp_path: Path, program: Program, calls: Calls) -> None:
    program("docker", docker(nodes="lab-control-plane running\\n", kubeadm="node-labels: theirs"))
    program("kind", "exit 0")
    with pytest.raises(LabError, match="a kind cluster named lab exists that the lab did not make"):
        up(tmp_path)
    assert cluster(tmp_path).down() is False
    assert not [call for call in calls() if call.startswith("kind")]


def test_our_cluster_is_used_as_it_is(tmp_path: Path, program: Program, calls: Calls) -> None:
    program("docker", docker(nodes="lab-control-plane running\\n", kubeadm=f"node-labels: {kind.MARK}=grpc-lb-lab"))
    program("kind", "echo kubeconfig")
    program("kubectl", "echo ok")
    assert up(tmp_path) is False
    assert cluster(tmp_path).kubeconfig.read_text(encoding="utf-8") == "kubeconfig\n"
    assert [call for call in calls() if call.startswith("kind")] == ["kind get kubeconfig --name lab"]
    assert cluster(tmp_path).down() is True
    assert any(call.startswith("kind delete cluster --name lab") for call in calls())


def test_a_new_cluster_gets_the_mark(tmp_path: Path, program: Program, calls: Calls) -> None:
    program("docker", docker())
    program("kind", "echo kubeconfig")
    program("kubectl", "echo ok")
    assert up(tmp_path) is True
    created = next(call for call in calls() if call.startswith("kind create cluster"))
    assert "--image kindest/node:v1 --config" in created
    config = json.loads((cluster(tmp_path).kubeconfig.parent / "config.yaml").read_text(encoding="utf-8"))
    assert config["networking"] == {"kubeProxyMode": "iptables"}
    assert config["nodes"][0]["labels"] == {kind.MARK: "grpc-lb-lab"}


def test_an_interrupted_creation_is_made_anew(tmp_path: Path, program: Program, calls: Calls) -> None:
    program("docker", docker(nodes="lab-control-plane running\\n"))
    program("kind", "echo kubeconfig")
    program("kubectl", "echo ok")
    begun = cluster(tmp_path).kubeconfig.with_name("creating")
    begun.parent.mkdir(parents=True)
    begun.touch()
    assert up(tmp_path) is True
    verbs = [call.split()[1] for call in calls() if call.startswith("kind")]
    assert verbs == ["delete", "create", "get"]
    assert not begun.exists()


def test_a_failed_creation_keeps_its_logs_and_leaves_nothing(tmp_path: Path, program: Program, calls: Calls) -> None:
    program("docker", docker(info=INFO.replace('"2"', '"1"')))
    program("kind", '[ "$1" != create ] || { echo "ERROR: no luck"; exit 1; }')
    with pytest.raises(LabError, match=r"kind could not create the cluster: .*no luck \(this machine uses cgroup v1"):
        up(tmp_path)
    assert (tmp_path / "logs" / "kind-create.log").read_text(encoding="utf-8") == "ERROR: no luck\n"
    verbs = [call.split()[1] for call in calls() if call.startswith("kind")]
    assert verbs == ["create", "export", "delete"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "no Docker engine answers (Cannot connect to the"),
        ('echo \'{"ServerErrors": ["permission denied"]}\'', "no Docker engine answers (permission denied)"),
    ],
)
def test_no_engine(tmp_path: Path, program: Program, body: str, words: str) -> None:
    program("docker", body)
    with pytest.raises(LabError) as error:
        up(tmp_path)
    assert str(error.value).startswith(words)
    assert "-e lab_cluster=local" in str(error.value)


def test_an_engine_that_hangs(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "DOCKER_LIMIT_S", 0.2)
    program("docker", "exec sleep 5")
    with pytest.raises(LabError, match="no Docker engine answers"):
        up(tmp_path)


def test_too_little_memory(tmp_path: Path, program: Program) -> None:
    program("docker", docker(info=INFO.replace("8000000000", "2000000000")))
    with pytest.raises(LabError, match=r"Docker has 2\.0 GB of memory, the cluster with 90 pods needs 6\.9 GB"):
        up(tmp_path, pods=90)


def test_an_image_that_is_not_to_be_had(tmp_path: Path, program: Program) -> None:
    program(
        "docker",
        docker().replace("image) exit 0", "image) exit 1") + '[ "$1" != pull ] || { echo "no such host"; exit 1; }',
    )
    with pytest.raises(
        LabError, match=r"the image kindest/node:v1 is not in Docker and cannot be pulled \(.*no such host"
    ):
        up(tmp_path)


@pytest.mark.parametrize(("script", "answer"), [("exit 0", True), ("exit 1", False), ("exec sleep 60", False)])
def test_docker_must_answer_in_time(
    program: Program, monkeypatch: pytest.MonkeyPatch, script: str, answer: bool
) -> None:
    program("docker", f"[ $1 = info ] || exit 7\n{script}")
    monkeypatch.setattr(kind, "ANSWER_LIMIT_S", 0.3)
    assert kind.PROVIDER.answers() is answer


def test_without_docker_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kind.PROVIDER.answers() is False
