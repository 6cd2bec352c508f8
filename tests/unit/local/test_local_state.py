"""The state folder: locks that tell the living from the dead, and a clean-up that touches nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local.state import StateFolder, tail

if TYPE_CHECKING:
    from pathlib import Path


def test_only_one_holds_the_lock_and_its_end_frees_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "lab")
    state.create()
    first = state.take_lock()
    assert first is not None
    assert state.take_lock() is None
    os.close(first)
    second = state.take_lock()
    assert second is not None
    os.close(second)


def test_the_processes_lock_lives_as_long_as_any_process_that_inherited_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "lab")
    state.create()
    lock = state.take_processes(0)
    assert lock is not None
    inherited = os.dup(lock)
    os.close(lock)
    assert state.take_processes(0.05) is None
    os.close(inherited)
    free = state.take_processes(0)
    assert free is not None
    os.close(free)


def test_the_owner_is_noted_for_people(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.create()
    lock = state.take_lock()
    assert lock is not None
    state.write_owner(lock, {"pid": 123456789})
    state.write_owner(lock, {"pid": 1})
    assert json.loads((tmp_path / "lock").read_text()) == {"pid": 1}
    os.close(lock)


def test_a_deleted_or_replaced_folder_is_not_ours_any_more(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "lab")
    state.create()
    lock = state.take_lock()
    assert lock is not None
    assert state.still_ours(lock)
    state.remove()
    assert not state.still_ours(lock)
    state.create()
    assert not state.still_ours(lock)
    os.close(lock)


def test_removing_leaves_what_others_put_there(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    state = StateFolder(folder)
    state.create()
    (state.logs / "echo.log").write_text("x")
    (folder / "thesis.txt").write_text("mine")
    assert state.remove()
    assert sorted(path.name for path in folder.iterdir()) == [".grpc-lb-lab", "thesis.txt"]
    assert not state.remove(), "nothing of a lab is left"
    state.create()
    (folder / "thesis.txt").unlink()
    assert state.remove()
    assert not folder.exists()


def test_removing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert not StateFolder(tmp_path / "never").remove()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"state folder .*/file/lab cannot be written: Not a directory"):
        StateFolder(tmp_path / "file" / "lab").create()


def test_the_tail_of_a_log_fits_into_one_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\n\n  two  \nthree\nfour\n")
    assert tail(log, 2) == "three | four"
    log.write_text("")
    assert tail(log) == "(its log is empty)"
    assert tail(tmp_path / "none.log") == "(no log)"
