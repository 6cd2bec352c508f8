"""Whose Istio is in the cluster, what it must be able to do, and what a reset takes away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import namespace
from grpc_lb_lab.places.kubernetes.cluster import istio
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Program = Callable[[str, str], None]
    Calls = Callable[[], list[str]]

OURS = {namespace.MANAGED_BY: namespace.LAB}
NOT_FOUND = None


def istiod(digest: str = "", available: int = 1, image: str = "docker.io/istio/pilot:1.31.1") -> dict[str, Any]:
    annotations = {istio.MARK: digest} if digest else {}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"image": image}]}}
    return {
        "metadata": {"namespace": "istio-system"},
        "spec": {"template": template},
        "status": {"availableReplicas": available} if available else {},
    }


def cluster(
    program: Program,
    *,
    version: str = "v1.36.3",
    istiods: list[dict[str, Any]] | None = None,
    home: dict[str, str] | None = NOT_FOUND,
    served: tuple[str, ...] = ("v1beta1", "v1"),
    more: str = "",
    may_install: bool = True,
) -> None:
    """Let kubectl answer for a cluster like this. ``istiods`` None: the user may not look; ``home``: its labels."""
    review = json.dumps({"kind": "SelfSubjectAccessReview", "status": {"allowed": may_install}})
    reviews = json.dumps({"kind": "List", "items": [json.loads(review)] * len(istio.INSTALL_RIGHTS)})
    deployments = "exit 1" if istiods is None else f"echo '{json.dumps({'items': istiods})}'"
    space = (
        'echo "Error (NotFound)" >&2; exit 1'
        if home is None
        else f"echo '{json.dumps({'metadata': {'labels': home}})}'"
    )
    rules = json.dumps({"spec": {"versions": [{"name": name} for name in served]}})
    body = f"""case "$*" in
*" version "*) echo '{json.dumps({"serverVersion": {"gitVersion": version}})}' ;;
*"get deployments"*) {deployments} ;;
*"get namespace"*) {space} ;;
*"get customresourcedefinition "*) echo '{rules}' ;;
*"create --filename=- --output=json"*) echo '{reviews}' ;;
{more}
esac"""
    program("kubectl", body)


def look(version: str = "1.31.1") -> istio.Found:
    return istio.have_room(Kubectl("istio-system", "file", "ctx"), version, "abc")


def test_none_is_installed_into_a_namespace_of_the_labs_own(program: Program, calls: Calls) -> None:
    cluster(program, istiods=[])
    assert look() == istio.Found(install=True, owner="lab", version="1.31.1")
    assert any(call.endswith(" create --filename=-") for call in calls())


def test_the_labs_own_is_left_when_it_is_the_wanted_one(program: Program, calls: Calls) -> None:
    cluster(program, istiods=[istiod("abc")], home=OURS)
    assert look() == istio.Found(install=False, owner="lab", version="1.31.1")
    assert not any(" create " in call for call in calls())


@pytest.mark.parametrize("found", [istiod("other"), istiod("abc", available=0)])
def test_the_labs_own_is_mended(program: Program, found: dict[str, Any]) -> None:
    cluster(program, istiods=[found], home=OURS)
    assert look().install


def test_somebody_elses_is_only_looked_at(program: Program, calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    cluster(program, version="v1.40.0", istiods=[istiod(image="example.com/pilot:1.29.0-distroless")], home={})
    assert look() == istio.Found(install=False, owner="other", version="1.29.0-distroless")
    assert "Istio 1.29.0-distroless is there already, in the namespace istio-system" in capsys.readouterr().err
    assert not any(word in call for call in calls() for word in (" create ", " apply ", " delete ", " label "))


def test_somebody_elses_must_work(program: Program) -> None:
    cluster(program, istiods=[istiod(available=0)])
    with pytest.raises(LabError, match="is not the lab's and does not run"):
        look()
    cluster(program, istiods=[istiod(image="a/pilot:1.20.0")], served=("v1alpha3", "v1beta1"))
    with pytest.raises(LabError, match=r"serves destinationrules\S+ only as v1alpha3, v1beta1; the lab needs v1"):
        look()


def test_a_user_who_may_not_look_goes_on(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    cluster(program, istiods=None)
    assert not look().install
    assert "may not look for Istio" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["v1.32.0", "v1.36.9-gke.1"])
def test_supported_kubernetes(version: str) -> None:
    istio.check_supported("1.31.1", version)


@pytest.mark.parametrize("version", ["v1.31.9", "v1.37.0", "v2.0.0"])
def test_unsupported_kubernetes_is_told_before_anything_is_made(program: Program, calls: Calls, version: str) -> None:
    cluster(program, version=version, istiods=[])
    with pytest.raises(LabError, match=r"Istio 1\.31\.1 supports Kubernetes 1\.32 to 1\.36, and this cluster is v"):
        look()
    assert not any(" create " in call for call in calls())


def test_a_namespace_of_somebody_else_is_left_alone(program: Program) -> None:
    cluster(program, istiods=[], home={})
    with pytest.raises(LabError, match="not made by the lab and without an istiod"):
        look()


def test_who_may_not_install_is_told_before_anything_is_made(program: Program, calls: Calls) -> None:
    cluster(program, istiods=[], may_install=False)
    with pytest.raises(
        LabError, match=r"this user may not install one \(create namespaces, create customresourcedefinitions\.api"
    ):
        look()
    assert not any(call.endswith(" create --filename=-") for call in calls())


def test_a_cluster_that_gets_istio_is_remembered_before(program: Program, calls: Calls) -> None:
    cluster(program, istiods=[])
    made: list[bool] = []
    istio.have_room(
        Kubectl("istio-system"),
        "1.31.1",
        "abc",
        lambda: made.append(any(call.endswith(" create --filename=-") for call in calls())),
    )
    assert made == [False]


def injected(*names: str) -> str:
    containers = [{"name": name, "image": f"docker.io/istio/{name}:1"} for name in names]
    return json.dumps({"spec": {"containers": [{"name": "server", "image": "none"}], "initContainers": containers}})


def test_injection_is_asked_of_the_cluster(program: Program, calls: Calls) -> None:
    program("kubectl", f"echo '{injected('istio-init', 'istio-proxy')}'")
    assert istio.check_injection(Kubectl("ns"), "sidecar") == "docker.io/istio/istio-proxy:1"
    assert "--dry-run=server" in calls()[0]


def test_no_injection_and_refused_injection(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istio, "WEBHOOK_LIMIT_S", 0.0)
    program("kubectl", f"echo '{injected()}'")
    with pytest.raises(LabError, match="kubectl label namespace ns istio-injection=enabled"):
        istio.check_injection(Kubectl("ns"), "sidecar")
    program("kubectl", 'echo "pods is forbidden: violates PodSecurity restricted" >&2; exit 1')
    with pytest.raises(LabError, match="istio-init sets up the pod's network and needs NET_ADMIN"):
        istio.check_injection(Kubectl("ns"), "sidecar")
    program("kubectl", 'echo "failed calling webhook: connection refused" >&2; exit 1')
    with pytest.raises(LabError, match="Istio's injection does not work in the namespace ns: failed calling"):
        istio.check_injection(Kubectl("ns"), "sidecar")


def test_a_webhook_that_is_not_ready_yet_is_waited_for(program: Program, calls: Calls, tmp_path: Path) -> None:
    answer = injected("istio-proxy")
    first = f'[ -e {tmp_path}/asked ] || {{ touch {tmp_path}/asked; echo "failed calling webhook" >&2; exit 1; }}'
    program("kubectl", f"{first}; echo '{answer}'")
    assert istio.check_injection(Kubectl("ns"), "sidecar")
    assert len(calls()) == 2


DEFINITIONS = json.dumps({"items": [{"metadata": {"name": "destinationrules.networking.istio.io"}}]})


def with_objects(used: str) -> str:
    return f"""*"get customresourcedefinitions"*) echo '{DEFINITIONS}' ;;
