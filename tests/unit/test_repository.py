"""What must agree with each other in the checkout: defaults and specs, strategies and scenarios, pins and pages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from grpc_lb_lab.settings import clusters, names, validate

REPO = Path(__file__).resolve().parents[2]
STRATEGIES = sorted(path.stem for path in (REPO / "strategies").glob("*.yaml"))
EXECUTABLES = sorted(path.name for path in (REPO / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK))
ROLES = sorted(path.name for path in (REPO / "roles").iterdir() if path.is_dir())


def load(path):
    return yaml.safe_load((REPO / path).read_text())


def tracked() -> list[Path]:
    """The project's own files: what git knows, or would know."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in listing.stdout.split("\0") if name and (REPO / name).is_file()]


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_specified_and_every_specified_default_exists(role):
    specs = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    options = {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}
    optional = {name for name, option in options.items() if not option.get("required")}
    path = REPO / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text()) or {} if path.exists() else {}
    assert set(defaults) == optional
    for name, option in options.items():
        if "default" in option:
            assert defaults[name] == option["default"], name


@pytest.mark.parametrize("role", ROLES)
def test_every_way_into_a_role_is_specified(role):
    specs = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    for entry in specs:
        assert (REPO / "roles" / role / "tasks" / f"{entry}.yml").exists(), entry


def test_a_place_can_do_all_that_the_role_asks_of_it():
    """Which tasks it has, and what differs between those that share them: no provider of clusters has a file here."""
    names = {path.stem for path in (REPO / "roles/place/vars/main").glob("*.yml")} - {"main"}
    assert names == {"local", "kubernetes"}
    for name in names:
        place = load(f"roles/place/vars/main/{name}.yml")[f"__place_{name}"]
        for entry in ("up", "fresh", "cluster", "load", "collect", "reset"):
            assert (REPO / "roles/place/tasks" / place["tasks"] / f"{entry}.yml").exists()
        wanted = {"tasks"} if name == "local" else {"tasks", "programs", "up", "down", "images"}
        assert set(place) == wanted


def test_the_names_that_variables_of_the_place_had_before_are_still_taken(tmp_path):
    proxies = [f"{proxy}_image" for proxy in ("envoy", "nginx", "haproxy")]
    before = {
        **{f"world_kind_{name}": name for name in ("fresh", *proxies)},
        **{f"world_existing_{name}": name for name in ("kubeconfig", "context", "image", "pull_secrets", "forget")},
        "kind_cluster_name": "kind_name",
        "kind_cluster_proxy_mode": "kind_proxy_mode",
        **{name: name for name in ("image_base", "image_python")},
    }
    wanted = {f"place_{name}": name for name in before.values()}
    files = [str(REPO / "roles/place/defaults/main.yml")]
    text = "{{ dict(asked | zip(asked | map('extract', vars))) | to_json }}"
    task = {"ansible.builtin.copy": {"dest": str(tmp_path / "found"), "content": text, "mode": "0600"}}
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    variables = {**before, "asked": [*wanted]}
    command = [Path(sys.executable).with_name("ansible-playbook"), tmp_path / "play.yml", "-e", json.dumps(variables)]
    subprocess.run(command, cwd=REPO, check=True, capture_output=True)
    assert json.loads((tmp_path / "found").read_text()) == wanted
    assert set(load("roles/place/defaults/main.yml")) == {*wanted, "place_in_bundle", "place_images"}


ACTIONS = {path.stem for path in (REPO / "action_plugins").glob("*.py")}
ROLE_WORDS = re.compile(r"(?<![.\w])(__)?(" + "|".join(ROLES) + r")_\w+\b")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_knows_of_others_only_what_it_gives_them_and_what_they_say_they_leave(role):
    """Of those that it includes itself: their options, and what their pages name. All else it is given."""
    texts = [path.read_text() for path in (REPO / "roles" / role).glob("[!m]*/**/*.yml")]
    code = "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    included = set(re.findall(r"_role:\n\s+name: (\w+)", code))
    for found in ROLE_WORDS.finditer(code):
        if (other := found[2]) != role and found[0] not in ACTIONS:
            assert other in included, found[0]
            page = (REPO / "roles" / other / "meta/argument_specs.yml").read_text()
            assert re.search(rf"\b{found[0]}\b", page), found[0]


