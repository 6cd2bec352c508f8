"""Every variable, right and wrong: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from grpc_lb_lab import settings
from grpc_lb_lab.places.local import preflight
from grpc_lb_lab.settings import names
from grpc_lb_lab.settings.clusters import KUBERNETES_ONLY

REPO = Path(__file__).resolve().parents[2]


def check(raw=None, *, repo=REPO, docker=False, given=None, platform="linux", **variables):
    raw = {"lab_strategy": "service", **(raw or {}), **variables}
    return settings.validate(raw, repo=repo, answers=lambda _: docker, given=given, platform=platform)


def refusal(raw=None, **variables) -> str:
    with pytest.raises(settings.UsageError) as caught:
        check(raw, **variables)
    return str(caught.value)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with its own strategies."""
    shutil.copytree(REPO / "strategies", tmp_path / "strategies")
    shutil.copytree(REPO / "charts", tmp_path / "charts")
    return tmp_path


def write_strategy(checkout, file="mine", **changes):
    part = {"name": file, "title": "T", "shows": "S", "advice": "A", "expect": {"steady": "even"}, "precision": "exact"}
    values = {"strategy": part | changes, "client": {"channel": "pick_first", "target": "service"}}
    (checkout / "strategies" / f"{file}.yaml").write_text(json.dumps(values))


def test_defaults_are_those_of_the_contract():
    found = check()
    load = found.load
    assert (load.replicas, load.requests, load.duration_s, load.rate_rps) == (5, 1000, None, None)
    assert (load.concurrency, load.clients, load.connections) == (1, 1, 1)
    assert (found.namespace, found.scenario) == ("grpc-lb-lab", "steady")
    assert found.artifacts_dir == str(REPO / "artifacts")
    assert found.strategy.words["strategy"]["expect"] == {"steady": "pinned"}
    json.dumps(found.facts())


@pytest.mark.parametrize("value", [7, "7", "+7", "007"])
def test_whole_numbers_come_as_text_or_number(value):
    assert check(lab_replicas=value).load.replicas == 7


WRONG = [
    0,
    "0",
    -1,
    "-5",
    "ten",
    "2.5",
    2.5,
    "nan",
    "inf",
    "1e3",
    "1_000",
    "1,000",
    True,
    "true",
    "",
    " ",
    "9" * 5000,
    [],
]
WHOLE = {
    "lab_replicas": "1 to 200",
    "lab_requests": "1 to 10,000,000",
    "lab_concurrency": "1 to 1,000",
    "lab_clients": "1 to 100",
    "lab_connections": "1 to 1,000",
    "lab_port": "1,024 to 65,535, but not 5353, 9464, 9901-9902, 15000-15090 (the lab's own)",
}


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_refuse_everything_else(name, value):
    message = refusal({name: value}, lab_cluster="local")
    assert message.startswith(f"{name}=")
    assert message.endswith(f"allowed is a whole number from {WHOLE[name]}")
    assert len(message.splitlines()) == 1
    assert len(message) < 200


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("lab_replicas", 1, 200),
        ("lab_requests", 1, 10_000_000),
        ("lab_concurrency", 1, 1_000),
        ("lab_clients", 1, 100),
        ("lab_connections", 1, 1_000),
        ("lab_port", 1_024, 65_535),
        ("lab_seed", 0, 2**32 - 1),
    ],
)
def test_limits_are_included(name, low, high):
    for value in (low, high):
        check({name: value}, lab_cluster="local")
    for value in (low - 1, high + 1):
        assert f"{name}={value}:" in refusal({name: value}, lab_cluster="local")


@pytest.mark.parametrize("port", [5353, 9464, 9901, 9902, 15000, 15001, 15021, 15090])
def test_a_port_that_the_lab_itself_needs_is_refused(port):
    assert refusal({"lab_port": port}).startswith(f"lab_port={port}: ")


@pytest.mark.parametrize("port", [5352, 5354, 8080, 9903, 14999, 15091, 50052])
def test_a_port_that_collides_with_nothing_is_not(port):
    assert check(lab_port=port).port == port


