"""What people get wrong, hundreds of times: one message with the name, the value and what is allowed, and no crash."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import malformed
import pytest
import yaml
from grpc_lb_lab import settings


def test_no_malformed_input_misses_the_promise(tmp_path):
    made = malformed.inputs()
    assert len(made) == 400
    assert malformed.run(tmp_path) == {}


def test_the_inputs_are_the_same_for_the_same_seed():
    assert [repr(one.kind) + str(one.content) for one in malformed.inputs(5)] == [
        repr(one.kind) + str(one.content) for one in malformed.inputs(5)
    ]
    kinds = {one.kind.partition(",")[0] for one in malformed.inputs()}
    assert set(malformed.ANY_FILE) <= kinds


@pytest.mark.parametrize("place", range(len(malformed.EXPECTATIONS)))
def test_no_wrong_expectation_misses_the_promise(tmp_path, place):
    raw = {"lab_expect": malformed.EXPECTATIONS[place]}
    assert malformed.miss(malformed.Input("an expectation", "lab_expect=", raw=raw), tmp_path) == ""


@pytest.mark.parametrize("key", ["title", "x" * 5000, "\u202e"])
def test_a_text_of_several_lines_is_one_problem_of_one_line(tmp_path, key):
    data = malformed.STRATEGIES["headless"]
    data = data | {"strategy": data["strategy"] | {"name": "mine", key: "a\nb"}}
    raw = {"lab_strategies_dir": "FOLDER", "lab_strategy": "mine"}
    content = yaml.safe_dump(data).encode()
    assert malformed.miss(malformed.Input("lines", "mine.yaml", "mine.yaml", content, raw=raw), tmp_path) == ""


def accepted(folder, name, content, of_strategies=True):
    (folder / f"{name}.yaml").write_bytes(content)
    where = "lab_strategies_dir" if of_strategies else "lab_scenarios_dir"
    asks = {"lab_strategy": name} if of_strategies else {"lab_strategy": "headless", "lab_scenario": name}
    raw = {where: str(folder), "lab_cluster": "kind"} | asks
    found = settings.validate(raw, repo=malformed.REPO, answers=lambda _: False)
    return found.strategy_name if of_strategies else found.scenario


@pytest.mark.parametrize("name", malformed.STRATEGIES)
def test_every_strategy_is_accepted_however_it_is_written(tmp_path, name):
    data = malformed.STRATEGIES[name]
    text = (malformed.REPO / "strategies" / f"{name}.yaml").read_text()
    title = data | {"strategy": data["strategy"] | {"title": "Größe: 5\u00a0% – 中文 \U0001f469\u200d\U0001f4bb"}}
    for content in (
        text,
        text.replace("\n", "\r\n"),
        "\ufeff" + text,
        "---\n" + text + "...\n",
        json.dumps(data),
        yaml.safe_dump(data),
        yaml.safe_dump(data, default_flow_style=True, width=60),
        yaml.safe_dump(title, allow_unicode=True),
        yaml.safe_dump(title),
    ):
        assert accepted(tmp_path, name, content.encode()) == name


@pytest.mark.parametrize("name", malformed.SCENARIOS)
def test_every_scenario_is_accepted_however_it_is_written(tmp_path, name):
    data = malformed.SCENARIOS[name]
    for content in (json.dumps(data), yaml.safe_dump(data), "\ufeff" + yaml.safe_dump(data).replace("\n", "\r\n")):
        assert accepted(tmp_path, name, content.encode(), of_strategies=False) == name


def test_a_link_to_a_file_is_fine(tmp_path):
    text = (malformed.REPO / "strategies" / "headless-outlier.yaml").read_text().replace("headless-outlier", "mine")
    (tmp_path / "kept").write_text(text)
    (tmp_path / "mine.yaml").symlink_to("kept")
    assert accepted(tmp_path, "mine", text.encode()) == "mine"


PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
PLAY = """
- hosts: localhost
  gather_facts: false
  vars_files: [inputs.json]
  tasks:
    - lab_settings: ARGUMENTS
      loop: "{{ inputs }}"
"""


def usable(wrong: malformed.Input) -> bool:
    """Whether it is one also by this way: Ansible calculates ``{{ 5 }}``, and JSON knows no number of any length."""
    try:
        return "{{" not in json.dumps(wrong.raw) and "{%" not in json.dumps(wrong.raw)
    except (ValueError, RecursionError):
        return False


def test_what_ansible_hands_on_is_refused_in_the_same_words(tmp_path: Path) -> None:
    kinds: dict[str, list[malformed.Input]] = {}
    for wrong in filter(usable, malformed.inputs()):
        kinds.setdefault(re.match("[a-z_ ]+", wrong.kind)[0], []).append(wrong)
    assert set(malformed.ANY_FILE) <= set(kinds)
    made = [wrongs[0] for wrongs in kinds.values()]
    raw = []
    for number, wrong in enumerate(made):
        (tmp_path / str(number)).mkdir()
        raw.append(wrong.prepare(tmp_path / str(number)))
    names = sorted({name for one in raw for name in one})
    passed = {name: f"{{{{ item.{name} | default(none) }}}}" for name in names}
    (tmp_path / "play.yml").write_text(PLAY.replace("ARGUMENTS", json.dumps(passed)))
    (tmp_path / "inputs.json").write_text(json.dumps({"inputs": raw}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    before = sorted(malformed.REPO.glob("*"))
    done = subprocess.run(
        [PLAYBOOK, str(tmp_path / "play.yml")],
        cwd=malformed.REPO,
        env=kept | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    answers = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]["results"]
    missed = {
        wrong.kind: problem
        for number, (wrong, answer) in enumerate(zip(made, answers, strict=True))
        if (problem := malformed.fault(wrong, answer.get("msg", "was accepted"), tmp_path / str(number)))
    }
    assert missed == {}
    assert done.returncode == 2
    assert sorted(malformed.REPO.glob("*")) == before, "nothing was made"


@pytest.mark.parametrize("schema", ["charts/grpc-echo/values.schema.json", "scenarios/schema.json"])
def test_every_pattern_of_a_schema_is_anchored(schema):
    """Python looks for a pattern anywhere, so one that is not would allow anything around it."""
    patterns = re.findall(r'"pattern": "([^"]*)"', (malformed.REPO / schema).read_text())
    assert patterns
    assert [one for one in patterns if not (one.startswith("^") and one.endswith("$"))] == []
