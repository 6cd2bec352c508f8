"""CPU time of other processes: real ones, that work, wait, end and have children."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from grpc_lb_lab.observe.processes import between, cpu_of

# Works for the seconds given, says so, then waits for its input to end.
WORK = "import sys, time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
WAIT = "print('done', flush=True)\nsys.stdin.read()\n"
PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"


@pytest.fixture
def start():
    started = []

    def begin(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        return process.pid

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_what_a_process_used_and_not_what_time_passed(start):
    busy, idle = start(WORK.format(seconds=0.3) + WAIT), start("import sys\n" + WAIT)
    before = cpu_of({"busy": busy, "idle": idle})
    time.sleep(0.1)
    found = between(before, cpu_of({"busy": busy, "idle": idle}))
    assert 0.3 <= found["busy"][0] < 1
    assert found["busy"][1] - found["busy"][0] < 0.05
    assert found["idle"][0] < 0.3


def test_children_count(start):
    """nginx: the master waits, its worker works."""
    child = WORK.format(seconds=0.3) + WAIT
    found = cpu_of({"nginx": start(PARENT.format(child=child))})
    assert len(found["nginx"]) == 2
    assert sum(found["nginx"].values()) >= 0.3


def test_one_that_ended_or_was_replaced_is_unknown(start):
    """The seconds of a worker that is gone are gone too: a difference would be too small, or negative."""
    assert cpu_of({"gone": 2**22 - 1})["gone"] == {}
    assert between({"gone": {}, "reloaded": {1: 0.1, 2: 0.2}}, {"gone": {}, "reloaded": {1: 0.1, 3: 0.0}}) == {}
    assert between({"envoy": {1: 0.1, 2: 0.2}}, {"envoy": {1: 0.2, 2: 0.3}}) == {"envoy": [0.3, 0.5]}