def test_the_command_and_the_variable_refuse_the_same_ports():
    for port in range(1024, 65536):
        try:
            preflight.check_numbers(None, port)
        except settings.UsageError:
            assert any(port in span for span in settings.RESERVED_PORTS)
        else:
            assert settings.PORT.parse(port) == port


@pytest.mark.parametrize("name", ["lab_duration", "lab_rate"])
@pytest.mark.parametrize(
    "value", [0, "0", -1, "ten", "nan", "inf", "-inf", True, "", "1e999", float("nan"), float("inf"), "1,5", []]
)
def test_decimals_refuse_what_is_no_amount(name, value):
    assert refusal({name: value}).startswith(f"{name}=")


def test_duration_replaces_the_number_of_calls():
    assert (check(lab_duration="2.5").load.duration_s, check(lab_duration="2.5").load.requests) == (2.5, None)
    assert check(lab_rate="0.5").load.rate_rps == 0.5


def test_requests_and_duration_together_are_refused():
    assert refusal(lab_requests=5, lab_duration=5) == "lab_requests and lab_duration are both set. Allowed: one of them"


def test_every_client_needs_a_call():
    assert "lab_requests=3" in refusal(lab_requests=3, lab_clients=4)
    assert check(lab_requests=4, lab_clients=4).load.requests == 4


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [("lab_strategy", "envoi", "envoy"), ("lab_scenario", "stedy", "steady"), ("lab_cluster", "lokal", "local")],
)
def test_a_near_miss_is_named(name, value, meant):
    message = refusal({name: value})
    assert message.startswith(f"{name.removeprefix('lab_') if name != 'lab_cluster' else name}={value}: unknown")
    assert f"did you mean {meant}?" in message
    assert "Allowed: " in message


@pytest.mark.parametrize("value", ["", "../strategies/envoy", "envoy.yaml", "ENVOY", 5, True, None, ["envoy"]])
def test_only_names_of_strategy_files_are_strategies(value):
    message = refusal(lab_strategy=value)
    assert message.startswith("strategy=")
    assert "gateway, gateway-haproxy" in message


def test_every_problem_is_told_at_once():
    lines = refusal(lab_strategy="envoi", lab_replicas=0, lab_requests="ten", lab_cluster="minikube").splitlines()
    assert {line.partition("=")[0] for line in lines} == {"strategy", "lab_replicas", "lab_requests", "lab_cluster"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lab_replica", "lab_replicas"), ("replicas", "lab_replicas"), ("stratgy", "strategy"), ("senario", "scenario")],
)
def test_misspelt_variables_are_noticed(name, meant):
    assert refusal(given={name: 1}) == f"{name}: unknown variable, did you mean {meant}?"


def test_unknown_lab_variables_are_refused_and_other_peoples_are_not():
    assert "lab_zzz: unknown variable. Allowed: lab_strategy" in refusal(given={"lab_zzz": 1})
    for name in ("lab_repeats", "lab_resume"):
        assert refusal(given={name: 1}) == f"{name}: only playbooks/compare.yml takes it. Allowed: no -e {name} here"
    names = ("ansible_user", "place_envoy_image", "place_kind_name", "strategies", "strategy", "lab_seed")
    check(given=dict.fromkeys(names, 1))


def test_words_that_are_no_variable_are_not_forgotten():
    """As of ``-e "lab_replicas = 3"``; those that Ansible cuts from a map are read elsewhere."""
    words = "lab_replicas = 3"
    assert refusal(given={"_raw_params": words}).startswith(f"-e {words}: no variable. Allowed: -e NAME=VALUE")
    cut = {"lab_expect": "{class:", "_raw_params": "even, share: 10}"}
    assert names.without_maps(cut, {"lab_expect": "{class: even, share: 10}"}) == {"lab_expect": "{class:"}
    assert names.without_maps({"_raw_params": "x"}, {"lab_expect": "{class: even, share: 10}"}) == {"_raw_params": "x"}


