"""Reads a live feed as it grows, and the next one when another run begins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from grpc_lb_lab.views.live.state import LiveState

if TYPE_CHECKING:
    from pathlib import Path


class Follower:
    """Keeps ``state`` up to date with the file at a path, which may come, grow and be replaced at any time."""

    def __init__(self, path: Path) -> None:
        """Reads nothing yet."""
        self.state = LiveState()
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def poll(self) -> bool:
        """Take in what is new; returns whether anything was. The picture of a run stays when its file goes."""
        changed = self._reopen()
        if self._file is None:
            return changed
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            changed |= self.state.take(line.decode(errors="replace"))
        return changed

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _reopen(self) -> bool:
        """Open the file if it is there and is not the one that is open; returns whether it did."""
        try:
            # The open file keeps its inode, so no other file can have the same one.
            if self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                return False
            file = self._path.open("rb")
        except OSError:
            return False
        self.close()
        self._file, self._rest, self.state = file, b"", LiveState()
        return True
