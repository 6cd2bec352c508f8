"""Who listens on a port: asked of the kernel by trying, and of /proc for the name."""

from __future__ import annotations

import socket
from pathlib import Path

_LISTEN = "0A"


def can_listen(address: str, port: int) -> bool:
    """Say whether a TCP server could listen on ``address:port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # gRPC and Envoy set this too: connections in TIME_WAIT are no obstacle, a listening socket is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder(port: int, proc: Path = Path("/proc")) -> str | None:
    """Name the process that listens on TCP ``port`` as ``name, pid N``; None when /proc does not tell."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(proc / "net" / table, port)}
    if not inodes:
        return None
    for process in proc.iterdir():
        if process.name.isdigit() and _holds(process, inodes):
            return f"{(process / 'comm').read_text().strip()}, pid {process.name}"
    return None


def _listening(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _holds(process: Path, links: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in links for entry in (process / "fd").iterdir())
    except OSError:
        # Another user's process, or one that ended meanwhile.
        return False
