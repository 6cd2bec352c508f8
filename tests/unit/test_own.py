"""What belongs to the lab: the mark, what a version without marks left, and that all else stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.own import artifacts, marks, state

REPO = Path(__file__).resolve().parents[2]
RUN = "20261122T013000Z-envoy"


def tree(root: Path) -> dict[str, tuple[int, str | bytes]]:
    """Every entry below a folder with its kind and mode, and its content or where it points."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


def somebodys(root: Path, *names: str) -> Path:
    """Fill a folder with files of these names, in modes that tell whether they were written anew."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"my {name}\n")
        (root / name).chmod(0o640)
    return root


def older_local(folder: Path) -> Path:
    """The folder of a local lab as the version before the marks left it."""
    for name in state.LOCAL_FOLDERS:
        (folder / name).mkdir(parents=True)
    for name in ("supervisor.log", "processes", "logs/echo.log"):
        (folder / name).touch()
    (folder / "lock").write_text('{"pid": 1, "since": 1.5}\n')
    return folder


def older_run(root: Path, name: str = RUN) -> Path:
    for folder in state.LOCAL_FOLDERS[:1], ("results",):
        (root / name / "envoy" / "steady" / folder[0]).mkdir(parents=True)
    (root / name / "envoy" / "steady" / "plan.json").write_text("{}")
    (root / name / "summary.json").write_text("{}")
    return root / name


# --- the mark ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_made_and_marked_and_goes_with_its_mark(tmp_path):
    marks.claim(tmp_path / "a" / "b")
    assert marks.is_marked(tmp_path / "a" / "b")
    marks.claim(tmp_path / "a" / "b")
    assert marks.release(tmp_path / "a" / "b")
    assert tree(tmp_path) == {"a": tree(tmp_path)["a"]}


def test_an_empty_folder_is_taken_and_left_as_it_was(tmp_path):
    marks.claim(tmp_path)
    assert marks.release(tmp_path)
    assert tmp_path.is_dir()
    assert not tree(tmp_path)


def test_of_two_starts_at_once_the_one_that_made_the_folder_has_the_last_word(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    marks.claim(folder)  # another start comes before the mark of the one that made the folder
    marks.put(folder, marks._MADE)
    marks.put(folder, marks._FOUND)
    assert marks.release(folder)
    assert not folder.exists()


def test_a_mark_stays_while_anything_is_there(tmp_path):
    marks.claim(tmp_path)
    somebodys(tmp_path, "thesis.txt")
    assert not marks.release(tmp_path)
    assert marks.is_marked(tmp_path)


@pytest.mark.parametrize("made", ["files", "link", "dangling link", "file"])
def test_what_is_somebody_elses_is_refused_and_not_touched(tmp_path, made):
    folder = tmp_path / "folder"
    {
        "files": lambda: somebodys(folder, "thesis.txt"),
        "link": lambda: (tmp_path / "there").mkdir() or folder.symlink_to("there"),
        "dangling link": lambda: folder.symlink_to("nowhere"),
        "file": lambda: folder.write_text("mine"),
    }[made]()
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=rf"{folder} .*\. Allowed: a folder that is empty or can be created"):
        marks.claim(folder)
    assert tree(tmp_path) == before


def test_a_mark_that_is_a_link_or_a_folder_is_none(tmp_path):
    somebodys(tmp_path, "elsewhere", "one/.grpc-lb-lab/x")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / marks.MARK).symlink_to("../elsewhere")
    for name in ("one", "two"):
        with pytest.raises(UsageError):
            marks.claim(tmp_path / name)


def test_only_what_is_named_and_of_its_kind_is_removed_and_no_link_is_followed(tmp_path):
    folder, elsewhere = tmp_path / "lab", somebodys(tmp_path / "elsewhere", "a", "b/c")
    somebodys(folder, "logs/x", "lock", "thesis.txt", "load")
    (folder / "service").symlink_to(elsewhere)
    (folder / "logs" / "link").symlink_to(elsewhere)
    (folder / "metrics.json").symlink_to(elsewhere / "a")
    before = tree(elsewhere)
    assert marks.remove(folder, ("lock", "metrics.json", "none"), ("logs", "service", "load")) == ["logs", "lock"]
    assert tree(elsewhere) == before
    assert sorted(path.name for path in folder.iterdir()) == ["load", "metrics.json", "service", "thesis.txt"]
    with pytest.raises(LabError, match="cannot be emptied"):
        marks.remove(folder / "service", ["a"])


# --- the state folder -------------------------------------------------------------------------------------------------


def test_names_alone_make_no_folder_the_labs(tmp_path):
    names = ("local/logs/a", "local/service/b", "local/load/c", "local/lock", "local/processes", "local/supervisor.log")
    somebodys(tmp_path, *names, "live.jsonl", "kubernetes.json", "bin/kubectl", "image/x", "kind/lab/mine")
    assert state.foreign_root(tmp_path) == "holds files and does not carry the lab's mark"
    assert state.foreign_local(tmp_path / "local")
    before = tree(tmp_path)
    assert state.tidy(tmp_path) is False
    assert state.remove_all(tmp_path) == [tmp_path]
    for claim, folder in ((state.claim_root, tmp_path), (state.claim_local, tmp_path / "local")):
        with pytest.raises(UsageError):
            claim(folder)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("left", ["local", "places", "feed", "image", "kind"])
def test_what_a_version_without_marks_left_is_known(tmp_path, left):
    {
        "local": lambda: older_local(tmp_path / "local"),
        "places": lambda: (tmp_path / "kubernetes.json").write_text(
            '[{"namespace": "lab", "kubeconfig": "", "context": ""}]'
        ),
        "feed": lambda: (tmp_path / "live.jsonl").write_text('{"kind": "run", "at": 1, "run": "r", "strategy": "s"}\n'),
        "image": lambda: somebodys(tmp_path, "image/packages.sha256"),
        "kind": lambda: somebodys(tmp_path, "kind/lab/kubeconfig"),
    }[left]()
    assert not state.foreign_root(tmp_path)
    state.claim_root(tmp_path)
    assert state.remove_all(tmp_path) == []
    assert not tmp_path.exists()


def test_all_that_the_lab_put_there_goes_and_all_else_stays(tmp_path):
    state.claim_root(tmp_path)
    state.claim_local(tmp_path / "local")
    somebodys(tmp_path, *(f"local/{name}/x" for name in state.LOCAL_FOLDERS), "local/lock", "bin/kind", "image/x")
    somebodys(tmp_path, "live.jsonl", "kubernetes.json", "kind/lab/kubeconfig", "kind-logs/x", "cluster-logs/x")
    mine = ("notes.txt", "local/thesis.txt", "bin/mine", "kind/lab/mine", "kind/mine")
    somebodys(tmp_path, *mine)
    (tmp_path / "ansible").symlink_to("bin")
    state.remove_all(tmp_path)
    left = {name for name in tree(tmp_path) if not (tmp_path / name).is_dir() or (tmp_path / name).is_symlink()}
    assert left == {*mine, "ansible", marks.MARK, f"local/{marks.MARK}"}


def test_the_checkouts_own_folder_needs_no_mark(monkeypatch, tmp_path):
    monkeypatch.setattr(state, "CHECKOUT", tmp_path)
    somebodys(tmp_path / ".lab", "ansible/tmp")
    assert not state.foreign_root(tmp_path / ".lab")
    state.claim_root(tmp_path / ".lab")
    assert marks.is_marked(tmp_path / ".lab")


def test_the_folder_that_a_user_names_may_be_a_link_to_a_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to("disk")
    state.claim_root(tmp_path / "state")
    assert marks.is_marked(tmp_path / "disk")
    somebodys(tmp_path / "disk", "kind-logs/x")
    assert state.remove_all(tmp_path / "state") == []
    assert (tmp_path / "state").is_dir(), "it was there before"


def test_a_name_that_leaves_the_folder_of_clusters_removes_nothing(tmp_path):
    state.claim_root(tmp_path)
    somebodys(tmp_path, "kubeconfig", "kind/x", "kind/lab/kubeconfig")
    before = tree(tmp_path)
    for name in ("..", ".", "../kind/lab", ""):
        state.remove_cluster(tmp_path, name)
    assert tree(tmp_path) == before


# --- artifacts --------------------------------------------------------------------------------------------------------


def test_runs_go_and_what_somebody_put_beside_or_into_them_stays(tmp_path):
    marks.claim(tmp_path / RUN)
    somebodys(tmp_path, f"{RUN}/envoy/steady/logs/a", f"{RUN}/envoy/steady/report.json", f"{RUN}/index.html")
    somebodys(tmp_path, f"{RUN}/envoy/kill/repeat-2/results/a", f"{RUN}/envoy/kill/repeat-2/plan.json")
    older_run(tmp_path, "20260101T000000Z-service")
    mine = ("thesis.txt", f"{RUN}/envoy/steady/notes.md", "20250101T000000Z-tax/bill.pdf", "report/plan.json")
    somebodys(tmp_path, *mine)
    (tmp_path / "latest").symlink_to(RUN)
    (tmp_path / "link").symlink_to(older_run(tmp_path.parent / "elsewhere"))
    elsewhere = tree(tmp_path.parent / "elsewhere")
    kept = artifacts.remove_runs(tmp_path)
    assert [path.name for path in kept] == ["20250101T000000Z-tax", RUN, "link", "report", "thesis.txt"]
    files = {name for name in tree(tmp_path) if (tmp_path / name).is_file()}
    assert files == {*mine, f"{RUN}/{marks.MARK}"}
    assert tree(tmp_path.parent / "elsewhere") == elsewhere


def test_a_folder_with_nothing_but_runs_goes(tmp_path):
    older_run(tmp_path / "artifacts")
    (tmp_path / "artifacts" / "latest").symlink_to(RUN)
    assert artifacts.remove_runs(tmp_path / "artifacts") == []
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("target", "ours"), [(RUN, True), ("../" + RUN, False), ("/tmp/" + RUN, False), ("newest", False), ("", False)]
)
def test_latest_is_the_labs_only_as_a_link_to_a_run_beside_it(tmp_path, target, ours):
    if target:
        (tmp_path / "latest").symlink_to(target)
    else:
        (tmp_path / "latest").write_text("mine")
    assert (artifacts.foreign_latest(tmp_path) == "") is ours
    assert artifacts.foreign_latest(tmp_path / "none") == ""


def test_a_cell_that_is_run_again_keeps_what_somebody_put_there_and_follows_no_link(tmp_path):
    from grpc_lb_lab.settings.folders import make_cell

    cell = Path("envoy/steady")
    run = older_run(tmp_path)
    somebodys(run / cell, "notes.md")
    make_cell(run, cell)
    assert sorted(path.name for path in (run / cell).iterdir()) == ["logs", "notes.md", "results"]
    shutil.move(run / "envoy", tmp_path / "elsewhere")
    (run / "envoy").symlink_to("../elsewhere")
    before = tree(tmp_path)
    with pytest.raises(LabError, match=r"envoy is not a folder that the lab made"):
        make_cell(run, cell)
    assert tree(tmp_path) == before


# --- make clean -------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what `make clean` needs, whose .venv is broken: its Python is none."""
    root = tmp_path / "my lab"
    for name in ("scripts/clean", "scripts/clean.py", "app/grpc_lb_lab/__init__.py", "app/grpc_lb_lab/own"):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (REPO / name).is_dir() else shutil.copy)(REPO / name, target)
    for name in ("__init__.py", "errors.py"):
        (root / "app/grpc_lb_lab/model").mkdir(exist_ok=True)
        shutil.copy(REPO / "app/grpc_lb_lab/model" / name, root / "app/grpc_lb_lab/model" / name)
    for name in ("action_plugins", "callback_plugins", "tests"):
        (root / name).mkdir()
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/ansible-playbook").write_text("#!/nowhere/python\n")
    return root


