"""Action ``lb_lab``: runs the lab's own program, shows its progress and returns what it says."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from importlib import import_module
from itertools import dropwhile, takewhile
from typing import IO, Any

from ansible.plugins.action import ActionBase
from ansible.utils import color
from grpc_lb_lab import forked
from grpc_lb_lab.model.errors import PREFIX
from grpc_lb_lab.model.text import printable
from grpc_lb_lab.settings.controller import elsewhere, tell

# The playbook's own process imports this file, so these are loaded once for all steps, which are forks of it.
for _name in (
    "grpc_lb_lab.places.local.commands",
    "grpc_lb_lab.places.local.session",
    "grpc_lb_lab.places.local.desired_state",
    "grpc_lb_lab.views.artifacts",
    "grpc_lb_lab.judge.build",
    "grpc_lb_lab.views.commands",
    "grpc_lb_lab.views.render.terminal",
):
    import_module(_name)

DOCUMENTATION = """
module: lb_lab
short_description: Runs the lab's own program, shows its progress and returns what it says
description:
  - What the program writes to stderr is shown while it runs; its error is told once, as the message of the task.
  - Returns the object of the program's last line, a line of JSON, with RV(ignore:changed) from it.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options:
  argv:
    type: list
    elements: str
    required: true
    description: The arguments of C(lb-lab).
  watch:
    type: bool
    default: false
    description: Whether the program ends with the playbook, also when that is killed.
  report:
    type: bool
    default: false
    description: Whether what the program prints is the report, which is shown at the end of the run.
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Stop the local lab
  lb_lab:
    argv: [local, down, --state=.lab/local]

- name: Judge the result
  lb_lab:
    argv: [report, --plan, plan.json, --results, results, --output, .]
    report: true
"""

RETURN = """
rc:
  description: The exit code of the program.
  returned: always
  type: int
lab_report:
  description: The report, as text.
  returned: with O(report)
  type: str
lab_verdict:
  description: C(fail) or C(invalid).
  returned: with O(report), when the verdict is one of them
  type: str
"""

OPTIONS = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "watch": {"type": "bool", "default": False},
    "report": {"type": "bool", "default": False},
}
VERDICTS = {1: "fail", 3: "invalid"}


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the program to its end; a failure is one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        _, args = self.validate_argument_spec(OPTIONS)
        # The worker's parent is the playbook itself.
        argv = [*args["argv"], *(["--watch-pid", str(os.getppid())] if args["watch"] else [])]
        if argv[0] in ("report", "summary"):
            argv += [
                "--color",
                "always" if color.ANSIBLE_COLOR else "never",
                "--width",
                str(max(80, self._display.columns + 1)),
                "--drawer",
                str(os.getppid()),
            ]
        code, out, err = self._call(argv)
        result["rc"] = code
        if args["report"]:
            result |= {"changed": False, "lab_report": out}
            if code in VERDICTS:
                return result | {
                    "failed": True,
                    "lab_verdict": VERDICTS[code],
                    "msg": f"the verdict is {VERDICTS[code]}",
                }
        if code:
            return result | {"failed": True, "msg": _explain(argv, code, err), "stderr_lines": err}
        return result if args["report"] else result | _last_object(out)

    def _call(self, argv: list[str]) -> tuple[int, str, list[str]]:
        """Run the program and pass on each line of its stderr. Returns exit code, stdout and the lines of stderr."""
        try:
            process = forked.start(argv)
        except OSError as error:
            return 4, "", [f"{PREFIX}no further process can be started: {error.strerror}"]
        out: list[str] = []
        err: list[str] = []
        said: queue.Queue[tuple[list[str], str]] = queue.Queue()
        # Threads, because a process that the program leaves running could hold the pipes open after its end.
        readers = [
            threading.Thread(target=_pass_on, args=(stream, kept, said), daemon=True)
            for stream, kept in ((process.stdout, out), (process.stderr, err))
        ]
        # Python acts on signals in its main thread only, so the readers must not be the ones who get Ansible's.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        for reader in readers:
            reader.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        code, still_open = None, len(readers)
        while still_open and code is None:
            still_open -= self._tell(said, err, wait_s=0.05)
            code = process.poll()
        code = process.wait() if code is None else code
        for reader in readers:
            reader.join(timeout=2)
        while not said.empty():
            self._tell(said, err, wait_s=0)
        # Python ends a bug with 1, which is a verdict's exit code.
        crashed = code in VERDICTS and any(line.startswith("Traceback ") for line in err)
        return 4 if crashed else code, "".join(out), err

    def _tell(self, said: queue.Queue[tuple[list[str], str]], err: list[str], wait_s: float) -> bool:
        """Keep the next line and show it when it is progress; wait for it at most ``wait_s`` seconds.

        Returns whether that was the end of one of the streams instead.

        The error itself is told once, at the end, and tracebacks are kept for ``-v``. Only the main thread tells, since
        a thread that is ended while it holds Ansible's queue would leave the playbook waiting for ever.
        """
        try:
            kept, line = said.get(timeout=wait_s) if wait_s else said.get_nowait()
        except queue.Empty:
            return False
        if not line:
            return True
        kept.append(line)
        if kept is not err:
            return False
        line = kept[-1] = printable(line.rstrip("\n"))
        broken = any(entry.startswith(("Traceback ", PREFIX)) for entry in err)
        if not broken and line.strip():
            tell(self._display, f"    {line.rstrip()}")
        return False


def _pass_on(stream: IO[str], kept: list[str], said: queue.Queue[tuple[list[str], str]]) -> None:
    with stream:
        for line in stream:
            said.put((kept, line))


def _explain(argv: list[str], code: int, err: list[str]) -> str:
    """Return the program's own message, or for a bug its last words."""
    said = list(dropwhile(lambda line: not line.startswith(PREFIX), err))
    if said:  # the error is the last thing that the program says, on one line or more
        return "\n".join(line.removeprefix(PREFIX) for line in said)
    ended = f"was ended by signal {-code}" if code < 0 else f"broke with exit code {code}"
    last = next((line.strip() for line in reversed(err) if line.strip()), "it said nothing")
    command = " ".join(takewhile(lambda word: not word.startswith("-"), argv))
    return f"lb-lab {command} {ended}: {last} (-v shows all of it)"


def _last_object(out: str) -> dict[str, Any]:
    lines = out.strip().splitlines()
    try:
        data = json.loads(lines[-1]) if lines else {}
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return {"failed": True, "msg": f"lb-lab ended with a line that is no JSON object: {lines[-1][:200]}"}
    return {"changed": bool(data.get("changed", False))} | data
