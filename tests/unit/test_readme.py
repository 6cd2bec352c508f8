"""What the README says is so: the messages that it quotes, its example strategy, the ports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from grpc_lb_lab.cli import _parser
from grpc_lb_lab.model.ports import CONTROL_PLANE_PORTS

REPO = Path(__file__).parents[2]
README = (REPO / "README.md").read_text()
QUOTED = re.findall(r"^- \*\*`([^`]+)`\*\*", README.partition("## Troubleshooting")[2], re.MULTILINE)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_that_the_troubleshooting_quotes_is_in_the_source(message):
    folders = ("app", "action_plugins", "callback_plugins", "scripts", "roles", "playbooks")
    found = subprocess.run(["git", "grep", "-qF", message, "--", *folders], cwd=REPO, check=False)
    assert found.returncode == 0, message


def test_the_example_strategy_overwrites_none():
    found = re.search(r"^# strategies/(\S+)\.yaml$", README, re.MULTILINE)
    assert found
    name = found[1]
    assert not (REPO / "strategies" / f"{name}.yaml").exists()
    assert f"make lab STRATEGY={name}" in README


@pytest.mark.parametrize("name", CONTROL_PLANE_PORTS)
def test_a_control_plane_listens_where_the_lab_expects_it(name):
    line = [name, "--kubernetes-namespace", "x"]
    arguments = _parser(line).parse_args(line)
    assert arguments.listen == f"0.0.0.0:{CONTROL_PLANE_PORTS[name]}"
