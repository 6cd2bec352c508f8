"""A test that needs a program which many machines lack says so: ``@pytest.mark.needs("nginx")``. There it is skipped.

The programs are those of scripts/optional_programs.py. ``make test-programs`` runs these tests only, and skips none.
What mounts something bears ``@pytest.mark.root`` and is skipped where nobody may.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess

import optional_programs
import pytest


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell lets its background jobs ignore it, and so would what the tests start and end by it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here. The reason's form is read by scripts/test.py."""
    for item in items:
        needed = sorted({name for mark in item.iter_markers("needs") for name in mark.args})
        if unknown := [name for name in needed if name not in optional_programs.PROGRAMS]:
            raise pytest.UsageError(f"{item.nodeid} needs {unknown[0]}: scripts/optional_programs.py does not know it")
        if missing := optional_programs.missing(needed):
            item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(missing)}"))
        elif item.get_closest_marker("root") and not may_mount():
            item.add_marker(pytest.mark.skip(reason="needs root"))


@functools.cache
def may_mount() -> bool:
    """Tell whether a process can have mounts of its own here; root in many containers cannot."""
    command = ["unshare", "--mount", "--propagation", "unchanged", "true"]
    able = os.geteuid() == 0 and shutil.which(command[0])
    return bool(able) and subprocess.run(command, capture_output=True, check=False).returncode == 0
