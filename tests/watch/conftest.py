"""Onlookers: in a real terminal, in a pipe, and over HTTP."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tmux_terminal import LAB, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts ``lb-lab watch`` on the state folder ``tmp_path``; whoever uses it needs tmux."""
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
