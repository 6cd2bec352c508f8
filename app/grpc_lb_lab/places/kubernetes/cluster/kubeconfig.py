"""The user's kubeconfig: which files it is, where a context in there leads to, and what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grpc_lb_lab import documents
from grpc_lb_lab.model import files
from grpc_lb_lab.model.errors import LabError

VARIABLE = "KUBECONFIG"
DEFAULT = "~/.kube/config"
CHOOSE = "Choose with -e place_context=NAME"
OTHERWISE = "Name another with -e place_kubeconfig=FILE, or use -e lab_cluster=kind"


class KubeconfigError(LabError):
    """A kubeconfig that leads nowhere; ``reason`` is the message without what a run should take instead."""

    def __init__(self, reason: str, advice: str = "") -> None:
        """Put both into the message."""
        super().__init__(f"{reason}. {advice}" if advice else reason)
        self.reason = reason


@dataclass(frozen=True)
class Target:
    """Where a context leads to, as the kubeconfig has it; no cluster was asked.

    ``kubeconfig``: the files, absolute, separated as in the variable KUBECONFIG. ``authority``: a digest of the
    certificates that the cluster is known by, empty where none are named. No two clusters share one.
    """

    kubeconfig: str
    context: str
    server: str
    authority: str


def find(given: str = "", context: str = "") -> Target:
    """Follow ``context`` (empty: the current one) to its cluster.

    ``given`` is a file, or several as in KUBECONFIG; empty: the ones that kubectl takes. Raises
    ``KubeconfigError`` naming the file and what is wrong with it.
    """
    paths, origin = _paths(given)
    shown = f"the kubeconfig {os.pathsep.join(map(str, paths))}"
    read = {path: _read(path) for path in paths if _is_there(path)}
    if not read:
        raise KubeconfigError(f"{shown}{origin} does not exist", OTHERWISE)
    contexts = _entries(read, "contexts")
    there = f"It has {', '.join(sorted(contexts))}" if contexts else "It has none"
    name = context or next((str(data["current-context"]) for data in read.values() if data.get("current-context")), "")
    if not name:
        raise KubeconfigError(f"{shown} has no current context. {there}", CHOOSE)
    if name not in contexts:
        asked = "no context" if context else "the current context"
        missing = f"has {asked} {name}" if context else f"names {asked} {name}, which is not in it"
        raise KubeconfigError(f"{shown} {missing}. {there}", CHOOSE)
    cluster = str(contexts[name][1].get("cluster", ""))
    path, found = _entries(read, "clusters").get(cluster, (paths[0], {}))
    if not found.get("server"):
        raise KubeconfigError(
            f"the context {name} of {shown} leads to the cluster {cluster!r}, which has no server there"
        )
    return Target(os.pathsep.join(map(str, paths)), name, str(found["server"]), _authority(found, path.parent))


def authority(text: str) -> str:
    """Return the digest of the certificates of the only cluster in the text of a kubeconfig, or nothing."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return ""
    clusters = _entries({Path(): data}, "clusters") if isinstance(data, dict) else {}
    return next((_authority(cluster, Path()) for _, cluster in clusters.values()), "")


def _paths(given: str) -> tuple[list[Path], str]:
    """Return the files, absolute, and where the name comes from, for a message."""
    wanted, origin = given, ""
    if not wanted:
        wanted, origin = os.environ.get(VARIABLE, ""), f" (from the environment variable {VARIABLE})"
    if not wanted.strip(os.pathsep):
        wanted, origin = DEFAULT, f" (kubectl's own; the environment variable {VARIABLE} is not set)"
    return [Path(item).expanduser().absolute() for item in wanted.split(os.pathsep) if item], origin


def _is_there(path: Path) -> bool:
    try:
        return files.is_there(path)
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be used ({error.strerror})", OTHERWISE) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = documents.read_foreign(path)
    except documents.DocumentError as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be used ({error})", OTHERWISE) from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(data.get(key) or [], list) for key in ("contexts", "clusters")):
        raise KubeconfigError(f"{path} is no kubeconfig: contexts and clusters must be lists", OTHERWISE)
    return data


def _entries(read: dict[Path, dict[str, Any]], kind: str) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return what the files list under ``contexts`` or ``clusters``, by name; the first file to name one counts."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, data in read.items():
        for item in data.get(kind) or []:
            content = item.get(kind.removesuffix("s")) if isinstance(item, dict) else None
            if isinstance(content, dict) and "name" in item:
                found.setdefault(str(item["name"]), (path, content))
    return found


def _authority(cluster: dict[str, Any], folder: Path) -> str:
    try:
        if cluster.get("certificate-authority-data"):
            certificates = base64.b64decode(str(cluster["certificate-authority-data"]))
        elif cluster.get("certificate-authority"):
            certificates = (folder / str(cluster["certificate-authority"])).read_bytes()
        else:
            return ""
    except (OSError, binascii.Error):
        return ""  # kubectl says it when it is asked
    return hashlib.sha256(certificates.strip()).hexdigest()[:16]
