#!/usr/bin/env python3
"""Write a one-layer image archive that `ctr images import` and `docker load` accept.

No registry is reachable from the test cluster, so its images are put together from
files: a root directory, single files, or both. The same input gives the same bytes:
members are sorted, and single files carry no time and no owner of this machine.

    image.py NAME OUT.tar [--root DIR] [--without PATH]... [--file SRC=DST]... [--library PATH]...
             [--link PATH=TARGET]... [--entrypoint A,B] [--env K=V]... [--user U]
"""

import argparse
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a package manager or a reader of manuals wants, and no container that runs.
NEVER_NEEDED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
)


class Layer:
    """A tar of files; the order is the caller's, everything else is fixed."""

    def __init__(self, path: Path) -> None:
        """Start an empty layer at ``path``."""
        self._tar = tarfile.open(path, "w")

    def add_root(self, root: Path, without: tuple[str, ...]) -> None:
        """Add the tree under ``root``, sorted, without the given paths (relative to it)."""

        def keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
            name = info.name.removeprefix("./")
            if any(name.startswith(f"{path}/") for path in without):
                return None  # the folder itself stays: somebody may want to write there
            info.mtime = int(info.mtime)  # kept: Python compares them with those that its compiled files name
            return info

        for entry in sorted(root.iterdir()):
            self._tar.add(entry, arcname=entry.name, filter=keep)

    def add_file(self, source: Path, destination: str) -> None:
        """Add one file as root's; a link is followed."""
        self._tar.add(source.resolve(), arcname=destination.lstrip("/"), filter=_anonymous)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def add_folder(self, path: str, mode: int) -> None:
        """Add an empty folder."""
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(info)

    def close(self) -> None:
        """Write the end of the tar."""
        self._tar.close()


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = 0
    return info


def write_layer(layer: Path, args: argparse.Namespace) -> str:
    """Write the layer's tar and return its digest."""
    tar = Layer(layer)
    if args.root and not args.library:
        tar.add_root(args.root, (*NEVER_NEEDED, *args.without))
    for path in args.library:  # a root of nothing but these, for a program that needs no more
        tar.add_file(args.root / path.lstrip("/"), path)
    if args.library:
        tar.add_folder("/tmp", 0o1777)
    for pair in args.file:
        source, destination = pair.split("=", 1)
        tar.add_file(Path(source), destination)
    for pair in args.link:
        tar.add_link(*pair.split("=", 1))
    tar.close()
    with layer.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("out", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="PATH", help="a path under --root to leave out")
    parser.add_argument("--library", action="append", default=[], metavar="PATH", help="take only these from --root")
    parser.add_argument("--file", action="append", default=[], metavar="SRC=DST")
    parser.add_argument("--link", action="append", default=[], metavar="PATH=TARGET")
    parser.add_argument("--entrypoint", default="")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--user", default="")
    return parser.parse_args()


def main() -> None:
    """Write the archive: one layer, a configuration, a manifest."""
    args = parse()
    with tempfile.TemporaryDirectory(dir=args.out.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        digest = write_layer(layer, args)
        config = json.dumps({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": args.entrypoint.split(",") if args.entrypoint else None,
                "Env": [DEFAULT_PATH, *args.env],
                "User": args.user,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created_by": "testbed/image.py"}],
        }).encode()
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = json.dumps([{"Config": config_name, "RepoTags": [args.name], "Layers": ["layer.tar"]}]).encode()
        with tarfile.open(args.out, "w") as tar:
            tar.add(layer, arcname="layer.tar")
            for member, data in ((config_name, config), ("manifest.json", manifest)):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()
