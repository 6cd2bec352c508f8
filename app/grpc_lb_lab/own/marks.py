"""The mark that the lab puts into every folder that it fills, before anything else.

A folder that holds something and no mark is somebody else's: it is neither filled nor emptied. No link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MARK = ".grpc-lb-lab"
ALLOWED = f"a folder that is empty or can be created, or one that the lab made and marked ({MARK})"

_MADE = "made by grpc-lb-lab\n"
_FOUND = "found empty by grpc-lb-lab\n"


def is_marked(folder: Path) -> bool:
    """Say whether this is a folder, not a link to one, and carries the lab's mark."""
    return is_folder(folder) and is_file(folder / MARK)


def is_inside(folder: Path) -> bool:
    """Say whether this folder or one above it carries the lab's mark."""
    return any(is_marked(part) for part in (folder, *folder.parents))


def is_folder(path: Path) -> bool:
    """Say whether this is a folder; a link to one is not."""
    return _kind(path) == stat.S_IFDIR


def is_file(path: Path) -> bool:
    """Say whether this is a regular file; a link to one is not."""
    return _kind(path) == stat.S_IFREG


def foreign(folder: Path, was_ours: Callable[[Path], bool]) -> str:
    """Say in a few words why the lab must not fill or empty this folder; nothing when it may.

    ``was_ours`` recognizes what a version of the lab left that set no marks yet. Raises ``OSError`` for a folder that
    cannot be read.
    """
    if not os.path.lexists(folder):
        return ""
    if folder.is_symlink():
        return "is a link, and the lab follows none"
    if not is_folder(folder):
        return "is not a folder"
    if is_file(folder / MARK) or was_ours(folder) or not any(folder.iterdir()):
        return ""
    return "holds files and does not carry the lab's mark"


def claim(folder: Path, was_ours: Callable[[Path], bool] = lambda _: False, mode: int = 0o777) -> None:
    """Have this folder with the lab's mark, which is written before anything else.

    Raises ``UsageError`` when it is somebody else's, ``OSError`` when it cannot be made.
    """
    try:
        folder.mkdir(mode=mode, parents=True)
        words = _MADE
    except FileExistsError:
        if is_marked(folder):
            return
        if reason := foreign(folder, was_ours):
            raise UsageError(f"{folder} {reason}. Allowed: {ALLOWED}") from None
        words = _MADE if was_ours(folder) else _FOUND
    put(folder, words)


def put(folder: Path, words: str = _FOUND) -> None:
    """Put the mark into a folder. Raises ``OSError``."""
    # Its being there is the mark; a disk that is full takes the name and not the words. Whoever made the folder has the
    # last word, in whatever order: another start that came at the same moment found it empty, and may be writing that.
    how = os.O_TRUNC if words == _MADE else os.O_EXCL | os.O_APPEND
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(folder / MARK, os.O_WRONLY | os.O_CREAT | how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with contextlib.suppress(OSError):
            os.write(descriptor, words.encode())
        os.close(descriptor)


def own_folder(folder: Path) -> None:
    """Have a folder inside a marked one. Raises ``NotADirectoryError`` for a link or anything else of that name."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    if not is_folder(folder):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder that the lab made", str(folder))


def release(folder: Path) -> bool:
    """Take the mark from a folder in which nothing else is left, and the folder too when the lab made it.

    Returns whether that was so; with anything else in it the mark stays, since the lab may still have something there.
    """
    if not is_marked(folder) or [entry.name for entry in folder.iterdir()] != [MARK]:
        return False
    made = (folder / MARK).read_text(encoding="utf-8", errors="replace") != _FOUND
    (folder / MARK).unlink()
    if made:
        folder.rmdir()
    return True


def remove(folder: Path, files: Iterable[str] = (), folders: Iterable[str] = ()) -> list[str]:
    """Remove these entries of a folder and return those that were there. Raises ``LabError`` naming what stays.

    An entry of another kind than named, such as a link, is not what the lab made and stays.
    """
    gone = []
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LabError(f"{folder} cannot be emptied: {error.strerror}") from error
    try:
        for name in folders:
            if _kind_in(here, name) == stat.S_IFDIR:
                shutil.rmtree(name, dir_fd=here)
                gone.append(name)
        for name in files:
            if _kind_in(here, name) in (stat.S_IFREG, stat.S_IFSOCK):
                os.unlink(name, dir_fd=here)
                gone.append(name)
    except OSError as error:
        raise LabError(f"{folder}: {error.filename} cannot be removed: {error.strerror}") from error
    finally:
        os.close(here)
    return gone


def remove_empty(folder: Path) -> bool:
    """Remove a folder in which nothing is, and say whether that was so; anything else stays as it is."""
    try:
        folder.rmdir()  # refuses links as well as folders that hold something
    except OSError:
        return False
    return True


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without links to folders; none when it is a link itself."""
    return sorted(path for path in folder.iterdir() if is_folder(path)) if is_folder(folder) else []


def _kind(path: Path) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return None


def _kind_in(folder: int, name: str) -> int | None:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
