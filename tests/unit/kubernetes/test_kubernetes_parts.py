"""Programs, image, namespace, tools and notes."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab import cli
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import collect, install_state, namespace
from grpc_lb_lab.places.kubernetes.cluster import image, tools
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl, ProgramError, attempt, stream
from grpc_lb_lab.places.kubernetes.providers import kind

if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[[str, str], None]
    Calls = Callable[[], list[str]]

REPO = Path(__file__).resolve().parents[3]


# --- programs ---------------------------------------------------------------------------------------------------------


def test_a_program_that_is_missing_or_slow() -> None:
    with pytest.raises(ProgramError, match="no-such-program is not installed or not on the PATH"):
        attempt(["no-such-program", "x"])
    with pytest.raises(ProgramError, match="sleep 5 did not answer within 0 s"):
        attempt(["sleep", "5"], limit_s=0.1)
    with pytest.raises(ProgramError, match="sleep 5 was not done after 0 s"):
        stream(["sleep", "5"], limit_s=0.1)


def test_a_program_that_took_too_long_is_told_so_while_its_killer_is_still_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill = subprocess.Popen.kill

    def linger(process: subprocess.Popen[str]) -> None:
        kill(process)
        time.sleep(0.3)

    monkeypatch.setattr(subprocess.Popen, "kill", linger)
    with pytest.raises(ProgramError, match="sleep 5 was not done after 0 s"):
        stream(["sleep", "5"], limit_s=0.1)


def test_kubectls_error_is_told_once(program: Program) -> None:
    program("kubectl", 'echo "E1122 01:30:00.1 1 memcache.go:265] noise" >&2; echo "no such host" >&2; exit 1')
    with pytest.raises(ProgramError) as error:
        Kubectl("ns", "file", "ctx").run("get", "pods")
    assert str(error.value) == "kubectl get pods: no such host"


def test_kubectl_is_bound_to_its_place(program: Program, calls: Calls) -> None:
    program("kubectl", "echo '{\"items\": []}'")
    assert Kubectl("ns", "file", "ctx").items("pods") == []
    assert calls() == [
        "kubectl --namespace=ns --kubeconfig=file --context=ctx --request-timeout=15s get pods --output=json"
    ]


# --- image ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path: Path) -> image.Recipe:
    for path in (
        "app/Dockerfile",
        "requirements/image.txt",
        "app/grpc_lb_lab/cli.py",
        "app/grpc_lb_lab/places/local/load/place.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / path, tmp_path / path)
    return image.Recipe(tmp_path, tmp_path / ".lab", "python:3.13-slim")


@pytest.mark.parametrize("path", ["app/Dockerfile", "requirements/image.txt", "app/grpc_lb_lab/cli.py"])
def test_the_tag_follows_the_content(recipe: image.Recipe, path: str) -> None:
    before = recipe.reference
    with (recipe.repo / path).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert recipe.reference != before


def test_the_tag_ignores_what_is_not_in_the_image(recipe: image.Recipe) -> None:
    before = recipe.reference
    (recipe.package / "places" / "local" / "load" / "place.py").write_text("changed", encoding="utf-8")
    (recipe.package / "__pycache__").mkdir()
    (recipe.package / "__pycache__" / "cli.cpython-313.pyc").write_bytes(b"compiled")
    assert recipe.reference == before
    assert image.Recipe(recipe.repo, recipe.state, "python:3.14-slim").reference != before


def test_an_image_that_is_there_is_not_built(recipe: image.Recipe, program: Program, calls: Calls) -> None:
    program("docker", "exit 0")
    assert image.build(recipe) is False
    assert [call.split()[1] for call in calls()] == ["image"]


def test_what_the_image_holds_needs_nothing_else_of_the_lab(tmp_path: Path) -> None:
    recipe = image.Recipe(REPO, REPO, "x")
    for source in recipe.sources():
        target = tmp_path / source.relative_to(recipe.package.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    # Imports inside of functions too, which only a call would try; the command line's own are by name and lazy.
    names = {
        f"{'.'.join(path.relative_to(tmp_path).with_suffix('').parts)}"
        for path in tmp_path.rglob("*.py")
        if path.stem not in ("__main__", "__init__")
    }
    wanted = {
        name
        for path in tmp_path.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grpc_lb_lab.")
        for name in [str(node.module)]
    }
    packages = {name.rpartition(".")[0] for name in names}
    assert sorted(wanted - names - packages) == []
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *sorted(names)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", ["views/templates/style.css", "judge/cause.py", "places/local/load/place.py", "views/live/page.py"]
)
def test_what_no_pod_runs_makes_no_new_image(recipe: image.Recipe, path: str) -> None:
    before = recipe.reference
    (recipe.package / path).parent.mkdir(parents=True, exist_ok=True)
    (recipe.package / path).write_text("/* another colour */", encoding="utf-8")
    assert recipe.reference == before


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("lab:1", "docker.io/library/lab:1"),
        ("envoyproxy/envoy:v1", "docker.io/envoyproxy/envoy:v1"),
        ("quay.io/a/b:1", "quay.io/a/b:1"),
        ("localhost:5000/b:1", "localhost:5000/b:1"),
    ],
)
def test_containerds_name(reference: str, name: str) -> None:
    assert kind.full_name(reference) == name


def test_only_what_a_node_lacks_is_copied(program: Program, calls: Calls) -> None:
    program("docker", "echo docker.io/library/lab:1")
    program("kind", "exit 0")
    assert kind.load_into(["lab:1"], "c", ["node"]) == []
    assert kind.load_into(["lab:1", "lab:2"], "c", ["node"]) == ["lab:2"]
    assert [call for call in calls() if call.startswith("kind")] == ["kind load docker-image lab:2 --name c"]


# --- namespace --------------------------------------------------------------------------------------------------------


def rights_kubectl(refused: str, subresource: str = "") -> str:
    """A kubectl that allows everything but one resource."""
    return f"""exec python3 -c '
