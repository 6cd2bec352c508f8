"""Where the lab installs something: found through a kubeconfig, refused before, remembered, and cleaned again."""

from __future__ import annotations

import base64
import datetime
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab import cli
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own.marks import MARK
from grpc_lb_lab.places.kubernetes import install_state, namespace
from grpc_lb_lab.places.kubernetes.cluster import kubeconfig
from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
from grpc_lb_lab.places.kubernetes.providers import kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Program = Callable[[str, str], None]
    Calls = Callable[[], list[str]]


def write(path: Path, *names: str, current: str = "", authority: str = "") -> Path:
    """Write a kubeconfig with a context and a cluster for each name."""
    data: dict[str, Any] = {
        "contexts": [{"name": name, "context": {"cluster": name}} for name in names],
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://{name}:6443",
                    "certificate-authority-data": base64.b64encode((authority or name).encode()).decode(),
                },
            }
            for name in names
        ],
    }
    path.write_text(yaml.safe_dump(data | ({"current-context": current} if current else {})), encoding="utf-8")
    return path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig with the clusters a, b and gone; the user's own is out of sight."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return write(tmp_path / "config", "a", "b", "gone", current="a")


# --- the kubeconfig ---------------------------------------------------------------------------------------------------


def test_a_context_leads_to_its_cluster(config: Path) -> None:
    current, named = kubeconfig.find(str(config)), kubeconfig.find(str(config), "b")
    assert (current.context, current.server, current.kubeconfig) == ("a", "https://a:6443", str(config))
    assert (named.context, named.server) == ("b", "https://b:6443")
    assert current.authority != named.authority
    assert kubeconfig.authority(write(config, "a").read_text(encoding="utf-8")) == current.authority


def test_the_variable_names_files_that_are_kept_absolute(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "more", "c")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", f"config{os.pathsep}more{os.pathsep}missing")
    found = kubeconfig.find("", "c")
    assert found.server == "https://c:6443"
    assert found.kubeconfig.split(os.pathsep) == [str(config), str(tmp_path / "more"), str(tmp_path / "missing")]


def test_certificates_in_a_file_count_like_those_in_the_text(config: Path, tmp_path: Path) -> None:
    inline = kubeconfig.find(str(config)).authority
    (tmp_path / "ca.pem").write_text("a\n", encoding="utf-8")
    data = yaml.safe_load(config.read_text(encoding="utf-8"))
    data["clusters"][0]["cluster"] = {"server": "https://a:6443", "certificate-authority": "ca.pem"}
    config.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert kubeconfig.find(str(config)).authority == inline


# Nine lists of nine times the one before: a few lines that are 387 million values.
MULTIPLYING = "b0: &b0 [x]\n" + "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist. Name another with -e place_kubeconfig=FILE"),
        ("a: [1", "cannot be used (line 2: "),
        ("\0", "cannot be used (unacceptable character"),
        ("[" * 3000, "cannot be used (nested deeper than 32 levels; allowed are 32)"),
        ("a: 2020-13-45", "cannot be used (month must be in 1..12"),
        (MULTIPLYING, "cannot be used (more than 200,000 values; allowed are 200,000)"),
        ("- a\n", "is no kubeconfig: contexts and clusters must be lists"),
        ("contexts: 3\n", "is no kubeconfig: contexts and clusters must be lists"),
        ("", "has no current context. It has none. Choose with -e place_context=NAME"),
        ("contexts: [{name: x, context: {cluster: y}}]", "has no current context. It has x. Choose with -e place_"),
        ("current-context: z\ncontexts: [{name: x, context: {}}]", "names the current context z, which is not in it."),
        (
            "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]",
            "leads to the cluster 'y', which has no s",
        ),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\nclusters: [{name: y}, 7]", "no server"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(config: Path, text: str | None, words: str) -> None:
    config.unlink()
    if text is not None:
        config.write_text(text, encoding="utf-8")
    with pytest.raises(LabError) as error:
        kubeconfig.find(str(config))
    assert str(config) in str(error.value)
    assert words in str(error.value)


def test_a_kubeconfig_that_cannot_be_looked_at(config: Path) -> None:
    with pytest.raises(LabError, match=r"cannot be used \(File name too long\). Name another"):
        kubeconfig.find(str(config.with_name("x" * 300)))


