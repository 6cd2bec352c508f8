"""Real parts on loopback addresses of 127.78.9.0/24: echo servers here, control planes as processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from control_plane_parts import Backends, Planes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def backends() -> Iterator[Backends]:
    found = Backends()
    yield found
    found.close()


@pytest.fixture
def planes(tmp_path: Path) -> Iterator[Planes]:
    found = Planes(tmp_path)
    yield found
    found.close()
