"""What happens beside the clients of one load on a cluster: the events of its course, and the live feed of it all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.clocks import Clocks
from grpc_lb_lab.places.kubernetes.replica_watcher import ReplicaWatcher
from grpc_lb_lab.run.progress import Progress
from grpc_lb_lab.run.scenario_runner import ScenarioRunner

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
    from grpc_lb_lab.places.kubernetes.injector import KubernetesInjector
    from grpc_lb_lab.run.feed import LiveFeed

# For client pods to start and their channels to warm up; what keeps a pod from starting is told long before.
FIRST_CALL_S = 300.0


class ScenarioSession:
    """The events of one load: ``open``, ``prepare``, ``begin``, ``check`` as often as wanted, ``close``, ``end``.

    The conductor runs on a thread of its own; all methods are for one other thread. In the scenario ``steady`` there is
    only the feed.
    """

    def __init__(self, kubectl: Kubectl, plan: Plan, servers: list[pods.Pod], feed: LiveFeed) -> None:
        """``servers`` are the pods that are there now. Nothing happens yet."""
        self.feed, self.clocks = feed, Clocks()
        self.witness = ReplicaWatcher(kubectl, servers, tell=self._tell, ready=feed.replicas)
        self._kubectl, self._plan = kubectl, plan
        self._ready = sorted(pods.name(pod) for pod in servers if pods.is_ready(pod))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stage: KubernetesInjector | None = None
        self._playing: Future[None] | None = None

    def open(self, cluster: str) -> None:
        """Begin the feed; ``cluster`` is what the report calls the place."""
        self.feed.start(live_feed.run_line(self._plan, cluster, time.time()))
        self.feed.replicas(self._ready)

    def prepare(self) -> None:
        """Do what must be done before the first measured call. Raises ``LabError``."""
        self.witness.start()
        if not self._plan.course:
            return
        # kubectl is forked off all the time, and nothing of gRPC goes on in it.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        # Here, not above: a load in which nothing happens shall not pay for loading gRPC.
        from grpc_lb_lab.places.kubernetes.injector import KubernetesInjector

        port = int(self._plan.targets["service"].rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._stage = KubernetesInjector(self._kubectl, self.witness, port, self._plan.load.replicas)
        self._stage.prepare(self._plan.course)
        self._submit(self._conductor(self._plan.course, self._stage).prepare()).result()

    def begin(self) -> None:
        """Carry out the events at their times, counted from the first measured call."""
        if self._plan.course and self._stage:
            self._playing = self._submit(self._play(self._plan.course, self._stage))

    def see_line(self, text: str) -> None:
        """Take a line of the feed that came out of a client pod's log."""
        self.feed.add_text(text)
        line = live_feed.parse(text)
        if isinstance(line, live_feed.ClientLine):
            self.clocks.see(line.at, time.time())

    def check(self, through: bool = False) -> None:
        """Raise the ``LabError`` of an event that went wrong; ``through``: also when one is not over yet."""
        if self._playing is None:
            return
        if self._playing.done():
            self._playing.result()
        elif through:
            missing = f": {self._stage.missing()}" if self._stage else ""
            raise LabError(f"scenario {self._plan.scenario}: its events were not over when the load ended{missing}")

    def close(self) -> None:
        """End what is under way, take faults back and watch no longer."""
        if self._playing:
            self._playing.cancel()
        if self._stage and self._loop:
            with contextlib.suppress(LabError):  # the error of the load is the one to tell
                self._submit(self._stage.close()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        self.witness.close()

    def end(self, problem: str) -> None:
        """End the feed; ``problem`` says what broke the load, empty when nothing did."""
        self.feed.end(problem)

    def events(self) -> list[Event]:
        """What happened, by the clients' clock."""
        return [self.clocks.as_clients_see(event) for event in self.witness.events]

    async def _play(self, course: ScenarioPlan, stage: KubernetesInjector) -> None:
        began_at = await Progress(self.feed.path).began_at(FIRST_CALL_S)
        await self._conductor(course, stage).run(began_at + self.clocks.ahead_s)

    def _conductor(self, course: ScenarioPlan, stage: KubernetesInjector) -> ScenarioRunner:
        duration_s = self._plan.load.duration_s or 0.0
        return ScenarioRunner(course, duration_s, stage, self._log, Progress(self.feed.path).calls)

    def _log(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        who = (replica.pod, replica.uid, replica.ip) if replica else ()
        self.witness.add(Event(time.time(), kind, detail, *who))

    def _tell(self, event: Event) -> None:
        self.feed.event(event.kind, event.detail, event.pod, event.at)

    def _submit(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        assert self._loop
        return asyncio.run_coroutine_threadsafe(work, self._loop)
