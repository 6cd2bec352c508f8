"""Watches the servers while a load runs: which pods come, get ready and go, and when the EndpointSlices say so."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.inventory import Event, Replica
from grpc_lb_lab.places.kubernetes import pods, rollout
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError, end, watch_event

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
    from grpc_lb_lab.places.kubernetes.pods import Problem

# The name whose addresses every client that knows of endpoints goes by; the Service's own change in the same moment.
SERVICE = "echo-headless"
SLICES = f"{rollout.RELEASE},kubernetes.io/service-name={SERVICE}"
AGAIN_S = 0.5
CONTAINER = "server"


class ReplicaWatcher:
    """Follows the servers' pods and endpoints from ``start`` to ``close``, thread safe.

    ``tell`` gets each event when the API server tells of it: the times are this machine's, later than what happened by
    some 10 ms. ``ready`` gets the names of the ready pods whenever they change.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        present: Iterable[pods.Pod],
        *,
        tell: Callable[[Event], None] = lambda _: None,
        ready: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        """``present``: the pods that are there now, of which nothing is told until they change."""
        self._kubectl = kubectl
        self._tell, self._ready = tell, ready
        self._lock = threading.RLock()
        self._pods = {_uid(pod): pod for pod in present}
        self._gone: set[str] = set()
        self._slices: dict[str, dict[str, Any]] = {}
        self._endpoints = set[str]()
        self._events: list[Event] = []
        self._watches: dict[str, subprocess.Popen[str]] = {}
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to watch. Raises ``LabError`` when the cluster does not answer."""
        for item in self._kubectl.items("endpointslices", f"--selector={SLICES}"):
            self._slices[item["metadata"]["uid"]] = item
        self._endpoints = rollout.endpoints(list(self._slices.values()), SERVICE)
        for what, selector, take in (
            ("pods", rollout.SELECTOR, self.see_pod),
            ("endpointslices", SLICES, self.see_slice),
        ):
            threading.Thread(target=self._watch, args=(what, selector, take), daemon=True).start()

    def close(self) -> None:
        """Watch no longer; what was seen stays."""
        self._closed.set()
        with self._lock:
            watches, self._watches = self._watches, {}
        for process in watches.values():
            end(process)

    @property
    def events(self) -> list[Event]:
        """What happened so far, in the order in which it was seen."""
        with self._lock:
            return list(self._events)

    def everyone(self) -> list[Replica]:
        """All pods that there were, also those that are gone, by name; ``ready`` as it is now."""
        with self._lock:
            found = [pods.replica(pod) for pod in self._pods.values()]
            gone = set(self._gone)
        known = (Replica(item.pod, item.uid, item.ip, item.ready and item.uid not in gone, item.node) for item in found)
        return sorted(known, key=lambda item: item.pod)

    def current(self) -> list[Replica]:
        """The pods that are wanted now, ready or not yet, oldest first."""
        return [pods.replica(pod) for pod in sorted(self._wanted(), key=_age)]

    def problems(self) -> set[Problem]:
        """Why wanted pods will not do their work."""
        return {problem for pod in self._wanted() if (problem := pods.problem(pod))}

    def _wanted(self) -> list[pods.Pod]:
        with self._lock:
            return [
                pod
                for uid, pod in self._pods.items()
                if uid not in self._gone and not pods.is_leaving(pod) and not _is_over(pod)
            ]

    def see_pod(self, kind: str, pod: pods.Pod) -> None:
        """Take in one event of the watch on pods: ADDED, MODIFIED or DELETED."""
        with self._lock:
            uid, ready = _uid(pod), self._ready_names()
            before, now = self._pods.get(uid), _State.of(pod)
            if before is None and now.leaving:  # of the run before
                self._gone.add(uid)
            if uid in self._gone:
                return
            was = _State.of(before) if before else _State()
            if kind == "DELETED":  # one that goes at once was never about to go
                was = replace(was, leaving=True)
            self._pods[uid] = pod = _with_address(pod, before)
            for name in _changes(was, now):
                self._note(name, pods.replica(pod))
            if kind == "DELETED":
                self._gone.add(uid)
                if now.running:  # removed by force: nobody waited for it to end
                    self._note("replica-ended", pods.replica(pod))
            if self._ready_names() != ready:
                self._ready(self._ready_names())

    def catch_up(self, found: Iterable[pods.Pod]) -> None:
        """Take in all pods that there are now, of which the watch may not have told yet."""
        now = {_uid(pod): pod for pod in found}
        with self._lock:
            lost = [pod for uid, pod in self._pods.items() if uid not in now and uid not in self._gone]
        for pod in now.values():
            self.see_pod("MODIFIED", pod)
        for pod in lost:
            self.see_pod("DELETED", pod)

    def see_slice(self, kind: str, item: dict[str, Any]) -> None:
        """Take in one event of the watch on EndpointSlices."""
        with self._lock:
            self._slices[item["metadata"]["uid"]] = item
            if kind == "DELETED":
                del self._slices[item["metadata"]["uid"]]
            addresses = rollout.endpoints(list(self._slices.values()), SERVICE)
            if addresses != self._endpoints:
                self._endpoints = addresses
                self.add(Event(time.time(), "endpoints", ",".join(sorted(addresses))))

    def _ready_names(self) -> list[str]:
        return sorted(pods.name(pod) for uid, pod in self._pods.items() if uid not in self._gone and pods.is_ready(pod))

    def _note(self, kind: str, replica: Replica) -> None:
        node = f" on node {replica.node}" if replica.node else ""
        self.add(Event(time.time(), kind, f"pod {replica.pod}{node}", replica.pod, replica.uid, replica.ip))

    def add(self, event: Event) -> None:
        """Note something that happened elsewhere."""
        with self._lock:
            self._events.append(event)
            self._tell(event)

    def _watch(self, what: str, selector: str, take: Callable[[str, dict[str, Any]], None]) -> None:
        """Read kubectl's watch events; an API server ends every watch after a while, so ask again."""
        while not self._closed.is_set():
            try:
                process = self._kubectl.watch(what, selector)
            except (OSError, ProgramError):
                return
            with self._lock:
                self._watches[what] = process
            assert process.stdout
            for line in process.stdout:
                if self._closed.is_set():
                    break
                take(*watch_event(line))
            if not self._closed.wait(AGAIN_S):
                end(process)