import json, sys
for item in json.load(sys.stdin)["items"]:
    asked = item["spec"]["resourceAttributes"]
    allowed = (asked["resource"], asked["subresource"]) != ("{refused}", "{subresource}")
    print(json.dumps({{"kind": item["kind"], "status": {{"allowed": allowed}}}}, indent=4))
'"""


def test_rights_that_are_missing_are_named(program: Program) -> None:
    program("kubectl", rights_kubectl("jobs"))
    with pytest.raises(
        LabError,
        match=r"in the namespace ns: get/list/create/patch/delete jobs\.batch\. docs/existing-clusters\.md has",
    ):
        namespace.check_rights(Kubectl("ns"), namespace.needed_rights())
    program("kubectl", rights_kubectl("nothing"))
    namespace.check_rights(Kubectl("ns"), namespace.needed_rights())


def test_only_a_control_plane_needs_the_right_to_make_roles(program: Program) -> None:
    program("kubectl", rights_kubectl("rolebindings"))
    namespace.check_rights(Kubectl("ns"), namespace.needed_rights())
    with pytest.raises(LabError, match=r"delete rolebindings\.rbac\.authorization\.k8s\.io\. docs/"):
        namespace.check_rights(Kubectl("ns"), namespace.needed_rights(control_plane=True))


def test_a_client_outside_needs_the_right_to_come_in(program: Program) -> None:
    program("kubectl", rights_kubectl("pods", "portforward"))
    namespace.check_rights(Kubectl("ns"), namespace.needed_rights())
    with pytest.raises(LabError, match=r"in the namespace ns: get/create pods/portforward\. docs/"):
        namespace.check_rights(Kubectl("ns"), namespace.needed_rights(forward=True))


