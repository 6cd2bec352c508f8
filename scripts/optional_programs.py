"""Programs that some strategies and tests need and many machines lack: which there are, where, and how to get them.

Run as a script it installs what is missing of them, on Debian and Ubuntu; exit 1 when something is still missing then.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Program:
    """A program that the lab can do without. ``package`` is Debian's, ``module`` Go's, where Debian has none."""

    package: str = ""
    module: str = ""
    names: tuple[str, ...] = ()
    """Other names of the same program."""


PROGRAMS = {
    "nginx": Program("nginx-light"),
    "haproxy": Program("haproxy"),
    "chromium": Program("chromium", names=("chromium-browser", "google-chrome")),
    "tmux": Program("tmux"),
    "prometheus": Program("prometheus"),
    "ghz": Program(module="github.com/bojand/ghz/cmd/ghz"),
}
PLACE = Path("/usr/local/bin")
POLICY = Path("/usr/sbin/policy-rc.d")


def find(name: str) -> str | None:
    """Return the path of a program of ``PROGRAMS``, or None. Distributions put servers where no user's PATH looks."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = (shutil.which(each, path=path) for each in (name, *PROGRAMS[name].names))
    return next((each for each in found if each), None)


def missing(names: Iterable[str] = PROGRAMS) -> list[str]:
    """Return those of the programs that are not on this machine."""
    return [name for name in names if not find(name)]


def main() -> int:
    """Install what is missing. Returns 0 when every program is there."""
    wanted = missing()
    packages = [PROGRAMS[name].package for name in wanted if PROGRAMS[name].package]
    modules = {name: PROGRAMS[name].module for name in wanted if PROGRAMS[name].module}
    if modules and not shutil.which("go"):
        packages.append("golang-go")
    if packages:
        install_packages(packages)
    for name, module in modules.items():
        build(name, f"{module}@v{version_of(name)}")
    if left := missing():
        print(f"programs: error: still missing: {', '.join(left)}", file=sys.stderr)
        return 1
    print(f"programs: {', '.join(PROGRAMS)} are here", flush=True)
    return 0


def install_packages(packages: list[str]) -> None:
    """Install packages of Debian's kind. Says what to install by hand where that cannot be done."""
    if os.geteuid() or not shutil.which("apt-get"):
        sys.exit(f"programs: error: this needs root and apt-get; install these packages yourself: {' '.join(packages)}")
    print(f"installing {', '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_services():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *command], env=environment, stdout=subprocess.DEVNULL, check=False)


def build(name: str, module: str) -> None:
    """Build a Go program and put it beside this machine's others."""
    print(f"building {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"}
        done = subprocess.run(["go", "install", "-ldflags", "-s -w", module], env=environment, check=False)
        if done.returncode == 0:
            shutil.copy(Path(folder) / name, PLACE / name)


def version_of(name: str) -> str:
    """Return the version that the test engine pins too."""
    found = re.search(rf"^{name.upper()}_VERSION=(\S+)", (REPO / "testbed" / "env").read_text(), re.MULTILINE)
    assert found, name
    return found[1]


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keep Debian from starting what it installs: the tests want the programs, not services on their usual ports."""
    if POLICY.exists():  # somebody's own word on the same question
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