def test_public_variables_are_those_that_are_checked():
    spec = load("roles/lab/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    task = load("roles/lab/tasks/check.yml")[0]["lab_settings"]
    assert sorted(spec) == sorted(task) == sorted(names.VARIABLES)
    assert all(cluster in spec["lab_cluster"]["description"] for cluster in ("auto", *clusters.CLUSTERS))


def test_defaults_of_the_role_are_those_of_the_check():
    defaults = {name: value for name, value in load("roles/lab/defaults/main.yml").items() if "{{" not in str(value)}
    common = {"repo": REPO, "answers": lambda _: False, "platform": "linux"}
    explicit = validate({"lab_strategy": "service", **defaults}, **common)
    assert explicit == validate({"lab_strategy": "service"}, **common)


# --- strategies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_files_follow_the_grammar(name):
    data = load(f"strategies/{name}.yaml")
    schema = json.loads((REPO / "charts/grpc-echo/values.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    assert data["strategy"]["name"] == name
    if "client" in data.get("envoy", {}):
        assert (REPO / "charts/grpc-echo/files/envoy" / data["envoy"]["client"]).is_file()


def test_every_strategy_is_a_molecule_scenario():
    scenarios = {path.parent.name for path in (REPO / "molecule").glob("*/molecule.yml")}
    assert scenarios - {"default"} == set(STRATEGIES), "make generate adds what is missing"


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_layout_of_the_design():
    files = ("Makefile", "ansible.cfg", "inventory/hosts.yml", "LICENSE", "README.md", ".ci/run")
    for path in (*files, "app", "charts", "docs", "molecule", "proto", "requirements", "strategies", "tests"):
        assert (REPO / path).exists(), path
    for name in ("lab", "cluster", "reset"):
        assert (REPO / "playbooks" / f"{name}.yml").exists()
    assert not [path for path in (REPO / "roles").rglob("*") if path.name == "roles"], "roles are flat"


def test_budgets_of_playbooks_and_task_files():
    for path in (REPO / "roles").glob("*/tasks/*.yml"):
        assert len(path.read_text().splitlines()) <= 75, path


def test_every_pin_is_explained():
    page = (REPO / "docs/dependencies.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z0-9_.-]+) \| ([0-9]\S+) \| \S.* \| \S.* \| \S.* \|$", page, re.MULTILINE))
    pins = {}
    for name in ("common", "image", "lab", "test"):
        text = (REPO / f"requirements/{name}.in").read_text()
        pins |= dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", text, re.MULTILINE))
    assert rows == pins


@pytest.mark.parametrize("name", ["image", "lab"])
def test_what_a_run_has_is_what_was_tested(name):
    kept, tested = (
        set(re.findall(r"^[a-z]\S+==\S+", (REPO / f"requirements/{each}.txt").read_text(), re.MULTILINE))
        for each in (name, "test")
    )
    assert kept and kept <= tested


@pytest.mark.parametrize("name", ["image", "lab", "test"])
def test_the_lock_holds_every_pin_with_hashes_and_no_address(name):
    lock = (REPO / f"requirements/{name}.txt").read_text()
    assert "://" not in lock
    pins = re.findall(r"^([a-z0-9_.-]+==\S+)", (REPO / f"requirements/{name}.in").read_text(), re.MULTILINE)
    for pin in pins:
        assert re.search(rf"^{re.escape(pin)}( ;[^\n]*)? \\\n    --hash=sha256:", lock, re.MULTILINE), pin


def test_no_registry_host_and_no_place_of_a_machine_in_the_tree():
    # In pieces, so that this file does not find itself.
    hosts = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "proxy.go" + "lang.org")
    places = ("/wo" + "rk/main", "/wo" + "rk/shared", "/ro" + "ot/")
    forbidden = re.compile("|".join(map(re.escape, hosts + places)).encode())
    for path in tracked():
        match = forbidden.search(path.read_bytes())
        assert not match, f"{path.relative_to(REPO)}: {match[0]!r}"


def test_generated_code_is_what_the_protos_say(tmp_path):
    subprocess.run([REPO / "scripts" / "generate", tmp_path], check=True)
    fresh = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*"))
    assert fresh
    for path in fresh:
        assert (REPO / "app" / path).read_text() == (tmp_path / path).read_text(), f"{path} is stale: make generate"
    kept = {path.relative_to(REPO / "app") for path in (REPO / "app").rglob("*_pb2*.py*") if path.suffix != ".pyc"}
    assert kept == set(fresh)


# --- what the README promises -----------------------------------------------------------------------------------------


def commands_of_the_readme() -> list[str]:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"(make|\.venv/bin/\S+) ", line)]


