"""When a problem of a pod is believed, and what its container said before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import PREFIX
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

MOST_CHARACTERS = 300

PATIENCE_S = 8.0
"""An image pull is retried after some 10 s, and may then work."""

UNSCHEDULABLE_PATIENCE_S = 30.0
"""A node may still be joining."""


class Patience:
    """Remembers since when each problem stands."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without problems; ``clock`` tells seconds."""
        self._clock = clock
        self._since: dict[pods.Problem, float] = {}

    def staying(self, problems: Iterable[pods.Problem]) -> pods.Problem | None:
        """Take in all that is wrong now; return a problem that has stood for too long, the first by its words."""
        now = self._clock()
        self._since = {problem: self._since.get(problem, now) for problem in problems}
        return next((problem for problem, since in sorted(self._since.items()) if now - since >= _limit(problem)), None)


def _limit(problem: pods.Problem) -> float:
    return UNSCHEDULABLE_PATIENCE_S if problem.unscheduled else PATIENCE_S


def last_words(kubectl: Kubectl, found: Iterable[pods.Pod]) -> str:
    """Return the last line of the container among ``found`` that has a problem, as ``; it said: …``, or nothing.

    An error of the lab's own programs is preferred to what they said after it.
    """
    for pod in found:
        container = pods.culprit(pod)
        if container:
            lines = _lines(kubectl, pods.name(pod), container)
            chosen = next((line for line in reversed(lines) if PREFIX in line), lines[-1] if lines else "")
            text = chosen.rpartition(PREFIX)[2][:MOST_CHARACTERS]
            return f"; it said: {text}" if text else ""
    return ""


def _lines(kubectl: Kubectl, pod: str, container: str) -> list[str]:
    for previous in ("false", "true"):
        try:
            done = kubectl.attempt("logs", pod, f"--container={container}", "--tail=20", f"--previous={previous}")
        except ProgramError:
            return []
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        if done.code == 0 and lines:
            return lines
    return []