@dataclass(frozen=True)
class _State:
    """What of a pod's state makes events. ``ends``: how often its server has ended."""

    running: bool = False
    ready: bool = False
    leaving: bool = False
    ends: int = 0

    @classmethod
    def of(cls, pod: pods.Pod) -> _State:
        server = next((item for item in pods.statuses(pod) if item["name"] == CONTAINER), {})
        state = server.get("state", {})
        ends = int(server.get("restartCount", 0)) + ("terminated" in state)
        return cls("running" in state, pods.is_ready(pod), pods.is_leaving(pod), ends)


def _changes(was: _State, now: _State) -> list[str]:
    """Return the kinds of events between two states of one pod, in the order in which they happen."""
    kinds = ["replica-terminating"] if now.leaving and not was.leaving else []
    if was.ready and not now.ready and not now.leaving:
        kinds.append("replica-unready")
    if now.ends > was.ends:
        kinds.append("replica-ended")
    if now.running and (not was.running or now.ends > was.ends):
        kinds.append("replica-started")
    if now.ready and not was.ready:
        kinds.append("replica-ready")
    return kinds


def _uid(pod: pods.Pod) -> str:
    return str(pod["metadata"]["uid"])


def _with_address(pod: pods.Pod, before: pods.Pod | None) -> pods.Pod:
    """The pod with the address that it had: the last status of one that has ended may come without."""
    address = pods.replica(before).ip if before else ""
    if pods.replica(pod).ip or not address:
        return pod
    return {**pod, "status": {**pod.get("status", {}), "podIP": address}}


def _age(pod: pods.Pod) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp", "")), pods.name(pod)


def _is_over(pod: pods.Pod) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
