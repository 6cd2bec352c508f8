"""Reads and writes single files. A file is whole or not there: each is written beside its place and renamed."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import from_dict
from grpc_lb_lab.model.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path


def is_there(path: Path) -> bool:
    """Say whether ``path`` leads to something. Raises ``OSError`` when that cannot be known: a name too long, no right.

    ``Path.exists`` raises it too, but from Python 3.14 on it says no.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def replace_text(path: Path, text: str, draft: Path | None = None) -> None:
    """Write ``text`` to ``path`` in one step: a reader sees the old text or the new one, never half of it.

    It is written to ``draft`` in the same folder first, by default to a name that no other process takes. Raises
    ``OSError``; nothing is left of the draft then.
    """
    draft = draft or path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            draft.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` atomically. Raises ``ArtifactError`` with the path and the system's reason."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ``ArtifactError`` when it is missing, unreadable or no object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} is not a JSON object")
    return data


def read_as[T](cls: type[T], path: Path) -> T:
    """A dataclass from a JSON file. Raises ``ArtifactError`` when the file does not fit."""
    try:
        return from_dict(cls, read_json(path))
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{path} is no {cls.__name__}: {error}") from error
