"""Onlookers: in a real terminal, in a pipe, and over HTTP."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tmux_terminal import LAB, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts ``lb-lab watch`` on the state folder ``tmp_path``. Fails, not skips, where tmux is missing."""
    if os.environ.get("LAB_NO_TMUX") == "1":
        pytest.skip("LAB_NO_TMUX=1")
    if not shutil.which("tmux"):
        pytest.fail("no tmux found: install the package tmux, or set LAB_NO_TMUX=1 to go without", pytrace=False)
    terminals: list[Terminal] = []
    # A socket's path may have 107 characters; pytest's folders have more.
    with tempfile.TemporaryDirectory() as folder:

        def start(*arguments: str, **settings: object) -> Terminal:
            place = Path(folder) / str(len(terminals))
            place.mkdir()
            command = [LAB, "watch", "--state", str(tmp_path), *arguments]
            terminals.append(Terminal(place, command, **settings))
            return terminals[-1]

        yield start
        for terminal in terminals:
            terminal.close()
