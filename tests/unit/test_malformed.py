"""What people get wrong, hundreds of times: one message with the name, the value and what is allowed, and no crash."""

from __future__ import annotations

import json
import re

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
    found = settings.validate(raw, repo=malformed.REPO, docker_answers=lambda: False)
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


@pytest.mark.parametrize("schema", ["charts/grpc-echo/values.schema.json", "scenarios/schema.json"])
def test_every_pattern_of_a_schema_is_anchored(schema):
    """Python looks for a pattern anywhere, so one that is not would allow anything around it."""
    patterns = re.findall(r'"pattern": "([^"]*)"', (malformed.REPO / schema).read_text())
    assert patterns
    assert [one for one in patterns if not (one.startswith("^") and one.endswith("$"))] == []
