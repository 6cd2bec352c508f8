"""Finds kubectl, helm and kind: on the PATH when new enough, else where the role ``tools`` puts the pinned release."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes.cluster.programs import attempt

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Tool:
    """A program and the oldest version that does. ``ask`` are the arguments that make it tell its version."""

    oldest: tuple[int, int]
    ask: tuple[str, ...]
    why: str


TOOLS = {
    "kind": Tool((0, 32), ("version",), "images of Kubernetes 1.36 need it"),
    "kubectl": Tool((1, 32), ("version", "--client"), "the newest cluster that is tested is 1.37"),
    "helm": Tool((3, 18), ("version", "--template={{.Version}}"), "older ones cannot read the chart's schema"),
}
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


def use(state: Path) -> None:
    """Let programs in the lab's own folder come first."""
    os.environ["PATH"] = f"{state / 'bin'}{os.pathsep}{os.environ['PATH']}"


def look(names: list[str]) -> dict[str, str]:
    """Return what is missing: program to the reason. An empty answer means that all can be used as they are."""
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise LabError(f"unknown program {unknown[0]}. Allowed: {', '.join(TOOLS)}")
    return {name: reason for name in names if (reason := missing(name, TOOLS[name]))}


def missing(name: str, tool: Tool) -> str:
    """Say why a program cannot be used, or nothing."""
    path = shutil.which(name)
    if not path:
        return "not on the PATH"
    told = attempt([path, *tool.ask], limit_s=10)
    found = _VERSION.search(told.stdout)
    if told.code != 0 or not found:
        return f"{path} does not tell its version ({told.reason})"
    if (int(found[1]), int(found[2])) < tool.oldest:
        oldest = ".".join(map(str, tool.oldest))
        return f"{path} is {found[0]}, needed is {oldest} or newer: {tool.why}"
    return ""


def platform_words() -> dict[str, str]:
    """Return ``os`` and ``arch`` as the release files name them."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return {"os": "darwin" if sys.platform == "darwin" else "linux", "arch": arch}
