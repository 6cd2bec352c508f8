"""Follows the load's Job to its end and collects what every client pod measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import client_log, live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import collect, pods
from grpc_lb_lab.places.kubernetes.cluster.programs import end, watch_event
from grpc_lb_lab.places.kubernetes.pods import Problem
from grpc_lb_lab.places.kubernetes.problems import Patience, last_words

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from grpc_lb_lab.model.plan import Plan
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


def _has_started(pod: pods.Pod) -> bool:
    own = [item for item in pod.get("status", {}).get("containerStatuses", []) if item["name"] == "client"]
    return bool(own) and ("running" in own[0]["state"] or "terminated" in own[0]["state"])


class ClientPods:
    """``run.place.Clients`` as the pods of the load's Job, which Helm has made before."""

    def __init__(
        self, kubectl: Kubectl, plan: Plan, results: Path, logs: Path, on_live: Callable[[str], None], limit_s: float
    ) -> None:
        """``on_live`` gets each line of the live feed. The load ends with an error after ``limit_s`` seconds."""
        self._kubectl, self._plan, self._limit_s = kubectl, plan, limit_s
        self._results, self._logs = results, logs
        self._state = Following(plan.load.clients, on_live=on_live)
        self._news = asyncio.Queue[tuple[str, Any]]()
        self._watch: subprocess.Popen[str] | None = None
        self._log: subprocess.Popen[str] | None = None
        self._envoy: asyncio.Future[None] | None = None
        self._patience = Patience()
        self._began = self._look_at = 0.0
        self._done = False

    async def start(self) -> None:
        """Watch the pods. A client that has no pod yet gets one while they are looked at."""
        self._watch = self._kubectl.watch("pods", SELECTOR)
        self._read(self._watch, watch_event, "watch-ended")
        self._began = time.monotonic()
        self._look_at = self._began + LOOK_AT_EVENTS_S

    async def look(self) -> bool:
        """Take in what pods and logs tell.

        Raises ``LabError`` for the first pod that is lost or cannot start, a minute in which nothing moves, and when
        time is over.
        """
        try:
            return await self._look()
        except LabError as error:
            said = await asyncio.to_thread(last_words, self._kubectl, list(self._state.known.values()))
            raise LabError(f"{error}{said}") from error

    async def end(self) -> None:
        """Follow no longer. Clients that go on would disturb the next run; their logs are read before the pods go."""
        for process in (self._watch, self._log):
            if process:
                await asyncio.to_thread(end, process)
        if self._envoy:
            await asyncio.wait([self._envoy])
        if not self._done:
            await asyncio.to_thread(collect.collect, self._kubectl, self._logs)
            words = ("delete", "job", "load", "--ignore-not-found", "--wait=false", "--cascade=foreground")
            await asyncio.to_thread(self._kubectl.attempt, *words)

    async def _look(self) -> bool:
        state, now = self._state, time.monotonic()
        await self._take_news(LOOK_S)
        if state.finished:
            await self._finish()
            write_results(state, self._results, self._logs)
            self._done = True
            return True
        if len(state.known) < state.clients and now >= self._look_at:
            state.refused = await asyncio.to_thread(_refused, self._kubectl)
            self._look_at = now + LOOK_AT_EVENTS_S
        _check(state, self._patience, self._limit_s, now - self._began)
        if self._log is None and state.started:
            self._follow_logs()
        return False

    async def _take_news(self, patience_s: float) -> bool:
        """Wait a moment for news, then take all there are; False when the logs have ended."""
        logs_go_on = True
        with contextlib.suppress(TimeoutError):
            news = [await asyncio.wait_for(self._news.get(), patience_s)]
            while not self._news.empty():
                news.append(self._news.get_nowait())
            for kind, value in news:
                if kind == "line":
                    self._state.see_line(value)
                elif kind == "watch-ended":
                    raise LabError("the watch on the client pods ended: the cluster does not answer any more")
                elif kind == "logs-ended":
                    logs_go_on = False
                else:
                    self._state.see_pod(kind, value)
        return logs_go_on

    def _follow_logs(self) -> None:
        words = ["logs", "--follow", "--prefix", f"--selector={SELECTOR}", "--container=client", "--tail=-1"]
        self._log = self._kubectl.start(*words, f"--max-log-requests={self._state.clients}")
        self._read(self._log, lambda line: ("line", line.rstrip("\n")), "logs-ended")
        if self._plan.strategy.proxies.client == "envoy":
            clients = list(self._state.known.values())
            self._envoy = asyncio.ensure_future(asyncio.to_thread(collect.envoy, self._kubectl, clients, self._logs))

    def _read(self, process: subprocess.Popen[str], parse: Callable[[str], tuple[str, Any]], ended: str) -> None:
        """Bring the lines of a program that goes on here as news; at its end, the word ``ended``."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            assert process.stdout
            with contextlib.suppress(RuntimeError, ValueError):  # nobody waits any more: the loop or the pipe is closed
                for line in process.stdout:
                    loop.call_soon_threadsafe(self._news.put_nowait, parse(line))
                loop.call_soon_threadsafe(self._news.put_nowait, (ended, None))

        threading.Thread(target=read, daemon=True).start()

    async def _finish(self) -> None:
        """Read the logs to their end; ask again for the result of a client whose line did not come through."""
        state, deadline, more = self._state, time.monotonic() + LOG_LIMIT_S, self._log is not None
        while more and len(state.results) < state.clients and time.monotonic() < deadline:
            more = await self._take_news(LOOK_S)
        for name, pod in sorted(state.known.items()):
            if int(pod["metadata"]["labels"][INDEX]) not in state.results:
                text = await asyncio.to_thread(self._kubectl.run, "logs", name, "--container=client")
                for line in text.splitlines():
                    if client_log.result(line) is not None or live_feed.from_log(line) is not None:
                        state.see_line(line)
        missing = [str(index) for index in range(state.clients) if index not in state.results]
        if missing:
            raise LabError(f"no result came from client {', '.join(missing)}, though the pod ended well")


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


def write_results(following: Following, results: Path, logs: Path) -> None:
    """Write ``client-N.json`` for each client, and what they and the first one's Envoy said beside it."""
    results.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    for index, result in sorted(following.results.items()):
        if result.get("proxy_stats"):
            (logs / "envoy-stats.txt").write_text(result["proxy_stats"], encoding="utf-8")
        (results / f"client-{index}.json").write_text(json.dumps(result), encoding="utf-8")
    (logs / "clients.log").write_text("".join(f"{line}\n" for line in following.lines), encoding="utf-8")
