"""No green without work: a playbook that could not do all of its work says how to start it, and does not end with 0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
BOOKS = ("lab", "compare", "cluster", "reset")
FOREIGN = "[web]\nweb1\n"
OTHER_LAB = "[lab]\nweb1\n"


def start(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook in ``folder``; nothing may be made there, as ``words`` keep state and artifacts in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    return subprocess.run(
        [PLAYBOOK, *words], cwd=folder, env=kept | variables, capture_output=True, text=True, check=False, timeout=60
    )


def own(tmp_path: Path) -> list[str]:
    return ["-e", f"lab_cluster=local lab_state_dir={tmp_path}/state lab_artifacts_dir={tmp_path}/artifacts"]


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one error."""
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "[ERROR]: "))]
    assert len(errors) == 1, done.stdout + done.stderr
    return errors[0]


@pytest.mark.parametrize("book", BOOKS)
def test_from_another_folder_it_says_the_command_that_works(tmp_path, book):
    words = [f"{REPO}/playbooks/{book}.yml", *own(tmp_path), "--check"]
    done = start(tmp_path, *words)
    assert done.returncode != 0, done.stdout
    assert "does not use the lab's ansible.cfg here, but none" in told(done)
    advice = done.stderr.splitlines()[-1].strip()
    assert advice.startswith(f"ANSIBLE_CONFIG={REPO}/ansible.cfg ")
    again = subprocess.run(["sh", "-c", advice], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("book", BOOKS)
def test_another_ansible_than_the_labs_own(tmp_path, book):
    words = [f"playbooks/{book}.yml", *own(tmp_path)]
    foreign = f"import sys; sys.path.remove('{REPO}/app'); from ansible.cli.playbook import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", foreign, *words], cwd=REPO, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0, done.stdout
    assert "this ansible-playbook has no lab beside it. Run `make setup`, then " in told(done)
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_in_a_folder_that_all_can_write_to(tmp_path):
    """Ansible reads no ansible.cfg there; a checkout that is such a folder is tried with links."""
    place = tmp_path / "checkout"
    place.mkdir()
    place.chmod(0o777)
    for name in ("ansible.cfg", "playbooks", "inventory", "roles"):
        (place / name).symlink_to(REPO / name)
    done = start(place, "playbooks/lab.yml", *own(tmp_path))
    assert done.returncode != 0, done.stdout
    assert "does not use the lab's ansible.cfg" in told(done)


@pytest.mark.parametrize(
    ("inventories", "words", "problem"),
    [
        ([FOREIGN], [], "the inventory has no host in the group lab"),
        ([OTHER_LAB], [], "the inventory has web1 in the group lab"),
        ([FOREIGN, f"{REPO}/inventory/hosts.yml"], ["--limit", "web1"], "--limit web1"),
        ([], ["--limit", "nobody"], "--limit leaves us with no hosts"),
        ([], ["--tags", "nothing"], "--tags nothing"),
        ([], ["--skip-tags", "all"], "--skip-tags all"),
        ([], ["--skip-tags", "molecule-idempotence-notest"], "--skip-tags molecule-idempotence-notest"),
        ([], ["--start-at-task", "nothing"], "--start-at-task nothing"),
        ([], ["--step"], "--step"),
    ],
)
def test_a_part_of_the_work_is_refused(tmp_path, inventories, words, problem):
    (tmp_path / "place").mkdir()
    for number, text in enumerate(inventories):
        path = Path(text) if text.startswith("/") else tmp_path / f"inventory{number}"
        if path.is_relative_to(tmp_path):
            path.write_text(text)
        words = [*words, "-i", str(path)]
    done = start(REPO, "playbooks/lab.yml", *own(tmp_path / "place"), *words)
    assert done.returncode != 0, done.stdout
    assert problem in told(done)
    assert not list((tmp_path / "place").iterdir())


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize(
    "words",
    [["--limit", "nobody"], ["--limit", "localhost,nobody"], ["--tags", "nothing"], ["--start-at-task", "nothing"]],
)
def test_no_playbook_does_a_part_of_its_work(tmp_path, book, words):
    done = start(REPO, f"playbooks/{book}.yml", *own(tmp_path), *words)
    assert done.returncode != 0, done.stdout
    assert "limit leaves us with no hosts" in told(done) or f"{' '.join(words)}: a playbook of the lab" in told(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--list-tasks", "--list-tags", "--list-hosts", "--syntax-check"])
def test_what_only_lists_pretends_no_work(tmp_path, option):
    done = start(REPO, "playbooks/lab.yml", *own(tmp_path), option)
    assert (done.returncode, "localhost : ok" in done.stdout, "PASS" in done.stdout) == (0, False, False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ANSIBLE_RUN_TAGS", "nothing"), ("ANSIBLE_SKIP_TAGS", "all"), ("ANSIBLE_INVENTORY", "/dev/null")],
)
def test_the_environment_leaves_nothing_out_either(tmp_path, variable, value):
    done = start(REPO, "playbooks/lab.yml", *own(tmp_path), **{variable: value})
    assert done.returncode != 0, done.stdout
    assert "Allowed: " in told(done)


def test_what_leaves_nothing_out_is_allowed(tmp_path):
    done = start(REPO, "playbooks/lab.yml", *own(tmp_path), "--check", "--limit", "localhost", "--tags", "all")
    assert done.returncode == 0, done.stdout + done.stderr
