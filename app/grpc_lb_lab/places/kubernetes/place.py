"""A namespace of a cluster as the place of one load, from the installed release to the files that the report reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.files import write_text
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.plan import read_plan
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.kubernetes import gateway, inventory, outside, pods, rollout
from grpc_lb_lab.places.kubernetes.clocks import Clocks
from grpc_lb_lab.places.kubernetes.cluster.programs import say
from grpc_lb_lab.places.kubernetes.job import ClientPods
from grpc_lb_lab.places.kubernetes.outside import OutsideClients
from grpc_lb_lab.places.kubernetes.replica_watcher import ReplicaWatcher
from grpc_lb_lab.run.client_reports import ClientReports
from grpc_lb_lab.run.feed import LiveFeed
from grpc_lb_lab.run.runner import LoadRunner

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Inventory, Replica
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.strategy import Strategy
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
    from grpc_lb_lab.run.injector import FaultInjector
    from grpc_lb_lab.run.place import Clients

# For client pods to start and their channels to warm up; what keeps a pod from starting is told long before.
FIRST_CALL_S = 300.0
# In this time each client tells something new, and no event of a scenario is due so early.
NEW_LINES_S = 0.5
LOOK_S = 0.05


@dataclass(frozen=True)
class Files:
    """Where the plan is, and where what comes of it goes; ``live`` is the feed."""

    plan: Path
    results: Path
    inventory: Path
    logs: Path
    live: Path


def run(
    kubectl: Kubectl, files: Files, *, cluster: str, images: dict[str, str], limit_s: float, owner: int = 0
) -> None:
    """Follow the load (or, where the client is outside, send it), then write results and inventory.

    ``images`` are those of proxies, by kind; the report names the ones that the strategy uses. ``owner`` is the process
    that wants the load; when it ends, so does the load. Raises ``LabError`` naming what broke; what was collected until
    then stays.
    """
    owner_process = Owner.of(owner) if owner else None

    def check() -> None:
        if owner_process and not owner_process.lives:
            raise LabError("the playbook ended; so does its load")

    async def play() -> None:
        feed = LiveFeed(files.live)
        reports = ClientReports(feed)
        place = KubernetesPlace(kubectl, files, plan, feed, reports, cluster, used(images, plan.strategy), limit_s)
        await LoadRunner(plan, place, reports, feed, say, check).run()

    plan = read_plan(files.plan)
    asyncio.run(play())


class KubernetesPlace:
    """``run.place.Place`` for one load on a cluster."""

    def __init__(
        self,
        kubectl: Kubectl,
        files: Files,
        plan: Plan,
        feed: LiveFeed,
        reports: ClientReports,
        cluster: str,
        images: dict[str, str],
        limit_s: float,
    ) -> None:
        """``cluster`` is the provider's name, ``images`` those of the strategy's proxies. Looks who is there now."""
        self.cluster = cluster
        self._kubectl, self._files, self._plan, self._feed, self._reports = kubectl, files, plan, feed, reports
        self._images, self._limit_s = images, limit_s
        self._clocks = Clocks()
        self._servers = _servers(kubectl)
        self._watcher = ReplicaWatcher(kubectl, self._servers, tell=self._tell, ready=feed.replicas)
        self._taken: asyncio.Future[Inventory] | None = None
        self._way: outside.Way | None = None
        self._opened = contextlib.ExitStack()

    async def up(self) -> None:
        """Watch the servers; open the way in where the clients are outside of the cluster."""
        self._feed.replicas(sorted(pods.name(pod) for pod in self._servers if pods.is_ready(pod)))
        self._taken = asyncio.ensure_future(
            asyncio.to_thread(inventory.take, self._kubectl, self.cluster, self._servers, self._images)
        )
        await asyncio.to_thread(self._watcher.start)
        target = self._plan.strategy.client.target
        if target in OUTSIDE:
            opening = OUTSIDE[target](self._kubectl, self._plan, self._servers)
            self._way = await asyncio.to_thread(self._opened.enter_context, opening)

    async def injector(self) -> FaultInjector:
        """Return what patches the servers' Deployment and asks servers for faults."""
        # kubectl is forked off all the time, and nothing of gRPC goes on in it.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        # Here, not above: a load in which nothing happens shall not pay for loading gRPC.
        from grpc_lb_lab.places.kubernetes.injector import KubernetesInjector

        port = int(self._plan.targets["service"].rpartition(":")[2])
        return KubernetesInjector(self._kubectl, self._watcher, port, self._plan.load.replicas)

    def clients(self) -> Clients:
        """Return the clients: the pods of the load's Job, or processes of this machine."""
        if self._way:
            files, reports = self._files, self._reports
            return OutsideClients(
                self._kubectl, self._plan, self._way, files.results, files.logs, reports, self._limit_s, self._find
            )
        return ClientPods(
            self._kubectl, self._plan, self._files.results, self._files.logs, self._see_line, self._limit_s
        )

    async def first_call(self) -> float:
        """Wait for it. The client told it by the clock of its pod."""
        began_at = await self._reports.began_at(FIRST_CALL_S)
        # The first lines waited in the log until it was read; one that came at once tells whether the clocks differ.
        known_at = time.monotonic() + NEW_LINES_S
        while self._clocks.ahead_s and time.monotonic() < known_at:
            await asyncio.sleep(LOOK_S)
        return began_at + self._clocks.ahead_s

    def note(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        """Note that something happened now."""
        who = (replica.pod, replica.uid, replica.ip) if replica else ()
        self._watcher.add(Event(time.time(), kind, detail, *who))

    async def inventory(self) -> None:
        """Write down everyone who took part, and what happened by the clients' clock."""
        if self._taken is None:
            return
        before = await self._taken
        write_text(
            self._files.inventory, json.dumps(to_dict(await asyncio.to_thread(self._after, before)), indent=1) + "\n"
        )

    async def collect(self) -> None:
        """Keep what an Envoy at the edge tells; the roles keep what is in the cluster."""
        if self._way and self._way.keep:
            await asyncio.to_thread(self._way.keep, self._files.logs)

    async def reset(self) -> None:
        """Watch no longer, and close the way in."""
        await asyncio.to_thread(self._watcher.close)
        await asyncio.to_thread(self._opened.close)
        if self._plan.strategy.gateway:
            await asyncio.to_thread(gateway.close, self._kubectl)

    def _see_line(self, text: str) -> None:
        line = self._reports.see(text)
        if line:
            self._clocks.see(line.at, time.time())

    def _tell(self, event: Event) -> None:
        self._feed.event(event.kind, event.detail, event.pod, event.at)

    def _find(self) -> list[pods.Pod]:
        return _servers(self._kubectl)

    def _after(self, before: Inventory) -> Inventory:
        """Return the inventory with everyone who took part, and with what happened to them."""
        self._watcher.catch_up(self._kubectl.items("pods", f"--selector={rollout.SELECTOR}"))
        everyone = self._watcher.everyone()
        events = [self._clocks.as_clients_see(event) for event in self._watcher.events]
        if not self._plan.course:
            return replace(before, replicas=with_newcomers(before.replicas, everyone), events=events)
        return replace(before, replicas=everyone, events=events, notes=[*before.notes, *self._clocks.words()])


# How clients come in that are outside of the cluster, by client.target.
OUTSIDE = {"port-forward": outside.port_forward, "gateway": gateway.way}


def used(images: dict[str, str], strategy: Strategy) -> dict[str, str]:
    """Return the images of the proxies that a strategy has, under the programs' own names."""
    names = {"envoy": "Envoy", "nginx": "nginx", "haproxy": "HAProxy", "istio": "Istio"}
    return {names[kind]: images[kind] for kind in sorted(strategy.programs) if images.get(kind)}


def _servers(kubectl: Kubectl) -> list[pods.Pod]:
    return [pod for pod in kubectl.items("pods", f"--selector={rollout.SELECTOR}") if not pods.is_leaving(pod)]


def with_newcomers(before: list[Replica], everyone: list[Replica]) -> list[Replica]:
    """Add replicas that came during the load, so that whoever answered is known; the others as they were before it."""
    known = {item.uid for item in before}
    return [*before, *(item for item in everyone if item.uid not in known)]