def test_what_was_looked_at_is_told(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match=r"has no context z\. It has a, b, gone\. Choose with -e place_context"):
        kubeconfig.find(str(config), "z")
    with pytest.raises(LabError, match=r"home/\.kube/config \(kubectl's own; the environment variable KUBECONFIG is"):
        kubeconfig.find()
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    with pytest.raises(LabError, match=r"/no/such/file \(from the environment variable KUBECONFIG\) does not exist"):
        kubeconfig.find()
    with pytest.raises(LabError, match=r"cannot be used \(a folder; allowed is a regular file\)"):
        kubeconfig.find(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(LabError, match=r"cannot be used \(a FIFO; allowed is a regular file\)"):
        kubeconfig.find(str(tmp_path / "fifo"))  # and is not waited for


def test_a_kubeconfig_of_somebody_with_hundreds_of_clusters_is_read(config: Path) -> None:
    certificate = base64.b64encode(b"c" * 3000).decode()
    names = [f"cluster-{number}" for number in range(500)]
    data = {
        "current-context": names[-1],
        "contexts": [{"name": name, "context": {"cluster": name}} for name in names],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}", "certificate-authority-data": certificate}}
            for name in names
        ],
        "users": [{"name": "u", "user": {"expires": datetime.date(2026, 1, 1)}}],  # as some programs write it
    }
    config.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert kubeconfig.find(str(config)).server == "https://cluster-499"


def test_several_files_reach_kubectl_and_helm_by_the_variable(program: Program, calls: Calls) -> None:
    for name in ("kubectl", "helm"):
        program(name, '[ "$2" != list ] || { echo "[]"; exit; }; echo "{\\"items\\": [\\"$KUBECONFIG\\"]}"')
    assert Kubectl("ns", "/a:/b", "ctx").items("pods") == ["/a:/b"]
    assert not any("--kubeconfig" in call for call in calls())


# --- a cluster that only answers --------------------------------------------------------------------------------------


# Answers SelfSubjectAccessReviews: all are allowed but for the resources that are its arguments.
REVIEWER = """
import json, sys
for item in json.load(sys.stdin)["items"]:
    asked = item["spec"]["resourceAttributes"]
    name = asked["resource"] + ("/" + asked["subresource"] if asked["subresource"] else "")
    print(json.dumps({"kind": item["kind"], "status": {"allowed": name not in sys.argv}}))
"""


def cluster(
    program: Program,
    *,
    releases: dict[str, str] | None = None,
    spaces: tuple[str, ...] = (),
    refused: tuple[str, ...] = (),
    uid: str = "",
    mine: bool = True,
) -> None:
    """Let kubectl and helm answer. ``releases``: name to chart; ``spaces``: the namespaces there are, ``mine`` or not.

    The context ``gone`` never answers; ``refused`` are resources that the user has no right for.
    """
    listed = [{"name": name, "chart": chart, "status": "deployed"} for name, chart in (releases or {}).items()]
    space = json.dumps({"metadata": {"labels": {namespace.MANAGED_BY: namespace.LAB} if mine else {}}})
    version = json.dumps({"serverVersion": {"gitVersion": "v1.36.3"}})
    program(
        "kubectl",
        f"""
case "$*" in *--context=gone*) echo "dial tcp: connection refused" >&2; exit 1 ;; esac
case "$*" in
*" version "*) echo '{version}' ;;
*"get namespace kube-system"*) [ -n "{uid}" ] || exit 1; printf "{uid}" ;;
*"get namespace "*)
  for name in - {" ".join(spaces)}; do case "$*" in *"get namespace $name "*) echo '{space}'; exit ;; esac; done
  echo "Error from server (NotFound): namespaces not found" >&2; exit 1 ;;
*"create --filename=- --output=json"*) exec python3 -c '{REVIEWER}' {" ".join(refused)} ;;
esac
""",
    )
    program("helm", f"""case "$*" in *" list "*) echo '{json.dumps(listed)}' ;; esac""")


def lab(command: str, state: Path, config: Path, *more: str, context: str = "a", space: str = "ns") -> int:
    words = ["kubernetes", command, f"--state={state}", f"--kubeconfig={config}", f"--context={context}"]
    return cli.main([*words, f"--namespace={space}", *more])


WISH = ("--strategy=envoy", "--images", "lab:1")


def remember(state: Path, config: Path, *contexts: str, space: str = "ns", uid: str = "") -> list[install_state.Place]:
    for context in contexts:
        target = kubeconfig.find(str(config), context)
        install_state.remember(
            state, install_state.Place(space, str(config), context, target.server, target.authority, uid)
        )
    return install_state.remembered(state)


# --- what is refused --------------------------------------------------------------------------------------------------


def made(calls: Calls) -> list[str]:
    words = (" create --filename=-", " label ", " delete ", " uninstall ", " patch ")
    return [call for call in calls() if any(word in call for word in words) and not call.endswith("--output=json")]


