"""The closing line of ``make test``, and what may be skipped where."""

from __future__ import annotations

import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def command():
    return runpy.run_path(str(REPO / "scripts" / "test.py"))


def test_the_line_says_how_many_were_skipped_and_for_want_of_what(command):
    tally = command["Tally"]
    tallies = [
        tally("checks", 7, 0),
        tally("live tests", 200, 1, Counter({"needs chromium": 75, "needs nginx": 6})),
        tally("molecule steps", 100, 0, Counter({"needs nginx": 1, "not a git checkout": 1})),
    ]
    assert command["closing_line"](tallies, 61.7) == (
        "307 passed, 1 failed in 62 s (7 checks, 200 live tests, 100 molecule steps; "
        "83 skipped: for want of chromium (75), nginx (7); not a git checkout (1))"
    )
    assert command["closing_line"](tallies[:1], 3) == "7 passed, 0 failed in 3 s (7 checks; nothing skipped)"


def test_skipped_is_failed_where_nothing_else_runs_it(command):
    skipped = Counter({"needs nginx": 2, "not a git checkout": 1})
    told = command["Tally"]("unit tests", 5, 1, skipped)
    bare = command["without_excuse"](told, only_programs=True)
    assert (bare.passed, bare.failed, bare.skipped) == (5, 2, Counter({"needs nginx": 2}))
    full = command["without_excuse"](told, only_programs=False)
    assert (full.passed, full.failed, full.skipped) == (5, 4, Counter())


def run_pytest(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests under the project's conftest, with two programs that no machine has."""
    more = "\noptional_programs.PROGRAMS |= {name: optional_programs.Program() for name in ('no-such', 'nor-this')}\n"
    (folder / "conftest.py").write_text((REPO / "tests" / "conftest.py").read_text() + more)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs: what it says\n")
    (folder / "test_it.py").write_text(f"import pytest\n\n{tests}")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=results.xml", "-o"]
    command = [*words, f"pythonpath={REPO / 'scripts'}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_test_that_lacks_a_program_is_skipped_with_the_reason_that_is_counted(command, tmp_path):
    done = run_pytest(
        tmp_path,
        """
@pytest.mark.needs("no-such")
@pytest.mark.needs("nor-this")
def test_one():
    raise AssertionError

@pytest.mark.skip("for another reason")
def test_two():
    raise AssertionError

def test_three():
    pass
""",
    )
    assert done.returncode == 0, done.stdout
    suite = ElementTree.parse(tmp_path / "results.xml").getroot()
    assert command["reasons"](suite) == {"needs no-such and nor-this": 1, "for another reason": 1}


def test_a_program_that_nobody_knows_is_an_error(tmp_path):
    done = run_pytest(tmp_path, '@pytest.mark.needs("nginks")\ndef test_one():\n    pass\n')
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_one needs nginks: scripts/optional_programs.py does not know it" in done.stdout + done.stderr
