"""Writes the live feed of a run. A feed is for onlookers: what goes wrong with its file never ends a run."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model import live_feed

if TYPE_CHECKING:
    from pathlib import Path


class LiveFeed:
    """The feed of one run: ``start``, any number of lines in between, ``end``. Safe to use from several threads.

    Every line is one appending write. Before ``start`` and after ``end`` lines are dropped. ``OSError`` is swallowed
    throughout.
    """

    def __init__(self, path: Path) -> None:
        """``path``: the file, ``live_feed.FILE`` in the state folder. Touches nothing yet."""
        self.path = path
        self._descriptor = -1

    def start(self, run: live_feed.RunLine) -> None:
        """Replace the file by a new one, so that readers of the last run see that another one began."""
        self.close()
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # With its first line in it: a reader never sees a feed without a run.
            draft.write_text(live_feed.render(run) + "\n", encoding="utf-8")
            self._descriptor = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            draft.replace(self.path)

    def add(self, line: live_feed.Line) -> None:
        """Append a line."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, live_feed.render(line).encode() + b"\n")

    def event(self, kind: str, detail: str, pod: str = "", at: float | None = None) -> None:
        """Append that something happened, now or at ``at`` (seconds since the epoch)."""
        self.add(live_feed.EventLine(time.time() if at is None else at, kind, detail, pod))

    def replicas(self, ready: list[str], at: float | None = None) -> None:
        """Append the names of the pods that are ready from now (or ``at``) on."""
        self.add(live_feed.ReplicasLine(time.time() if at is None else at, ready))

    def end(self, problem: str = "") -> None:
        """Append that the run is over, and why when it broke; then close the file."""
        self.add(live_feed.EndLine(time.time(), problem))
        self.close()

    def close(self) -> None:
        """Close the file without a word. The feed can be started again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
