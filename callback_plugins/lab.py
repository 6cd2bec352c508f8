"""What a playbook prints: one line a step with its time, then the recap, the report and, when it failed, why.

With ``-v`` it is Ansible's own output, followed by the report.
"""

from __future__ import annotations

import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

try:
    from grpc_lb_lab.model.text import printable
except ImportError:  # another ansible-playbook than the one of .venv, which gets no further than to say so

    def printable(text: str) -> str:
        """Change nothing: no text of anybody else is shown."""
        return text


if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
    name: lab
    type: stdout
    short_description: Short output with the lab's report at the end
    description:
        - One line a step, each error once, the report last.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
    requirements:
      - set as stdout in configuration
"""

EXAMPLES = """
# In ansible.cfg; with -v it is Ansible's own output.
stdout_callback = lab
"""

# Steps that only arrange other steps; they show up when they fail.
SILENT = {"include_role", "import_role", "include_tasks", "import_tasks", "set_fact", "meta", "assert", "fail", "debug"}
SILENT |= {"validate_argument_spec", "include_vars", "lab_cell"}

WORTH_TELLING_S = 0.1


class CallbackModule(DefaultCallback):
    """Prints for people; everything that ``-v`` asks for is left to Ansible's default."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lab"

    def __init__(self) -> None:
        """Start with nothing to tell."""
        super().__init__()
        self._started = 0.0
        self._errors: list[str] = []
        self._report = ""

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity)

    # --- steps

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Print the play's name."""
        if self._verbose:
            super().v2_playbook_on_play_start(play)
            return
        self._play = play
        self._display.display(play.get_name().strip(), color=constants.COLOR_HIGHLIGHT)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Print the step's name."""
        self._started = time.monotonic()
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
        elif not _silent(task):
            self._display.display(f"  {task.name.rpartition(' | ')[2] or task.action}")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Print the handler's name like a step's."""
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Print nothing: the included steps speak for themselves."""
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Print whether something changed and how long it took."""
        self._report = str(result.result.get("lab_report") or self._report)
        if self._verbose:
            super().v2_runner_on_ok(result)
            return
        self._handle_warnings(result.result)
        if not _silent(result.task):
            changed = bool(result.result.get("changed"))
            self._finish("changed" if changed else "ok", constants.COLOR_CHANGED if changed else constants.COLOR_OK)
        elif result.task.action.endswith("debug") and "msg" in result.result:
            self._display.display(textwrap.indent(str(result.result["msg"]), "  "))

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Print that the step was not needed."""
        if self._verbose:
            super().v2_runner_on_skipped(result)
        elif not _silent(result.task):
            self._finish("skipped", constants.COLOR_SKIP)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Keep the message for the end."""
        told = "lab_verdict" in result.result  # the report says it, and why
        self._report = str(result.result.get("lab_report") or self._report)
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._handle_warnings(result.result)
        if not ignore_errors and not told and not (result.task.loop and self._errors):
            self._keep(result)
        self._finish(
            "ignored" if ignore_errors else "failed", constants.COLOR_SKIP if ignore_errors else constants.COLOR_ERROR
        )

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Keep the message for the end."""
        if self._verbose:
            super().v2_runner_on_unreachable(result)
            return
        self._keep(result)
        self._finish("unreachable", constants.COLOR_UNREACHABLE)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Print nothing: the step sums its items up."""
        if self._verbose:
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        """Print nothing: the step sums its items up."""
        if self._verbose:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep the message for the end."""
        if self._verbose:
            super().v2_runner_item_on_failed(result)
            return
        self._keep(result)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Print nothing: waiting is no news."""
        if self._verbose:
            super().v2_runner_retry(result)

    # --- the end

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the recap, then the report, then what went wrong: the answer is the last thing on the screen."""
        if self._verbose:
            super().v2_playbook_on_stats(stats)
        failed = False
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            failed = failed or bool(counts["failures"] or counts["unreachable"])
            counts["failed"] = counts.pop("failures")
            if not self._verbose:
                words = ("ok", "changed", "unreachable", "failed", "skipped")
                self._display.display(f"{host} : " + " ".join(f"{word}={counts[word]}" for word in words))
        if self._report:
            self._display.display("\n" + self._report.strip("\n"))
        if failed:
            for message in dict.fromkeys(self._errors):
                self._display.display(_error(message, self._display.columns), color=constants.COLOR_ERROR, stderr=True)

    def _finish(self, word: str, color: str) -> None:
        seconds = time.monotonic() - self._started
        if word != "ok" or seconds >= WORTH_TELLING_S:
            self._display.display(f"    {word} in {seconds:.1f} s", color=color)

    def _keep(self, result: CallbackTaskResult) -> None:
        data = result.result
        message = str(data.get("msg") or data.get("exception") or "no message").strip()
        # Ansible's own modules for programs only say "non-zero return code"; what the program said is the news.
        said = str(data.get("stderr") or "").strip()
        self._errors.append(f"{message}: {said.splitlines()[-1]}" if said and "return code" in message else message)


def _silent(task: Any) -> bool:
    return task.action.rpartition(".")[2] in SILENT


def _error(message: str, columns: int | None) -> str:
    """Return the message below the word ``error``; wrapped on a terminal. Nothing in it can act on that."""
    head, indent = "error: ", " " * 7
    lines = [printable(line) for line in message.splitlines()] or [""]
    if sys.stderr.isatty() and columns:
        lines = [part for line in lines for part in textwrap.wrap(line, columns - 7, subsequent_indent="  ")]
    return "\n".join((indent if number else head) + line for number, line in enumerate(lines))