*"get destinationrules"*) echo '{used}' ;;"""


def test_reset_takes_the_labs_own_away(program: Program, calls: Calls) -> None:
    cluster(program, home=OURS, more=with_objects(""))
    program("helm", "exit 0")
    assert istio.remove(Kubectl("lab", "file", "ctx"))
    told = "\n".join(calls())
    assert "uninstall istiod" in told
    assert "uninstall base" in told
    assert "delete customresourcedefinitions destinationrules.networking.istio.io" in told
    assert "delete namespace istio-system" in told


def test_reset_keeps_definitions_that_are_used(program: Program, calls: Calls) -> None:
    cluster(program, home=OURS, more=with_objects("destinationrule.networking.istio.io/theirs"))
    program("helm", "exit 0")
    assert istio.remove(Kubectl("lab"))
    assert not any("delete customresourcedefinitions" in call for call in calls())


@pytest.mark.parametrize("home", [NOT_FOUND, {}, {namespace.MANAGED_BY: "Helm"}])
def test_reset_leaves_others_alone(program: Program, calls: Calls, home: dict[str, str] | None) -> None:
    cluster(program, home=home)
    assert not istio.remove(Kubectl("lab"))
    assert len(calls()) == 1


@pytest.mark.parametrize(
    ("found", "proxy", "words"),
    [
        (OURS | {namespace.SECURITY: "restricted"}, "sidecar", "enforce=privileged istio-injection=enabled"),
        (OURS | {namespace.SECURITY: "restricted"}, "grpc-agent", "enforce=restricted istio-injection=enabled"),
        (OURS | {namespace.SECURITY: "privileged", "istio-injection": "enabled"}, "", "restricted istio-injection-"),
        (OURS | {namespace.SECURITY: "restricted"}, "", ""),
        (OURS | {namespace.SECURITY: "privileged", "istio-injection": "enabled"}, "sidecar", ""),
        ({namespace.SECURITY: "restricted"}, "sidecar", ""),
    ],
)
def test_only_the_labs_own_namespace_is_labelled(
    program: Program, calls: Calls, found: dict[str, str], proxy: str, words: str
) -> None:
    cluster(program, home=found)
    assert namespace.ensure(Kubectl("lab"), proxy) is bool(words)
    labelled = [call for call in calls() if " label namespace lab " in call]
    assert len(labelled) == bool(words)
    assert all(call.endswith(words) for call in labelled)
