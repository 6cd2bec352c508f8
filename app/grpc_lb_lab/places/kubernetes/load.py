"""Follows the load's Job to its end and collects what every client pod measured."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import client_log, live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster.programs import end, say
from grpc_lb_lab.places.kubernetes.pods import Problem
from grpc_lb_lab.places.kubernetes.problems import Patience, last_words
from grpc_lb_lab.run.telling import Telling

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from grpc_lb_lab.model.plan import Load
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

SELECTOR = "app.kubernetes.io/instance=load,app.kubernetes.io/part-of=grpc-lb-lab"
INDEX = "batch.kubernetes.io/job-completion-index"
LOOK_S = 0.2
LOOK_AT_EVENTS_S = 2.0
# From the last pod's end to the end of its log.
LOG_LIMIT_S = 10.0
# A client that neither progresses nor ends is not believed for longer; its own calls have deadlines of seconds.
STALL_LIMIT_S = 60.0
_PREFIX = re.compile(r"^\[pod/(?P<pod>[^/]+)/[^\]]+\] ")


@dataclass
class Following:
    """What is known of a load that runs. ``results`` is keyed by client index; ``lines`` is the clients' log.

    ``on_live`` gets the lines of the live feed, which are kept nowhere else. ``refused``: why clients have no pod.
    """

    clients: int
    known: dict[str, pods.Pod] = field(default_factory=dict)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    done: dict[int, int] = field(default_factory=dict)
    refused: Problem | None = None
    alive_at: float = field(default_factory=time.monotonic)
    on_live: Callable[[str], None] = lambda _: None

    def see_pod(self, kind: str, pod: pods.Pod) -> None:
        """Take in one event of the watch: ADDED, MODIFIED or DELETED. Raises ``LabError`` when a client is lost."""
        self.alive_at = time.monotonic()
        self.known[pods.name(pod)] = pod
        if kind == "DELETED" or (pods.is_leaving(pod) and not self.succeeded(pod)):
            why = pods.problem(pod) or f"pod {pods.name(pod)} was deleted in the middle of the run"
            raise LabError(f"the load was cut short: {why}")
        if pod.get("status", {}).get("phase") == "Failed":
            raise LabError(f"the load was cut short: {pods.problem(pod) or f'pod {pods.name(pod)} failed'}")

    def see_line(self, line: str) -> None:
        """Take in one line of a client's log."""
        text = _PREFIX.sub("", line)
        told = live_feed.from_log(text)
        if told is not None:  # it comes four times a second also from a client whose calls all hang
            self.on_live(told)
            return
        self.alive_at = time.monotonic()
        result = client_log.result(text)
        if result is not None:
            self.results[int(result["index"])] = result
            return
        self.lines.append(line)
        progress = client_log.progress(text)
        if progress:
            self.done[progress.index] = progress.done

    @staticmethod
    def succeeded(pod: pods.Pod) -> bool:
        """Tell whether the client itself ended well; its proxy may still be about to stop."""
        own = [item for item in pod.get("status", {}).get("containerStatuses", []) if item["name"] == "client"]
        return bool(own) and (own[0]["state"].get("terminated") or {}).get("exitCode") == 0

    @property
    def started(self) -> bool:
        """Every client has a pod whose client container runs, or ran."""
        running = [pod for pod in self.known.values() if _has_started(pod)]
        return len(running) >= self.clients

    @property
    def finished(self) -> bool:
        """Every client has ended well."""
        return sum(self.succeeded(pod) for pod in self.known.values()) >= self.clients

    @property
    def calls(self) -> int:
        """Calls that have ended so far: what a client's result says, or the last that it told."""
        told = self.done | {index: int(result.get("requests", 0)) for index, result in self.results.items()}
        return sum(told.values())


def _has_started(pod: pods.Pod) -> bool:
    own = [item for item in pod.get("status", {}).get("containerStatuses", []) if item["name"] == "client"]
    return bool(own) and ("running" in own[0]["state"] or "terminated" in own[0]["state"])


def follow(
    kubectl: Kubectl,
    asked: Load,
    limit_s: float,
    *,
    check: Callable[[], None] = lambda: None,
    on_start: Callable[[list[pods.Pod]], None] = lambda _: None,
    on_live: Callable[[str], None] = lambda _: None,
) -> Following:
    """Watch the pods of the clients until all have ended well, and return what they said.

    ``on_start`` is called once, with the pods, when all of them run; ``on_live`` with each line of the live feed;
    ``check`` again and again, to raise ``LabError`` when the load shall end. So do the first pod that is lost or cannot
    start, a minute in which nothing moves, and ``limit_s`` seconds.
    """
    state, events = Following(asked.clients, on_live=on_live), queue.Queue[tuple[str, Any]]()
    telling = Telling(asked, say)
    watch = kubectl.start("get", "pods", f"--selector={SELECTOR}", "--watch", "--output-watch-events", "--output=json")
    threading.Thread(target=_read_objects, args=(watch, events), daemon=True).start()
    logs: subprocess.Popen[str] | None = None
    started_at, patience = time.monotonic(), Patience()
    look_at = started_at + LOOK_AT_EVENTS_S
    try:
        while not state.finished:
            _drain(events, state)
            check()
            now = time.monotonic()
            if len(state.known) < state.clients and now >= look_at:
                state.refused, look_at = _refused(kubectl), now + LOOK_AT_EVENTS_S
            _check(state, patience, limit_s, now - started_at)
            if logs is None and state.started:
                logs = _follow_logs(kubectl, asked.clients, events)
                on_start(list(state.known.values()))
            telling.see(state.calls)
        _finish(kubectl, state, events, logs)
        telling.end(state.calls)
    except LabError as error:
        raise LabError(f"{error}{last_words(kubectl, state.known.values())}") from error
    finally:
        end(watch)
        if logs:
            end(logs)
    return state


