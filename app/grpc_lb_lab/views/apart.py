"""Drawing apart: the chart library ends its whole process where it gets no memory, and must take nothing else along."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 70
"""Exit code of a child that could not write: the parent tries itself, for the message."""


def draw_apart(write: Callable[[], object]) -> None:
    """Call ``write`` in a process of its own; where that dies, call it here with words in the place of charts.

    Raises what ``write`` raises, such as ``ArtifactError`` for a full disk. In a process with threads, such as those of
    the library once it was started, it is called here at once: a fork would have none of them.
    """
    if threading.active_count() > 1 or "vl_convert" in sys.modules:
        write()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the library prints where it stood
            write()
            code = 0
        except LabError:
            pass
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        from grpc_lb_lab.views.render import vega

        name = signal.Signals(os.WTERMSIG(status)).name
        vega.leave_out(f"the chart library ended with {name}, as it does with too little memory (ulimit -v)")
        sys.stderr.write(f"the pages have no charts: {vega.left_out()}\n")
        write()
    elif status:
        write()
