"""Each of these is written in one place; whoever writes it a second time finds the place here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from grpc_lb_lab.model.scenario import FAULT_MOST_S

REPO = Path(__file__).parents[2]


def places(pattern: str, *folders: str) -> list[str]:
    """The files of the project, or of some folders, in which a line matches."""
    words = ["git", "grep", "--untracked", "-lE", pattern, "--", *(folders or ["app"]), ":!*_pb2*"]
    return subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize(
    ("what", "pattern", "where"),
    [
        ("a question by HTTP", r"urllib\.request|HTTPConnection|GET .* HTTP/1", ["observe/admin.py"]),
        # The feed is opened before it is put in its place, so that no line is lost.
        (
            "a file replaced whole",
            r"(draft|fresh)\.replace\((path|self)|mkstemp",
            ["model/files.py", "run/feed.py"],
        ),
        ("how long a fault lasts at most", r"FAULT_MOST_S =|FOR_MOST_MS = [0-9]", ["model/scenario.py"]),
    ],
)
def test_in_one_place(what, pattern, where):
    assert places(pattern) == [f"app/grpc_lb_lab/{path}" for path in where], what


def test_the_grammar_of_scenarios_has_the_same_limit():
    text = (REPO / "scenarios/schema.json").read_text()
    assert re.search(r'"for_s": \{[^}]*"maximum": (\d+)', text)[1] == str(FAULT_MOST_S)
    assert re.search(r'"delay_ms": \{[^}]*"maximum": (\d+)', text)[1] == str(FAULT_MOST_S * 1000)
