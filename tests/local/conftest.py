"""A lab of its own for each test, with the real parts, and the proof that nothing of it is left afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.places.local.state import SOCKET
from live_lab import Lab, alive, descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path) -> Iterator[None]:
    """End a lab that a red test left running: it holds the addresses that all tests after it need."""
    yield
    for socket in tmp_path.rglob(SOCKET):
        Lab(socket.parent).run("down")


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Make labs; at the end of the test all are taken down, and no process of them may be left."""
    labs: list[Lab] = []

    def make(name: str = "state") -> Lab:
        labs.append(Lab(tmp_path / name))
        return labs[-1]

    yield make
    for lab in labs:
        running = lab.status().get("pid")
        pids = descendants(running) if running else []
        assert lab.run("down").returncode == 0
        assert [pid for pid in pids if alive(pid)] == []
        assert not lab.state.exists()


@pytest.fixture
def lab(new_lab: Callable[..., Lab]) -> Lab:
    """One lab that was not started yet."""
    return new_lab()