def documented_rules(name: str = "grpc-lb-lab") -> list[dict[str, Any]]:
    text = (REPO / "docs" / "existing-clusters.md").read_text(encoding="utf-8")
    documents = [
        item for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for item in yaml.safe_load_all(block)
    ]
    roles = {item["metadata"]["name"]: item["rules"] for item in documents if item.get("kind") == "Role"}
    return list(roles[name])


def is_granted(right: tuple[str, str, str, str], rules: list[dict[str, Any]]) -> bool:
    verb, group, resource, subresource = right
    name = f"{resource}/{subresource}" if subresource else resource
    return any(verb in rule["verbs"] and group in rule["apiGroups"] and name in rule["resources"] for rule in rules)


def test_the_documented_role_grants_what_is_asked_for() -> None:
    rules = documented_rules()
    asked = namespace.needed_rights(forward=True)
    assert [right for right in asked if not is_granted(right, rules)] == []
    assert not is_granted(("create", "rbac.authorization.k8s.io", "roles", ""), rules)
    more = documented_rules("grpc-lb-lab-control-planes")
    mesh = documented_rules("grpc-lb-lab-mesh")
    assert [right for right in namespace.MESH_RIGHTS if not is_granted(right, mesh)] == []
    both = [*rules, *more, *mesh]
    assert [right for right in namespace.CONTROL_PLANE_RIGHTS if not is_granted(right, both)] == []
    assert {resource for rule in more for resource in rule["resources"]} == {"roles", "rolebindings"}
    assert not any("*" in rule[key] for rule in both for key in ("verbs", "resources", "apiGroups"))


def helm(chart: str, status: str) -> str:
    return f"""case "$*" in *" list "*) ;; *) exit 0 ;; esac
echo '[{{"name": "echo", "chart": "{chart}", "status": "{status}"}}]'"""


def deployed(strategy: str, digest: str) -> str:
    metadata = {"labels": {"grpc-lb-lab/strategy": strategy}, "annotations": {"grpc-lb-lab/digest": digest}}
    return f"echo '{json.dumps({'metadata': metadata})}'"


WANTED = namespace.Wanted("envoy", "d1")


@pytest.mark.parametrize(
    ("status", "strategy", "digest", "removed"),
    [
        ("deployed", "envoy", "d1", []),
        ("deployed", "service", "d1", ["echo"]),
        ("deployed", "envoy", "d2", ["echo"]),
        ("pending-install", "envoy", "d1", ["echo"]),
        ("failed", "envoy", "d1", ["echo"]),
    ],
)
def test_only_servers_that_are_wanted_stay(
    program: Program, calls: Calls, status: str, strategy: str, digest: str, removed: list[str]
) -> None:
    program("helm", helm("grpc-echo-0.1.0", status))
    program("kubectl", deployed(strategy, digest))
    assert namespace.clear(Kubectl("ns"), WANTED) == removed
    assert len([call for call in calls() if "uninstall echo" in call]) == len(removed)


def test_servers_that_were_refused_are_made_anew(program: Program, calls: Calls) -> None:
    """Their ReplicaSet tries again after minutes only, also when the quota was lifted."""
    found = json.loads(deployed("envoy", "d1").split("'")[1])
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    found |= {"status": {"conditions": [condition]}}
    found["metadata"]["name"] = "echo"
    program("helm", helm("grpc-echo-0.1.0", "deployed"))
    program("kubectl", f"echo '{json.dumps(found)}'")
    assert namespace.clear(Kubectl("ns"), WANTED) == ["echo"]


def test_a_comparison_takes_new_servers_for_every_cell(program: Program, calls: Calls) -> None:
    program("helm", helm("grpc-echo-0.1.0", "deployed"))
    program("kubectl", deployed("envoy", "d1"))
    assert namespace.clear(Kubectl("ns"), None) == ["echo"]
    assert not [call for call in calls() if "--wait=true" in call]


