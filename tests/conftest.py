"""A test that needs a program which many machines lack says so: ``@pytest.mark.needs("nginx")``. There it is skipped.

The programs are those of scripts/optional_programs.py. ``make test-programs`` runs these tests only, and skips none.
"""

from __future__ import annotations

import optional_programs
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here. The reason's form is read by scripts/test.py."""
    for item in items:
        needed = sorted({name for mark in item.iter_markers("needs") for name in mark.args})
        if unknown := [name for name in needed if name not in optional_programs.PROGRAMS]:
            raise pytest.UsageError(f"{item.nodeid} needs {unknown[0]}: scripts/optional_programs.py does not know it")
        if missing := optional_programs.missing(needed):
            item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(missing)}"))