def _drain(events: queue.Queue[tuple[str, Any]], state: Following) -> None:
    """Wait a moment for an event, then take all there are."""
    try:
        kind, value = events.get(timeout=LOOK_S)
        while True:
            if kind == "line":
                state.see_line(value)
            elif kind == "watch-ended":
                raise LabError("the watch on the client pods ended: the cluster does not answer any more")
            elif kind != "logs-ended":
                state.see_pod(kind, value)
            kind, value = events.get_nowait()
    except queue.Empty:
        return


def _check(state: Following, patience: Patience, limit_s: float, elapsed_s: float) -> None:
    """Raise ``LabError`` for a problem that stays, and for time run out."""
    problems = {problem for pod in state.known.values() if (problem := pods.problem(pod))}
    problems |= {state.refused} if state.refused and len(state.known) < state.clients else set()
    if staying := patience.staying(problems):
        raise LabError(f"the load does not start: {staying}")
    if time.monotonic() - state.alive_at > STALL_LIMIT_S:
        raise LabError(f"the load hangs: no client said anything for {STALL_LIMIT_S:.0f} s{_states(state)}")
    if elapsed_s > limit_s:
        raise LabError(f"the load was not done after {limit_s:.0f} s{_states(state)}")


def _refused(kubectl: Kubectl) -> Problem | None:
    """Why the cluster made no pod for a client: only the events of the Job tell, and older Jobs had its name."""
    job = kubectl.attempt("get", "job", "load", "--output=jsonpath={.metadata.uid}")
    of_it = f"--field-selector=involvedObject.uid={job.stdout.strip()},reason=FailedCreate"
    done = kubectl.attempt("get", "events", of_it, "--output=json")
    found = json.loads(done.stdout)["items"] if job.stdout and done.code == 0 else []
    return pods.refusal("load", found[-1].get("message", "")) if found else None


def _states(state: Following) -> str:
    phases = [f"{name} {pod.get('status', {}).get('phase', 'Unknown')}" for name, pod in sorted(state.known.items())]
    return f" ({', '.join(phases[:5])}{' …' if len(phases) > 5 else ''})" if phases else " (no client pod was created)"


def _finish(kubectl: Kubectl, state: Following, events: queue.Queue[tuple[str, Any]], logs: Any) -> None:
    """Read the logs to their end; ask again for the result of a client whose line did not come through."""
    deadline = time.monotonic() + LOG_LIMIT_S
    while logs and len(state.results) < state.clients and time.monotonic() < deadline:
        try:
            kind, value = events.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if kind == "line":
            state.see_line(value)
        if kind == "logs-ended":
            break
    for name, pod in sorted(state.known.items()):
        if int(pod["metadata"]["labels"][INDEX]) not in state.results:
            for line in kubectl.run("logs", name, "--container=client").splitlines():
                if client_log.result(line) is not None:
                    state.see_line(line)
    missing = [str(index) for index in range(state.clients) if index not in state.results]
    if missing:
        raise LabError(f"no result came from client {', '.join(missing)}, though the pod ended well")


def _follow_logs(kubectl: Kubectl, clients: int, events: queue.Queue[tuple[str, Any]]) -> subprocess.Popen[str]:
    words = ["logs", "--follow", "--prefix", f"--selector={SELECTOR}", "--container=client", "--tail=-1"]
    process = kubectl.start(*words, f"--max-log-requests={clients}")

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            events.put(("line", line.rstrip("\n")))
        events.put(("logs-ended", None))

    threading.Thread(target=read, daemon=True).start()
    return process


def _read_objects(process: subprocess.Popen[str], events: queue.Queue[tuple[str, Any]]) -> None:
    """Read kubectl's watch events, one JSON object a line."""
    assert process.stdout
    for line in process.stdout:
        event = json.loads(line)
        events.put((event["type"], event["object"]))
    events.put(("watch-ended", None))


def write_results(following: Following, results: Path, logs: Path) -> None:
    """Write ``client-N.json`` for each client, and what they and the first one's Envoy said beside it."""
    results.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    for index, result in sorted(following.results.items()):
        if result.get("proxy_stats"):
            (logs / "envoy-stats.txt").write_text(result["proxy_stats"], encoding="utf-8")
        (results / f"client-{index}.json").write_text(json.dumps(result), encoding="utf-8")
    (logs / "clients.log").write_text("".join(f"{line}\n" for line in following.lines), encoding="utf-8")