def clean(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [checkout / "scripts" / "clean"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_clean_removes_what_the_lab_made_and_keeps_and_names_the_rest(checkout):
    older_run(checkout / "artifacts")
    (checkout / "artifacts/latest").symlink_to(RUN)
    mine = ("artifacts/thesis.txt", ".lab/notes.txt", "artifacts/mine/__pycache__/a.pyc")
    somebodys(checkout, *mine, ".lab/kind-logs/x", ".lab/ansible/x", ".lab/molecule/bin/kind", ".lab/test-kubernetes/x")
    older_run(checkout / ".lab/molecule-artifacts/envoy")
    before = {name: entry for name, entry in tree(checkout).items() if name in mine}
    done = clean(checkout)
    assert done.returncode == 0, done.stderr
    assert "kept, as the lab did not make it: .lab/notes.txt, artifacts/mine, artifacts/thesis.txt" in done.stdout
    kept = {name: entry for name, entry in tree(checkout).items() if name.startswith((".lab/", "artifacts/", ".venv"))}
    assert {name: entry for name, entry in kept.items() if entry[1]} == before
    assert set(kept) == {*mine, "artifacts/mine", "artifacts/mine/__pycache__"}
    again = clean(checkout)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_clean_leaves_nothing_of_its_own(checkout):
    older_run(checkout / "artifacts")
    somebodys(checkout, ".lab/ansible/x")
    assert clean(checkout).returncode == 0
    assert not [name for name in (".lab", "artifacts", ".venv") if (checkout / name).exists()]


def test_clean_names_other_labs_of_this_checkout_and_removes_nothing(checkout, tmp_path):
    somebodys(checkout, ".lab/ansible/x")
    stand_in = (
        somebodys(tmp_path / "stand-in", "grpc_lb_lab/places/local/daemon.py") / "grpc_lb_lab/places/local/daemon.py"
    )
    stand_in.write_text("import sys, time\nprint('up', flush=True)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "stand-in")}
    places = [tmp_path / "an other", checkout / ".lab/local", tmp_path / "third"]
    programs = [checkout / ".venv/bin/python"] * 2 + [tmp_path / "another checkout/.venv/bin/python"]
    labs = [
        subprocess.Popen(
            [str(program), "-P", "-m", "grpc_lb_lab.places.local.daemon", str(place), "50051", "3"],
            executable=sys.executable,
            env=environment,
            stdout=subprocess.PIPE,
        )
        for program, place in zip(programs, places, strict=True)
    ]
    try:
        for lab in labs:
            assert lab.stdout.readline() == b"up\n"
        before = tree(checkout)
        done = clean(checkout)
        assert tree(checkout) == before
    finally:
        for lab in labs:
            lab.kill()
            lab.communicate()
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith("clean: error: other labs of this checkout still run")
    escaped = str(places[0]).replace(" ", "\\ ")
    assert lines[1:] == ["  make setup", f"  .venv/bin/lb-lab local down --state {escaped}"]
