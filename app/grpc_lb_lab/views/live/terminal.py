"""The view in a terminal, or as lines where there is none."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from grpc_lb_lab.model.text import printable
from grpc_lb_lab.views.live.frame import plain_line, render_frame
from grpc_lb_lab.views.live.view import View, make_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpc_lb_lab.views.live.follow import Follower

EVERY_S = 0.25
PLAIN_EVERY_S = 1.0


def views(follower: Follower, once: bool) -> Iterator[View]:
    """A view four times a second; ends after the end of a run if ``once``."""
    while True:
        follower.poll()
        view = make_view(follower.state, time.time())
        yield view
        if once and view.final:
            return
        time.sleep(EVERY_S)


def watch_screen(follower: Follower, hint: str, once: bool) -> None:
    """Draw on the whole screen until interrupted, and leave the last picture behind."""
    console = Console(highlight=False, emoji=False, markup=False)
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    last: View | None = None

    def frame(view: View, height: int) -> object:
        return render_frame(view, width=console.width, height=height, unicode=unicode, hint=hint)

    try:
        # Lines that stay the same are written over with themselves, in one write: nothing is erased, nothing flickers.
        with Live(console=console, screen=True, auto_refresh=False) as screen:
            drawn: tuple[object, ...] = ()
            for view in views(follower, once):
                last = view
                if drawn != (view, console.size):
                    drawn = (view, console.size)
                    screen.update(frame(view, console.height), refresh=True)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        pass  # how a watcher leaves
    if last is not None and last.phase != "waiting":
        console.print(frame(last, 24))


def watch_lines(follower: Follower, hint: str, once: bool) -> None:
    """Print a line a second while something runs, and each event; for logs and pipes."""
    said, told_at = ("", "", ""), 0.0
    events = 0
    with contextlib.suppress(KeyboardInterrupt):
        for view in views(follower, once):
            if (view.run, view.phase, view.problem) != said:
                if view.run != said[0]:
                    events = 0
                words = f" {view.problem}".rstrip() if view.problem else ""
                print(printable(f"{view.phase}: {view.headline}{words}") if view.run else hint, flush=True)
                said, told_at = (view.run, view.phase, view.problem), 0.0
            for event in view.events[events:]:
                print(printable(f"{event.t_s:6.1f} s  {event.kind}: {event.detail}"), flush=True)
            events = len(view.events)
            if view.phase in ("running", "over") and time.monotonic() - told_at >= PLAIN_EVERY_S:
                told_at = time.monotonic() if view.phase == "running" else float("inf")
                print(printable(plain_line(view)), flush=True)
