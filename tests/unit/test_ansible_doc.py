"""ansible-doc shows every plugin: actions as modules, which is how Ansible describes actions."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
FOLDERS = {"module": "action_plugins", "callback": "callback_plugins", "lookup": "playbooks/lookup_plugins"}
PLUGINS = {kind: sorted(path.stem for path in (REPO / folder).glob("*.py")) for kind, folder in FOLDERS.items()}
ACTIONS = PLUGINS["module"]


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=REPO,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPO / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=FOLDERS)
def shown(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A kind of plugins and what ansible-doc tells of each."""
    done = run("ansible-doc", "-t", request.param, "-j", *PLUGINS[request.param])
    assert (done.returncode, done.stderr) == (0, "")
    return request.param, json.loads(done.stdout)


def test_every_plugin_is_described_and_has_an_example(shown):
    kind, pages = shown
    assert sorted(pages) == PLUGINS[kind]
    for name, page in pages.items():
        assert page["doc"]["short_description"] and page["doc"]["description"], name
        assert name in page["examples"] or (kind == "callback" and page["examples"]), name
        assert kind == "callback" or page["return"], name  # a callback returns nothing


@pytest.mark.parametrize("name", ACTIONS)
def test_the_options_of_the_page_are_those_that_are_taken(name):
    path = REPO / "action_plugins" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert all(option.pop("description") for option in told.values())
    assert told == getattr(module, "OPTIONS", {})
    assert bool(re.search(r"validate_argument_spec\(\s*OPTIONS\b", path.read_text())) == bool(told)


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_plugin_is_listed(kind):
    """Ours alone: the list of all breaks on a page of a collection that comes with Ansible."""
    listing = run("ansible-doc", "-t", kind, "-l", "ansible.legacy")
    assert (listing.returncode, listing.stderr) == (0, "")
    assert {f"ansible.legacy.{name}" for name in PLUGINS[kind]} <= set(listing.stdout.split())


def test_no_action_works_for_another_host(tmp_path):
    """Each acts on this machine whatever host is named, so it refuses what it would not do."""
    tasks: list[dict[str, Any]] = []
    for name in ACTIONS:
        tasks.append({name: {}, "register": f"own_{name}", "ignore_errors": True})
        tasks.append({name: {}, "register": f"delegated_{name}", "ignore_errors": True, "delegate_to": "other"})
        tasks.append({name: {}, "register": f"here_{name}", "ignore_errors": True, "delegate_to": "localhost"})
    told = "{{ dict(asked | zip(asked | map('extract', vars) | map(attribute='msg', default=''))) | to_json }}"
    result = {"dest": str(tmp_path / "told"), "content": told, "mode": "0600"}
    tasks.append({"ansible.builtin.copy": result, "delegate_to": "localhost"})
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "web", "gather_facts": False, "tasks": tasks}]))
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump({"all": {"hosts": {"web": {}, "other": {}, "localhost": {"ansible_connection": "local"}}}})
    )
    asked = [f"{how}_{name}" for name in ACTIONS for how in ("own", "delegated", "here")]
    variables = json.dumps({"asked": asked, "ansible_python_interpreter": sys.executable})
    done = run("ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml", "-e", variables)
    assert done.returncode == 0, done.stdout + done.stderr
    messages = json.loads((tmp_path / "told").read_text())
    for name in ACTIONS:
        for how, host in (("own", "web"), ("delegated", "other")):
            assert messages[f"{how}_{name}"] == (
                f"{name} works on the machine that runs the playbook, and the task names {host}, which is reached by "
                "ssh. Allowed: hosts: lab, delegate_to: localhost, or connection: local"
            )
        assert "works on the machine" not in messages[f"here_{name}"]