@pytest.mark.parametrize(
    ("releases", "spaces", "refused", "words"),
    [
        ({"echo": "their-echo-3.0.0"}, ("ns",), (), "has a Helm release echo of another chart (their-echo-3.0.0)"),
        ({}, ("ns",), ("jobs", "pods/log"), "get/list/create/patch/delete jobs.batch, get pods/log. docs/existing-"),
        ({}, (), ("namespaces",), "the namespace ns does not exist and this user may not create it. Ask for it"),
        ({}, (), ("jobs",), "this user may not do what the lab needs in the namespace ns: get/list/create"),
    ],
)
def test_a_refused_run_makes_nothing_and_is_not_remembered(
    program: Program,
    calls: Calls,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    releases: dict[str, str],
    spaces: tuple[str, ...],
    refused: tuple[str, ...],
    words: str,
) -> None:
    cluster(program, releases=releases, spaces=spaces, refused=refused, mine=False)
    for command in ("check", "prepare"):
        assert lab(command, tmp_path / "state", config, *WISH) == 4
        assert words in capsys.readouterr().err
    assert made(calls) == []
    assert not (tmp_path / "state").exists()


def test_a_run_is_remembered_before_it_makes_something(
    program: Program, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(program, uid="u1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "config")
    words = ["kubernetes", "prepare", "--state=state", "--namespace=ns", *WISH]
    assert cli.main(words) == 0
    authority = kubeconfig.find().authority
    assert install_state.remembered(tmp_path / "state") == [
        install_state.Place("ns", str(config), "a", "https://a:6443", authority, "u1"),
    ]


def scenario(*events: str, base_delay_ms: int = 0) -> str:
    expect = {"observed": "even", "share": "any", "errors": "any"}
    course = {"name": "s", "title": "t", "shows": "s", "phase_s": 1, "expect": expect, "base_delay_ms": base_delay_ms}
    return json.dumps(course | {"events": [{"at_s": 1, "do": name} for name in events]})


@pytest.mark.parametrize(
    ("more", "needs_it"),
    [
        (("--target=headless",), False),
        (("--target=port-forward",), True),
        (("--target=gateway",), True),
        (("--target=headless", "--course=null"), False),
        (("--target=headless", f"--course={scenario('scale', 'restart', 'delete')}"), False),
        (("--target=headless", f"--course={scenario('scale', 'slow')}"), True),
        (("--target=headless", f"--course={scenario('scale', base_delay_ms=5)}"), True),
    ],
)
def test_the_right_to_forward_ports_is_asked_for_where_it_is_needed(
    program: Program,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    needs_it: bool,
) -> None:
    cluster(program, spaces=("ns",), refused=("pods/portforward",))
    assert lab("prepare", tmp_path / "state", config, *WISH, *more) == (4 if needs_it else 0)
    assert ("get/create pods/portforward" in capsys.readouterr().err) is needs_it


# --- reset ------------------------------------------------------------------------------------------------------------


OURS = {"echo": "grpc-echo-0.1.0"}


def uninstalled(calls: Calls) -> list[str]:
    return [call for call in calls() if " uninstall " in call]


def test_a_place_that_is_gone_does_not_keep_the_others(
    program: Program, calls: Calls, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    gone, *_ = remember(state, config, "gone", "a", "b")
    cluster(program, releases=OURS, spaces=("ns",))
    assert lab("reset", state, config) == 4
    assert [call.split("--kube-context=")[1].split()[0] for call in uninstalled(calls)] == ["a", "b"]
    assert install_state.remembered(state) == [gone]
    error = capsys.readouterr().err.partition("lb-lab: error: ")[2].splitlines()
    assert error[0] == "what the lab installed in 1 place could not be removed:"
    assert error[1].startswith("- namespace ns of context gone: the cluster of context gone (https://gone:6443) does")
    assert error[2].startswith("All others were cleaned. Run the reset again when the cluster answers.")
    assert error[3] == "playbooks/reset.yml -e place_forget=true"
    assert lab("reset", state, config, "--forget") == 0
    assert "forgotten: the cluster of context gone (https://gone:6443) does not answer" in capsys.readouterr().err
    assert install_state.remembered(state) == []


def test_a_context_that_went_does_not_keep_the_others(
    program: Program, calls: Calls, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    other = write(tmp_path / "other", "z")
    remember(state, other, "z")
    remember(state, config, "b", "a")
    other.unlink()
    write(config, "a", current="a")
    cluster(program, releases=OURS, spaces=("ns",))
    assert lab("reset", state, config) == 4
    error = capsys.readouterr().err
    assert f"- namespace ns of context z: the kubeconfig {other} does not exist\n" in error
    assert f"- namespace ns of context b: the kubeconfig {config} has no context b. It has a\n" in error
    assert len(uninstalled(calls)) == 1
    assert [place.context for place in install_state.remembered(state)] == ["z", "b"]


@pytest.mark.parametrize("uids", [("", ""), ("u1", ""), ("u1", "u2")])
def test_nothing_is_removed_in_another_cluster_of_the_same_context(
    program: Program,
    calls: Calls,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    uids: tuple[str, str],
) -> None:
    """A kind cluster of the same name and port, for instance: only its certificates are others."""
    state = tmp_path / "state"
    before = remember(state, config, "a", uid=uids[0])
    write(config, "a", current="a", authority="new")
    cluster(program, releases=OURS, spaces=("ns",), uid=uids[1])
    assert lab("reset", state, config) == 4
    assert "the context a leads to another cluster now (https://a:6443)" in capsys.readouterr().err
    assert made(calls) == []
    assert install_state.remembered(state) == before


def test_a_cluster_is_known_again_though_its_address_changed(
    program: Program, calls: Calls, config: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    remember(state, config, "a", uid="u1")
    write(config, "a", current="a", authority="renewed")
    cluster(program, releases=OURS, spaces=("ns",), uid="u1")
    assert lab("reset", state, config) == 0
    assert len(uninstalled(calls)) == 1
    assert install_state.remembered(state) == []


def test_a_foreign_release_means_that_there_is_nothing_of_the_labs(
    program: Program, calls: Calls, config: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    remember(state, config, "a")
    cluster(program, releases={"echo": "their-echo-3.0.0"}, spaces=("ns",), mine=False)
    assert lab("reset", state, config) == 0
    assert made(calls) == []
    assert install_state.remembered(state) == []


def test_a_namespace_of_the_labs_stays_for_a_release_of_somebody_else(
    program: Program, calls: Calls, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(program, releases=OURS | {"theirs": "nginx-1.0.0"}, spaces=("ns",))
    assert lab("reset", tmp_path, config, "--here") == 0
    assert [call.split()[-6:-4] for call in uninstalled(calls)] == [["uninstall", "echo"]]
    assert not any("delete namespace" in call for call in calls())
    assert "the namespace ns stays: it has a Helm release theirs" in capsys.readouterr().err


def test_here_means_here_only(program: Program, calls: Calls, config: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    remember(state, config, "a", "b")
    remember(state, config, "a", "gone", space="x")
    cluster(program, releases=OURS, spaces=("ns", "x", "istio-system"))
    assert lab("reset", state, config, "--here", space="x") == 0
    assert [call.split()[-3] for call in calls() if " delete namespace " in call] == ["x"]
    assert not any("--context=b" in call or "--context=gone" in call for call in calls())
    left = [(place.context, place.namespace) for place in install_state.remembered(state)]
    assert left == [("a", "ns"), ("b", "ns"), ("gone", "x")]


@pytest.mark.parametrize("releases", [OURS, {}])
def test_istio_stays_while_the_lab_is_somewhere_else_in_the_cluster(
    program: Program, calls: Calls, config: Path, tmp_path: Path, releases: dict[str, str]
) -> None:
    state = tmp_path / "state"
    remember(state, config, "a")
    remember(state, config, "a", space="x")
    cluster(program, releases=releases, spaces=("ns", "x"))
    assert lab("reset", state, config, "--here", space="x") == 0
    assert any("get namespace istio-system" in call for call in calls()) is not bool(releases)
    assert lab("reset", state, config) == 0
    assert any("get namespace istio-system" in call for call in calls())


def test_a_deleted_kind_cluster_is_looked_for_no_more(
    program: Program, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    remember(state, config, "a", "b")
    own = write(tmp_path / "own", "a", current="a")
    program(
        "docker",
        f"case $1 in ps) echo lab-control-plane running ;; cp) echo {kind.MARK} ;; esac",
    )
    program("kind", f'[ "$1 $2" != "get kubeconfig" ] || cat {own}')
    assert kind.KindCluster("lab", state).down() is True
    assert [place.context for place in install_state.remembered(state)] == ["b"]


def test_notes_of_an_older_lab_are_read(program: Program, calls: Calls, config: Path, tmp_path: Path) -> None:
    old = [{"namespace": "ns", "kubeconfig": str(config), "context": "a"}]
    (tmp_path / "kubernetes.json").write_text(json.dumps(old), encoding="utf-8")
    cluster(program, releases=OURS, spaces=("ns",))
    assert lab("reset", tmp_path, config) == 0
    assert len(uninstalled(calls)) == 1
    assert install_state.remembered(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "3", "[3]", '[{"a": 1}]', "\udcff"])
def test_notes_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubernetes.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LabError, match="where the lab notes in which clusters it installed something, cannot be read"):
        install_state.remembered(tmp_path)


def test_places_are_remembered_once_and_forgotten(tmp_path: Path) -> None:
    here, there = install_state.Place("a", "", "c"), install_state.Place("b", "file", "c")
    for place in (here, there, here):
        install_state.remember(tmp_path, place)
    assert install_state.remembered(tmp_path) == [here, there]
    install_state.forget(tmp_path, here)
    install_state.forget(tmp_path, there)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
