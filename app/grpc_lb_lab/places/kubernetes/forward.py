"""``kubectl port-forward``: opened, waited for, and ended with its block."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes.cluster.programs import end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

OPEN_LIMIT_S = 15.0
_OPEN = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def forward(kubectl: Kubectl, target: str, remote_port: int, local_port: int = 0) -> Iterator[str]:
    """Open ``kubectl port-forward`` and give its address, ``127.0.0.1:PORT``. It ends with the block.

    Raises ``LabError`` when it is not open within 15 s.
    """
    ports = f"{local_port or ''}:{remote_port}"
    process = kubectl.start("port-forward", "--address=127.0.0.1", target, ports, stderr=subprocess.STDOUT)
    try:
        yield f"127.0.0.1:{_opened(process, target)}"
    finally:
        end(process)


def _opened(process: subprocess.Popen[str], target: str) -> int:
    assert process.stdout
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read_until_open, process, said)
        try:
            port = reading.result(OPEN_LIMIT_S)
        except TimeoutError:
            process.kill()  # ends the reader as well
            port = 0
    if not port:
        raise LabError(f"kubectl port-forward {target} did not open: {said[-1] if said else 'it said nothing'}")
    return port


def _read_until_open(process: subprocess.Popen[str], said: list[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        said.append(line.strip())
        found = _OPEN.match(line)
        if found:
            return int(found[1])
    return 0
