"""What the lab changes in Ansible itself, for want of a way that Ansible supports. Everything of that kind is here.

Checked with ansible-core 2.21.5, which is pinned. A test compares the parts of Ansible that this file leans on with
those of that version, so a newer one is looked at before it is used.

- Ctrl-C and a ``kill`` must end a playbook whatever it is doing. Two places of Ansible's executor can be interrupted
  half way, and then the playbook waits for ever. A strategy plugin could wrap them, but strategies that are not
  Ansible's own are deprecated without a successor, and these methods are no part of their interface either.
- ``-e strategy=…`` is the lab's own variable, and Ansible warns on every run that a play has a keyword of that name.
  There is no setting for it: another spelling of the variable, ``lab_strategy``, is the only way around it.

This is a callback plugin because Ansible loads each of this folder before it starts the first worker and before it
looks at the first variable, whatever prints the output.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.queues import SimpleQueue
from typing import Any

from ansible.executor.process.worker import WorkerProcess
from ansible.executor.task_queue_manager import FinalQueue
from ansible.plugins.callback import CallbackBase
from ansible.vars import reserved

DOCUMENTATION = """
    name: lab_executor
    type: aggregate
    short_description: Lets Ctrl-C end a playbook of the lab, and the lab have a variable strategy
    description:
      - Changes three places of Ansible's executor for which there is no supported way, and prints nothing.
      - Ctrl-C and C(kill) cannot interrupt a worker that holds the lock of the queue of results, nor the start of one.
      - Ctrl-C counts also where Python would lose it.
      - The variable C(strategy) is not warned about; a play's keyword of that name is not meant by it.
    requirements:
      - ansible-core 2.21.5
"""

EXAMPLES = """
# In ansible.cfg. There is nothing to enable: Ansible loads it with the folder.
callback_plugins = callback_plugins
"""

_start = WorkerProcess.start
_tell_unraisable = sys.unraisablehook


class CallbackModule(CallbackBase):
    """Makes the changes when Ansible loads it, and is told of nothing that happens."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_executor"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Change Ansible; a second time changes nothing."""
        super().__init__(*arguments, **options)
        FinalQueue.put = put_whole
        WorkerProcess.start = start_whole
        sys.unraisablehook = raise_again
        # All other reserved names are still warned about.
        reserved._RESERVED_NAMES = frozenset(reserved._RESERVED_NAMES - {"strategy"})


def put_whole(queue: FinalQueue, thing: Any) -> None:
    """Put without being interrupted by Ctrl-C.

    Ansible ends its workers with the signal it got. One that is ended in here leaves the queue locked, and the playbook
    waits for that lock for ever.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        SimpleQueue.put(queue, thing)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def start_whole(worker: WorkerProcess) -> None:
    """Start a worker without being interrupted by Ctrl-C, which counts a moment later.

    A fork calls hooks of Python's library. An exception in one of them, and ``KeyboardInterrupt`` is one, is forgotten
    with what the hook had still to unlock, and a worker whose pid is not known yet would not be told. Blocking the
    signals would not help: the kernel gives them to another thread, and Python acts on them in this one all the same.
    """
    caught: list[int] = []
    playbook = os.getpid()

    def later(number: int, _: object) -> None:
        if os.getpid() != playbook:  # the worker, before it has handlers of its own
            os._exit(1)
        caught.append(number)

    handlers = {number: signal.signal(number, later) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _start(worker)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for caught_one in caught:
        signal.raise_signal(caught_one)


def raise_again(lost: sys.UnraisableHookArgs) -> None:
    """Have Ctrl-C again in a moment when it came where Python loses exceptions, as in a ``__del__``."""
    if lost.exc_type is KeyboardInterrupt:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        _tell_unraisable(lost)
