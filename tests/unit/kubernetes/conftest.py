"""Programs that only say what a test wants them to say, first on the PATH."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a shell script of this name. What it is called with is appended to the file ``calls`` beside it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, body: str) -> None:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{body}\n', encoding="utf-8")
        script.chmod(0o755)

    return make


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """Return what the programs were called with so far."""
    path = tmp_path / "programs" / "calls"
    return lambda: path.read_text(encoding="utf-8").splitlines() if path.exists() else []
