"""Whether the process that something is for still lives: no dead one, no zombie, no later one of the same number."""

from __future__ import annotations

import os
import subprocess
import sys

from grpc_lb_lab.own.owner import Owner


def test_a_process_lives_until_it_ends():
    assert Owner.of(os.getpid()).lives
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        owner = Owner.of(child.pid)
        assert owner.lives
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not owner.lives, "its parent has not noticed its end yet, and it has ended all the same"
    assert not owner.lives
    assert not Owner.of(child.pid).lives


def test_another_process_of_the_same_number_is_not_the_owner():
    me = Owner.of(os.getpid())
    assert not Owner(me.pid, str(int(me.started) + 1)).lives


def test_an_owner_that_cannot_be_seen_from_here_is_taken_for_alive():
    assert Owner.of(0).lives