def names_in(path):
    """Every name that a file of a playbook or role sets or uses, as far as its text shows it."""
    text = re.sub(r"(?m)^ *#.*$", "", path.read_text())
    told = set(re.findall(r"(?:register|_var): (\w+)", text))
    for block in re.findall(r"(?m)^( *)(?:vars|ansible.builtin.set_fact):(?: &\w+)?\n((?:\1 +\S.*\n?)+)", text):
        first = min(len(line) - len(line.lstrip()) for line in block[1].splitlines())
        told |= set(re.findall(rf"(?m)^ {{{first}}}(\w+):", block[1]))
    if {"vars", "defaults"} & set(path.parts):
        told |= set(re.findall(r"(?m)^(\w+):", text))
    for part in [*re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL), *re.findall(r"(?:when|failed_when|that): (.+)", text)]:
        words = re.sub(r"'[^']*'|\.\w+|\| *\w+|\bis (?:not )?\w+|\w+(?==)", "", part.strip('"'))
        told |= set(re.findall(r"\b[a-z_]\w*\b(?!\()", words)) - {
            "and",
            "or",
            "not",
            "in",
            "if",
            "else",
            "none",
            "true",
            "false",
        }
    return told


def test_every_name_that_the_roles_use_themselves_is_refused():
    files = [*(REPO / "playbooks").rglob("*.yml"), *(REPO / "roles").glob("*/[dtv]*/**/*.yml")]
    used = set().union(*map(names_in, files)) - {"omit", "item", "lookup", "role_path"}
    used = {name for name in used if not name.startswith("ansible_")}
    assert {"report_files", "reset_failures", "compare_cell", "__tools_missing", "echo_values", "place_run"} <= used
    taken = set()
    for name in used:
        try:
            check(given={name: 5})
        except settings.UsageError as error:
            assert str(error) == f"{name}=5: the lab sets this itself. Allowed: no -e {name}"
        else:
            taken.add(name)
    defaults = yaml.safe_load((REPO / "roles/place/defaults/main.yml").read_text())
    before = set(re.findall(r"\b(?:kind_cluster|world_existing|world_kind|image)_\w+", str(defaults)))
    others = taken - {*defaults, *before, "echo_gateway", "echo_limit", "istio_limit"}
    assert others <= {*names.VARIABLES, *names.ALIASES}
    assert not {name for name in taken if name.endswith("_up") or name.startswith("__")}


def test_every_variable_that_the_page_about_clusters_offers_may_be_given():
    page = (REPO / "docs/existing-clusters.md").read_text()
    offered = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) | set(re.findall(r"-e (\w+)=", page))
    offered |= {name.replace("place_", "world_existing_") for name in offered}
    assert len(offered) > 10
    check(given=dict.fromkeys(sorted(offered), 1))


def test_two_spellings_may_not_contradict():
    assert "strategy=envoy contradicts lab_strategy=service" in refusal(strategy="envoy")
    check(strategy="service")


@pytest.mark.parametrize("value", ["default", "kube-system", "Upper", "a.b", "-a", "a" * 64, "", 5, "a b", "ä"])
def test_namespaces_are_labels_that_nobody_else_lives_in(value):
    assert refusal(lab_namespace=value).startswith("lab_namespace=")


@pytest.mark.parametrize("value", ["", "A B", "node:", "node@sha256:12", "-x", 7])
def test_node_images_are_references(value):
    assert refusal(lab_kind_node_image=value).startswith("lab_kind_node_image=")


def test_node_image_with_port_tag_and_digest():
    image = f"registry.example:5000/kindest/node:v1.36.4@sha256:{'0' * 64}"
    assert check(lab_kind_node_image=image).kind_node_image == image


@pytest.mark.parametrize("name", ["lab_artifacts_dir", "lab_state_dir"])
def test_folders_are_writable_or_can_be_made(name, tmp_path):
    (tmp_path / "file").touch()
    check({name: str(tmp_path / "a b" / "new")})
    assert not (tmp_path / "a b").exists(), "checking must not make anything"
    for wrong in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), "", " ", 5, "x" * 300, "a\0b"):
        assert refusal({name: wrong}).startswith(f"{name}=")


def test_folders_that_are_not_writable_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    assert "is not writable" in refusal(lab_artifacts_dir=str(tmp_path))


