"""The image of server and client: its content is its tag, so what did not change is neither built nor loaded again.

It is built without network from packages that were unpacked before: hash-checked wheels for the image's Python.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own import marks
from grpc_lb_lab.own.state import claim_root
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError, attempt, run, say, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "grpc-lb-lab"
# What runs in a pod and nothing else: a change of a page or a verdict must neither build an image nor replace a server.
IN_IMAGE = (
    *("__init__.py", "__main__.py", "cli.py", "fault_token.py", "heartbeat.py", "json_log.py", "metrics.py"),
    *("control_planes", "load", "model", "observe", "pb", "servers"),
)
PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
BUILD_LIMIT_S = 300.0
PULL_LIMIT_S = 300.0


@dataclass(frozen=True)
class Recipe:
    """What the image is made from. ``state`` is a folder that the lab may fill; ``base`` an image with ``python``."""

    repo: Path
    state: Path
    base: str
    python: str = "3.13"
    architecture: str = "amd64"

    @property
    def package(self) -> Path:
        """The source of the Python package."""
        return self.repo / "app" / "grpc_lb_lab"

    @property
    def dockerfile(self) -> Path:
        """How the image is built."""
        return self.repo / "app" / "Dockerfile"

    @property
    def requirements(self) -> Path:
        """What the package needs in a pod, with hashes."""
        return self.repo / "requirements" / "image.txt"

    @property
    def reference(self) -> str:
        """Name and tag; the tag is a digest of everything that goes in."""
        digest = hashlib.sha256(f"{self.base} {self.python} {self.architecture}".encode())
        for path in (self.dockerfile, self.requirements, *self.sources()):
            digest.update(f"\n{path.relative_to(self.repo)}\n".encode())
            digest.update(path.read_bytes())
        return f"{NAME}:{digest.hexdigest()[:12]}"

    def sources(self) -> Iterator[Path]:
        """Yield the files of the package that go into the image, sorted."""
        for path in sorted(self.package.rglob("*")):
            parts = path.relative_to(self.package).parts
            if path.is_file() and "__pycache__" not in parts and parts[0] in IN_IMAGE:
                yield path


def exists(reference: str) -> bool:
    """Tell whether the engine has the image."""
    return attempt(["docker", "image", "inspect", "--format", "{{.Id}}", reference]).code == 0


def ensure_here(reference: str) -> bool:
    """Pull an image unless the engine has it, and tell whether it had to.

    Raises ``LabError`` naming the image when it is not to be had.
    """
    if exists(reference):
        return False
    say(f"pulling {reference}")
    try:
        stream(["docker", "pull", "--quiet", reference], limit_s=PULL_LIMIT_S)
    except ProgramError as error:
        remedy = "Load it (docker load) or name another"
        raise LabError(f"the image {reference} is not in Docker and cannot be pulled ({error}). {remedy}") from error
    return True


def architecture() -> str:
    """Return the engine's architecture in Docker's words."""
    return run(["docker", "version", "--format", "{{.Server.Arch}}"]).strip()


def build(recipe: Recipe) -> bool:
    """Build the image unless the engine has it, and tell whether it was built."""
    if exists(recipe.reference):
        return False
    ensure_here(recipe.base)
    claim_root(recipe.state)
    context = recipe.state / "image"
    packages(recipe, context / "packages")
    _copy_package(recipe, context / "grpc_lb_lab")
    say(f"building {recipe.reference}")
    arguments = ["--build-arg", f"PYTHON_IMAGE={recipe.base}", "--file", str(recipe.dockerfile)]
    stream(
        ["docker", "build", "--quiet", "--network=none", "--tag", recipe.reference, *arguments, str(context)],
        limit_s=BUILD_LIMIT_S,
    )
    return True


def packages(recipe: Recipe, folder: Path) -> bool:
    """Unpack the hash-checked wheels for the image's Python into ``folder``, unless they are there already.

    The cache of the set-up is asked first, so this works without network after ``make setup``.
    """
    stamp = folder.with_suffix(".sha256")
    wanted = hashlib.sha256(f"{recipe.python} {recipe.architecture}\n".encode() + recipe.requirements.read_bytes())
    if folder.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted.hexdigest():
        return False
    if recipe.architecture not in PLATFORMS:
        raise LabError(f"no image for the architecture {recipe.architecture}. Allowed: {', '.join(PLATFORMS)}")
    stamp.unlink(missing_ok=True)
    marks.remove(folder.parent, folders=[folder.name])
    folder.mkdir(parents=True)
    say(f"unpacking Python packages for {recipe.python}, {recipe.architecture}")
    words = [_uv(), "pip", "install", "--quiet", "--target", str(folder), "--python-version", recipe.python]
    words += ["--python-platform", PLATFORMS[recipe.architecture], "--only-binary", ":all:", "--no-deps"]
    words += ["--require-hashes", "--link-mode=copy", "--no-config", "--requirements", str(recipe.requirements)]
    offline = attempt([*words, "--offline"], limit_s=120)
    if offline.code != 0:
        online = attempt(words, limit_s=PULL_LIMIT_S)
        if online.code != 0:
            message = f"the Python packages of the image are neither in the cache nor to be downloaded: {online.reason}"
            raise LabError(f"{message}. Run `make setup` where there is a network")
    marks.remove(folder, folders=["bin"])  # scripts that name this machine's Python
    stamp.write_text(wanted.hexdigest(), encoding="utf-8")
    return True


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


def _copy_package(recipe: Recipe, folder: Path) -> None:
    marks.remove(folder.parent, folders=[folder.name])
    for source in recipe.sources():
        target = folder / source.relative_to(recipe.package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def push(reference: str, name: str) -> str:
    """Push the image under another name and return that name. Raises ``LabError`` when the registry refuses."""
    run(["docker", "tag", reference, name])
    stream(["docker", "push", name], limit_s=PULL_LIMIT_S)
    return name