def test_a_release_of_another_chart_is_left_alone(program: Program, calls: Calls) -> None:
    program("helm", helm("their-echo-3.0.0", "deployed"))
    with pytest.raises(LabError, match=r"has a Helm release echo of another chart \(their-echo-3\.0\.0\)"):
        namespace.clear(Kubectl("ns"), WANTED)
    assert not [call for call in calls() if "uninstall" in call]


@pytest.mark.parametrize(("labels", "deleted"), [({namespace.MANAGED_BY: namespace.LAB}, True), ({}, False)])
def test_only_a_namespace_of_the_labs_is_deleted(
    program: Program, calls: Calls, labels: dict[str, str], deleted: bool
) -> None:
    program("helm", helm("grpc-echo-0.1.0", "deployed"))
    answer = json.dumps({"serverVersion": {"gitVersion": "v1"}, "metadata": {"labels": labels}})
    program("kubectl", f"echo '{answer}'")
    assert namespace.remove(Kubectl("ns", context="c")) is True
    assert any("delete namespace" in call for call in calls()) is deleted
    assert any("uninstall echo" in call for call in calls())


def test_a_namespace_that_may_not_be_made(program: Program) -> None:
    program(
        "kubectl",
        'case "$*" in *get*) echo "Error (NotFound): no" >&2 ;; *) echo "Error (Forbidden): no" >&2 ;; esac; exit 1',
    )
    with pytest.raises(
        LabError, match=r"the namespace ns does not exist and this user may not create it \(Error \(Forbidden"
    ):
        namespace.ensure(Kubectl("ns"))


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("echo kind v0.33.0 go1.26 linux/amd64", ""),
        ("echo kind v1.0.0", ""),
        ("echo kind v0.31.9", "is v0.31, needed is 0.32 or newer: images of Kubernetes 1.36 need it"),
        ("exit 3", "does not tell its version (exit code 3)"),
    ],
)
def test_programs_that_do(program: Program, told: str, reason: str) -> None:
    program("kind", told)
    assert reason in tools.look(["kind"]).get("kind", "")
    assert bool(tools.look(["kind"])) is bool(reason)


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.look(["helm", "kubectl"]) == {"helm": "not on the PATH", "kubectl": "not on the PATH"}
    with pytest.raises(LabError, match="unknown program helmet"):
        tools.look(["helmet"])


def test_the_chart_digest_follows_images_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(install_state.CHART, tmp_path / "chart")
    monkeypatch.setattr(install_state, "CHART", tmp_path / "chart")
    before = install_state.chart_digest(["a", "b"])
    assert install_state.chart_digest(["a", "b"]) == before
    assert install_state.chart_digest(["a", "c"]) != before
    (tmp_path / "chart" / "templates" / "service.yaml").write_text("", encoding="utf-8")
    assert install_state.chart_digest(["a", "b"]) != before


def test_what_is_not_to_be_had_leaves_a_reason(program: Program, tmp_path: Path) -> None:
    program(
        "kubectl",
        'case "$*" in *kube-system*) echo "Error (Forbidden): no" >&2; exit 1 ;; esac\n'
        'echo "LB-LAB-RESULT {}"; echo text',
    )
    written = collect.collect(Kubectl("ns"), tmp_path / "logs")
    assert sorted(written) == sorted(collect.FILES)
    assert (tmp_path / "logs" / "Corefile").read_text() == "not to be had: Error (Forbidden): no\n"
    assert (tmp_path / "logs" / "load.log").read_text() == "text\n"
    (tmp_path / "logs" / "load.log").write_text("from before")
    (tmp_path / "logs" / "pods.txt").unlink()
    assert collect.collect(Kubectl("ns"), tmp_path / "logs") == ["pods.txt"]
    assert (tmp_path / "logs" / "load.log").read_text() == "from before"


def test_errors_of_the_command_are_one_line(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    program("docker", "echo 'no engine' >&2; exit 1")
    assert cli.main(["kubernetes", "up", "--name=x", "--node-image=y", "--logs=z"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lb-lab: error: no Docker engine answers (no engine)")
    assert err.count("\n") == 1