def test_another_folder_of_strategies(checkout):
    write_strategy(checkout)
    assert check(lab_strategy="mine", lab_strategies_dir=str(checkout / "strategies")).strategy_name == "mine"
    assert refusal(lab_strategies_dir="nowhere") == "lab_strategies_dir=nowhere: allowed is a folder that exists"


@pytest.mark.parametrize(("docker", "cluster", "reason"), [(True, "kind", "a Docker"), (False, "local", "no Docker")])
def test_auto_follows_docker(checkout, docker, cluster, reason):
    found = check(repo=checkout, docker=docker)
    assert found.cluster == cluster
    assert found.cluster_reason.startswith(reason)
    assert found.worlds == ["local", "kind", "existing"]


def test_docker_is_only_asked_for_auto(checkout):
    def must_not_ask(_):
        raise AssertionError

    raw = {"lab_strategy": "service", "lab_cluster": "local"}
    found = settings.validate(raw, repo=checkout, answers=must_not_ask, platform="linux")
    assert (found.cluster, found.cluster_reason, found.worlds) == ("local", "", ["local"])


@pytest.mark.parametrize("cluster", ["auto", "local"])
@pytest.mark.parametrize("name", KUBERNETES_ONLY)
def test_a_mesh_on_local_is_refused_with_the_command_that_works(checkout, name, cluster):
    message = refusal(repo=checkout, lab_strategy=name, lab_cluster=cluster)
    assert "cannot run on local" in message
    assert "-e lab_cluster=kind" in message
    write_strategy(checkout, name, clusters=["kind"])
    message = refusal(repo=checkout, lab_strategy=name, lab_cluster=cluster)
    assert "cannot run on local" in message
    assert "-e lab_cluster=kind" in message
    assert check(repo=checkout, lab_strategy=name, docker=True).cluster == "kind"


def test_local_needs_linux(checkout):
    assert "needs Linux" in refusal(repo=checkout, lab_cluster="local", platform="darwin")
    assert check(repo=checkout, docker=True, platform="darwin").cluster == "kind"


def test_a_strategy_that_insists_on_replicas_gets_them():
    found = check(lab_strategy="baseline", lab_replicas=7, given={"lab_replicas": 7})
    assert found.load.replicas == 1
    assert found.notes == ["lab_replicas is not used: this strategy always runs 1"]
    assert not check(lab_strategy="baseline").notes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "exactly"}, "strategies/mine.yaml: strategy.precision=exactly: unknown, did you mean exact?"),
        ({"colour": "red"}, "strategies/mine.yaml: strategy: key colour is unknown. Allowed: name, title"),
        (
            {"expect": {"steady": "evn"}},
            "strategies/mine.yaml: strategy.expect.steady=evn: unknown, did you mean even?",
        ),
        ({"replicas": 0}, "strategies/mine.yaml: strategy.replicas=0: allowed is at least 1"),
        ({"name": "other"}, "strategies/mine.yaml: strategy.name is other; allowed is mine, the name of the file"),
    ],
)
def test_a_wrong_strategy_file_names_file_key_and_what_is_allowed(checkout, changes, words):
    write_strategy(checkout, **changes)
    assert refusal(repo=checkout, lab_strategy="mine").startswith(words)


@pytest.mark.parametrize("text", ["", "[", "strategy: [}", "- 1", "strategy: {name: mine}"])
def test_a_file_that_is_no_strategy(checkout, text):
    (checkout / "strategies" / "mine.yaml").write_text(text)
    assert refusal(repo=checkout, lab_strategy="mine").startswith("strategies/mine.yaml: ")


def test_the_strategys_own_load_stands_where_the_user_asks_for_nothing_else():
    load = check(lab_strategy="service-connections").load
    assert (load.clients, load.connections, load.concurrency, load.requests) == (10, 5, 1, 1000)
    load = check(lab_strategy="service-connections", lab_clients=3, lab_requests=2003).load
    assert (load.clients, load.connections, load.requests) == (3, 5, 2003)
    assert check(lab_strategy="service-connections", lab_connections="1").load.connections == 1


def test_too_few_calls_for_the_strategys_own_clients():
    assert "at least lab_clients=10" in refusal(lab_strategy="service-connections", lab_requests=9)
