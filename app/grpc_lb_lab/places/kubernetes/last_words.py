"""What a container said before it went wrong, for the end of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import PREFIX
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

MOST_CHARACTERS = 300


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
