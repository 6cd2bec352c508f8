"""The process that draws a playbook's pages, started when a run begins: its engine is warm when there is a page.

It serves the playbook's user at a socket that has no file, draws one page after the other, and ends with the playbook.
Whoever finds none, or one that dies of it, draws apart (``views.apart``): nothing depends on it but the waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

NICENESS = 10
"""What is measured comes first, and what a user waits for."""

_CREDENTIALS = struct.Struct("3i")
_LONGEST = 1 << 16


def start(owner: int) -> None:
    """Start the drawer of the playbook ``owner``; it outlives this process. Where that cannot be, there is none."""
    if not hasattr(os, "pidfd_open"):
        return
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def ask(owner: int | None, wish: Mapping[str, str], *, wait: bool = True) -> bool:
    """Have ``{"page": CELL}`` or ``{"run": RUN}`` drawn by the drawer of ``owner``; tell whether it did.

    ``wait=False`` only hands it over, and tells whether there is somebody. Raises the drawer's ``LabError``.
    """
    if owner is None or not hasattr(socket, "SO_PEERCRED"):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(_address(owner))
            if not _is_ours(connection):
                return False
            connection.sendall(json.dumps(wish).encode() + b"\n")
            answer = connection.makefile().readline() if wait else "{}"
    except OSError:
        return False
    said = json.loads(answer) if answer else {"died": True}
    if "error" in said:
        raise LabError(said["error"])
    return "died" not in said


def serve(owner: int) -> None:
    """Draw what is asked for until the process ``owner`` ends."""
    alive = os.pidfd_open(owner)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(_address(owner))
        listening.listen(64)
        os.nice(NICENESS)
        _warm_up()
        watched: list[Any] = [listening, alive]
        while alive not in select.select(watched, [], [])[0]:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError, ValueError):
                if _is_ours(connection):
                    line = connection.makefile().readline(_LONGEST)
                    connection.sendall(json.dumps(_draw(json.loads(line))).encode() + b"\n")


def _draw(wish: dict[str, str]) -> dict[str, Any]:
    from grpc_lb_lab.judge.document import Report
    from grpc_lb_lab.views.artifacts import complete_cells, read_as, write_index, write_page
    from grpc_lb_lab.views.bundle import read_bundle
    from grpc_lb_lab.views.summary import summarize_cells

    try:
        if "page" in wish:
            cell = Path(wish["page"])
            write_page(read_as(Report, cell / "report.json"), cell)
        else:
            run = Path(wish["run"])
            cells = read_bundle(run)
            write_index(summarize_cells(run.resolve().name, cells), run)
            complete_cells(run, cells)
    except LabError as error:
        return {"error": str(error)}
    return {}


def _warm_up() -> None:
    """Load what pages are made with, and draw a chart for nobody: the engine takes its time for the first one."""
    from grpc_lb_lab.views.render import html, vega

    html.load()
    mark: dict[str, Any] = {"mark": "bar", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    vega.draw({"data": {"values": [{"a": 1}]}, **mark}, "nothing", "nothing")


def _address(owner: int) -> str:
    """A name that exists as long as somebody listens, and that no other machine and no other container sees."""
    return f"\0grpc-lb-lab/drawer/{os.geteuid()}/{owner}/{Owner.of(owner).started}"


def _is_ours(connection: socket.socket) -> bool:
    """Whether this user is at the other end: everybody may use such a name."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1]) == os.geteuid()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
