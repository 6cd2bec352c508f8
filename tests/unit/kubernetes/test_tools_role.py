"""The role tools downloads what is missing and refuses another checksum; the release is a local file here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[3]
PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": {"name": "tools"}, "vars": {"tools_programs": ["kind"]}}],
    }
]
PROGRAM = "#!/bin/sh\necho kind v0.33.0\n"


def archive(folder: Path, platform: str) -> Path:
    member = folder / platform / "kind"
    member.parent.mkdir()
    member.write_text(PROGRAM, encoding="utf-8")
    member.chmod(0o755)
    with tarfile.open(folder / "release.tar.gz", "w:gz") as tar:
        tar.add(member, arcname=f"{platform}/kind")
    return folder / "release.tar.gz"


def play(tmp_path: Path, release: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump(PLAYBOOK), encoding="utf-8")
    variables = {"tools_state_dir": str(tmp_path / "state"), "tools_releases": {"kind": release}}
    interpreter = {"ansible_python_interpreter": sys.executable}
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), playbook, "-e", json.dumps(variables | interpreter)],
        cwd=REPO,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def platform() -> str:
    from grpc_lb_lab.places.kubernetes.cluster.tools import platform_words

    words = platform_words()
    return f"{words['os']}-{words['arch']}"


def test_a_verified_release_is_unpacked_and_used(tmp_path: Path, platform: str) -> None:
    release = archive(tmp_path, platform)
    digest = hashlib.sha256(release.read_bytes()).hexdigest()
    done = play(tmp_path, {"url": release.as_uri(), "sha256": {platform: digest}})
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "state" / "bin" / "kind").read_text(encoding="utf-8") == PROGRAM
    again = play(tmp_path, {"url": "file:///nowhere", "sha256": {}})
    assert again.returncode == 0, again.stdout


def test_another_checksum_is_refused(tmp_path: Path, platform: str) -> None:
    release = archive(tmp_path, platform)
    done = play(tmp_path, {"url": release.as_uri(), "sha256": {platform: "0" * 64}})
    assert done.returncode != 0
    assert "checksum" in done.stdout + done.stderr
    assert not list((tmp_path / "state" / "bin").iterdir())


def test_a_platform_without_a_pin_is_told(tmp_path: Path) -> None:
    done = play(tmp_path, {"url": "file:///nowhere", "sha256": {"plan9-mips": "0" * 64}})
    assert done.returncode != 0
    assert "kind: not on the PATH, and no release is pinned for" in (done.stdout + done.stderr).replace("\n", " ")
