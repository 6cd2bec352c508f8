"""Programs of this machine that some strategies need: where they are, and what to install where they are not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from grpc_lb_lab.model.errors import LabError

PACKAGES = {"nginx": "nginx-light (Debian, Ubuntu) or nginx", "haproxy": "haproxy"}
"""A program to the package that brings it."""

# Distributions put servers where a user's PATH does not look.
_SERVERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True)
class Program:
    """A program that runs on this machine. ``stamp`` is the time of its file, 0 where nobody noted it."""

    path: str
    version: str
    stamp: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers, to compare."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


def missing(name: str) -> str:
    """What to install when program ``name`` is not on this machine; empty when it is, or when no package is known."""
    if name not in PACKAGES or _path(name):
        return ""
    return f"{name} is not installed on this machine: install the package {PACKAGES[name]}, then run this again"


def find(name: str) -> Program:
    """Find ``nginx`` or ``haproxy``. Raises ``LabError`` with the package to install when it is not there."""
    path = _path(name)
    if path is None:
        raise LabError(f"this strategy needs {name}, and {missing(name)}")
    try:
        # nginx tells its version on stderr.
        done = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"{name} at {path} does not run: {error}") from error
    found = _VERSION.search(done.stdout + done.stderr)
    return Program(path, found[0] if found else "unknown")


def _path(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVERS]))
