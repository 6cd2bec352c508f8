"""What the lab keeps in the folder of ``lab_state_dir``, and how to tell that folder from somebody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own import marks

FEED = "live.jsonl"
LOCAL = "local"
LOCAL_FOLDERS = ("logs", "service", "load")
LOCAL_FILES = ("control.sock", "supervisor.log", "endpoints.json", "metrics.json", "processes", "lock")
LOCAL_DRAFTS = tuple(f".{name}.new" for name in LOCAL_FILES if name.endswith(".json"))
"""What is left of a file whose writer was killed while it wrote."""

TOOLS = ("kind", "kubectl", "helm")

CHECKOUT = Path(__file__).resolve().parents[3]
"""The checkout that this program belongs to. Its ``.lab`` is the lab's whoever made it: Ansible may have been first.
Molecule's lab has its state below it."""


def foreign_root(root: Path) -> str:
    """Say in a few words why ``lab_state_dir`` must not be this folder; nothing when it may.

    The folder that a user names may be a link. Raises ``OSError`` for a folder that cannot be read.
    """
    return "" if _is_default(root) else marks.foreign(root.resolve(), was_root)


def claim_root(root: Path) -> None:
    """Have this folder, marked. Raises ``UsageError`` when it is somebody else's, ``LabError`` when it cannot be."""
    try:
        marks.claim(root.resolve(), lambda folder: _is_default(root) or was_root(folder))
    except OSError as error:
        raise LabError(f"state folder {root} cannot be written: {error.strerror}") from error


def claim_local(folder: Path) -> None:
    """Have the folder of a local lab, marked.

    Raises ``UsageError`` when it is somebody else's, ``OSError`` when it cannot be made.
    """
    marks.claim(folder, was_local, mode=0o700)


def foreign_local(folder: Path) -> str:
    """Say in a few words why this cannot be the folder of a local lab; nothing when it can."""
    return marks.foreign(folder, was_local)


def is_ours(root: Path) -> bool:
    """Say whether the lab may remove from this folder what it has put there."""
    resolved = root.resolve()
    return marks.is_marked(resolved) or _is_default(root) or was_root(resolved)


def was_local(folder: Path) -> bool:
    """Recognize the folder of a local lab of a version that set no marks: by everything that each of them had."""
    return (
        all(marks.is_folder(folder / name) for name in LOCAL_FOLDERS)
        and all(marks.is_file(folder / name) for name in ("supervisor.log", "processes", "lock"))
        and _is_owner(_read_json(folder / "lock"))
    )


def was_root(root: Path) -> bool:
    """Recognize a state folder of a version that set no marks, by what a run on any cluster leaves there."""
    places = _read_json(root / "kubernetes.json")
    return (
        was_local(root / LOCAL)
        or is_feed(root / FEED)
        or (isinstance(places, list) and all(map(_is_place, places)))
        or marks.is_file(root / "image" / "packages.sha256")
        or any(
            marks.is_file(cluster / name)
            for cluster in marks.folders(root / "kind")
            for name in ("kubeconfig", "creating")
        )
    )


def is_feed(path: Path) -> bool:
    """Say whether a file begins as the live feed of a run does."""
    try:
        with path.open(encoding="utf-8") as lines:
            first = json.loads(lines.readline())
    except (OSError, ValueError):
        return False
    return marks.is_file(path) and isinstance(first, dict) and {"kind", "at", "run", "strategy"} <= first.keys()


def tidy(root: Path) -> bool:
    """Remove the feed of the last run, and the mark of a folder in which nothing else is left.

    Returns whether the feed was there. A folder that is not the lab's stays as it is.
    """
    if not is_ours(root):
        return False
    root = root.resolve()
    found = is_feed(root / FEED) and bool(marks.remove(root, [FEED]))
    marks.release(root)
    return found


def remove_all(root: Path) -> list[Path]:
    """Remove all that the lab has put into a state folder where none of its labs runs any more; return what stays."""
    if not is_ours(root):
        return [root] if root.exists() else []
    root = root.resolve()
    local = root / LOCAL
    if marks.is_marked(local) or was_local(local):
        empty_local(local)
    marks.remove(root / "bin", [f"{name}{ending}" for name in TOOLS for ending in ("", ".tar.gz")])
    marks.remove_empty(root / "bin")
    marks.remove(root, [FEED, "kubernetes.json"], ["image", "kind-logs", "cluster-logs", "ansible"])
    for cluster in marks.folders(root / "kind"):
        remove_cluster(root, cluster.name)
    marks.remove_empty(root / "kind")
    if not marks.release(root):
        marks.remove_empty(root)
    return sorted(path for path in root.iterdir() if path.name != marks.MARK) if root.is_dir() else []


def empty_local(folder: Path) -> None:
    """Remove all that a local lab puts into its folder, and the folder when nothing else is in it.

    The mark goes last: what an interrupted removal leaves can still be told from somebody's files. With any of those in
    it the folder stays the lab's, for the next run and the next reset.
    """
    marks.remove(folder, (*LOCAL_FILES, *LOCAL_DRAFTS), LOCAL_FOLDERS)
    if not marks.release(folder):
        marks.remove_empty(folder)


def holds_lab(folder: Path) -> bool:
    """Say whether anything of a local lab is in its folder."""
    files = [folder / name for name in (*LOCAL_FILES, *LOCAL_DRAFTS)]
    there = [path for path in files if path.exists() and not path.is_symlink()]
    return (
        bool(there)
        or any(marks.is_folder(folder / name) for name in LOCAL_FOLDERS)
        or (marks.is_marked(folder) and [path.name for path in folder.iterdir()] == [marks.MARK])
    )


def remove_cluster(root: Path, name: str) -> None:
    """Remove the files of a kind cluster: its kubeconfig, and what its creation left."""
    cluster = root / "kind" / name
    if cluster in marks.folders(root / "kind"):  # and so not .. or a path
        marks.remove(cluster, ("kubeconfig", "config.yaml", "create.log", "creating"))
        marks.remove_empty(cluster)
    marks.remove_empty(root / "kind")


def _is_default(root: Path) -> bool:
    own = CHECKOUT / ".lab"
    return bool({root.absolute(), root.resolve()} & {own, own / "molecule"})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if marks.is_file(path) else None
    except (OSError, ValueError):
        return None


def _is_owner(data: Any) -> bool:
    return isinstance(data, dict) and data.keys() == {"pid", "since"}


def _is_place(data: Any) -> bool:
    return isinstance(data, dict) and {"namespace", "kubeconfig", "context"} <= data.keys()