def test_the_first_two_commands():
    assert commands_of_the_readme()[:2] == ["make lab STRATEGY=envoy", "make test"]


def test_every_command_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    commands = commands_of_the_readme()
    assert len(commands) > 5
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert words[1] in targets, command
        else:
            assert (Path(sys.executable).parent / Path(words[0]).name).exists(), command
        for playbook in re.findall(r"playbooks/\S+", command):
            assert (REPO / playbook).exists(), command


def test_the_strategy_of_the_readme_can_be_run(tmp_path):
    example = re.search(r"```yaml\n# strategies/(\S+)\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    (tmp_path / example[1]).write_text(example[2])
    raw = {"lab_strategy": Path(example[1]).stem, "lab_strategies_dir": str(tmp_path), "lab_cluster": "local"}
    found = validate(raw, repo=REPO, answers=lambda _: False, platform="linux")
    assert found.strategy.words == yaml.safe_load(example[2])


def test_every_link_and_path_of_the_readme_exists():
    text = (REPO / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (REPO / target).exists(), target


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_place_that_a_newcomer_is_sent_to_exists(page):
    text = re.sub(r"```.*?```", "", (REPO / page).read_text(), flags=re.DOTALL)
    sent = {words for words in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(r"[\w.*-]+/[\w.*/-]*", words)}
    roots = [REPO, REPO / "app/grpc_lb_lab"]
    assert sorted(words for words in sent if not any(any(root.glob(words)) for root in roots)) == []
    for name, path in re.findall(r"`(\w+)` in `([^`]+\.py)`", text):
        code = (REPO / path).read_text()
        assert re.search(rf"^\s*(async def|def|class) {name}\b|^\s*{name}\b.*=", code, re.MULTILINE), (name, path)


def test_every_variable_is_in_the_readme():
    text = (REPO / "README.md").read_text()
    for name in (*names.VARIABLES, *names.ALIASES, *names.COMPARE):
        assert f"`{name}`" in text, name


def test_make_help_lists_every_target():
    listing = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    makefile = (REPO / "Makefile").read_text().replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony[1].split()) == set(re.findall(r"make ([a-z-]+)", listing)) - {""}


@pytest.mark.parametrize("name", EXECUTABLES)
def test_a_script_refuses_what_it_does_not_know(name):
    """Ansible runs every executable of an inventory folder with ``--list``, as with ``-i scripts``."""
    done = subprocess.run([REPO / "scripts" / name, "--list"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


# --- workflows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ci", "weekly"])
def test_a_workflow_may_only_read_and_ends(name):
    text = (REPO / f".github/workflows/{name}.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for job, parts in workflow["jobs"].items():
        assert "permissions" not in parts, job
        assert 0 < parts["timeout-minutes"] <= 60, job
    used = re.findall(r"uses: (.*)", text)
    assert used
    for words in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", words), "pinned by the commit"
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


@pytest.mark.parametrize("name", ["ci", "weekly"])
def test_what_a_workflow_runs_exists(name):
    workflow = yaml.safe_load((REPO / f".github/workflows/{name}.yml").read_text())
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    for job in workflow["jobs"].values():
        chosen = job.get("strategy", {}).get("matrix", {}).get("target", [])
        runs = [step["run"] for step in job["steps"] if "run" in step]
        words = [word for run in runs if run.startswith("make ") for word in run.split()[1:] if word.islower()]
        assert {*words, *chosen} - {"${{", "matrix.target", "}}"} <= targets
        for path in (run.split()[0] for run in runs if run.startswith("testbed/")):
            assert os.access(REPO / path, os.X_OK)


def test_every_python_from_the_oldest_on_is_tested_weekly():
    matrix = yaml.safe_load((REPO / ".github/workflows/weekly.yml").read_text())["jobs"]["python"]["strategy"]["matrix"]
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', (REPO / "pyproject.toml").read_text())
    tried = re.search(r"^  printf '%s\\n' ((?:python3\.\d+ )+)", (REPO / "scripts/setup").read_text(), re.MULTILINE)
    newest_first = [word.removeprefix("python") for word in tried[1].split()]
    assert matrix["python"] == newest_first[::-1]
    assert matrix["python"][0] == f"3.{oldest[1]}"
