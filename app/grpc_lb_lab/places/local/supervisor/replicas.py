"""The replicas: as many as wanted, each health checked, replaced when one dies. A Deployment in miniature."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.model.ports import METRICS_PORT
from grpc_lb_lab.places.local.state import tail
from grpc_lb_lab.places.local.supervisor import member as members
from grpc_lb_lab.places.local.supervisor import server_proxy
from grpc_lb_lab.places.local.supervisor.member import Member
from grpc_lb_lab.places.local.supervisor.processes import Spawner, describe_end
from grpc_lb_lab.places.local.supervisor.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grpc_lb_lab.places.local.addresses import ReplicaAddresses
    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.server_proxy import ServerProxy

GRACE_S = 30.0
"""Time between SIGTERM and SIGKILL, Kubernetes' default ``terminationGracePeriodSeconds``."""

DRAIN_S = 5.0
"""How long a replica that leaves during a scenario goes on serving, unless its strategy says otherwise: the chart's
``drain.preStopS``."""

_START_TIMEOUT_S = 15.0
_CHECK_EVERY_S = 1.0
_CHECKS_A_SECOND = 50.0
_STARTING_AT_ONCE = 8


class Replicas:
    """Keeps ``desired`` replicas running. ``published`` is called with the ready addresses whenever they change.

    ``drain_s``: a replica that leaves goes on serving for so long before its SIGTERM, while nobody is told of it any
    more, as in a pod with such a ``preStop`` hook.
    """

    def __init__(
        self,
        spawner: Spawner,
        addresses: ReplicaAddresses,
        port: int,
        logs: Path,
        events: EventLog,
        published: Callable[[tuple[str, ...]], None],
    ) -> None:
        """Nothing is started before ``scale``."""
        self.desired = 0
        self.drain_s = 0.0
        self.everyone: list[Member] = []
        self._spawner = spawner
        self._addresses = addresses
        self._port = port
        self._logs = logs
        self._events = events
        self._published = published
        self._options: dict[str, Any] = {}
        self._template = ""
        self._beside: ServerProxy | None = None
        self._settling = Settling()
        self._acting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> list[Member]:
        """Replicas that count, oldest first."""
        return [member for member in self.everyone if member.wanted]

    @property
    def ready(self) -> tuple[str, ...]:
        """Addresses of ready replicas, oldest first."""
        return tuple(member.ip for member in self.everyone if member.state == "ready")

    def set_options(self, options: dict[str, Any], beside: ServerProxy | None = None) -> None:
        """Set the server options (arguments of ``EchoConfig``) and the Envoy of replicas that start from now on."""
        self._options = options
        self._beside = beside
        template = json.dumps(options, sort_keys=True) + (beside.file if beside else "")
        self._template = hashlib.sha256(template.encode()).hexdigest()[:4]

    async def scale(self, desired: int) -> None:
        """Want this many replicas. Returns when that many are ready, and no others count.

        Raises ``LabError`` with the replica's last words when replicas die at once or do not get ready.
        """
        if desired != self.desired:
            self._events.add("scale", f"{self.desired} → {desired} replicas")
        self.desired = desired
        self._settling.fresh_start()
        await self._reconcile()
        await self.settled()

    async def replace_all(self) -> None:
        """Start a new set and end the old one, which gets no time: options changed, nobody is served in between."""
        old = self.current
        for member in old:
            self._terminate(member, grace_s=1.0)
        await self._reconcile()
        await self.settled()

    async def clear(self) -> None:
        """End every replica without grace and forget it, its address and its logs."""
        self.desired, self.drain_s = 0, 0.0
        self._settling.fresh_start()
        processes = [process for member in self.everyone for process in member.processes]
        for member in self.current:
            self._terminate(member, grace_s=0)
        await self._spawner.stop(processes, 0)
        await self._settling.until(
            lambda: all(member.state == "ended" for member in self.everyone),
            _START_TIMEOUT_S,
            "not all replicas ended",
        )
        for file in [file for member in self.everyone for file in self._logs.glob(f"{member.pod}*")]:
            file.unlink(missing_ok=True)
        self.everyone.clear()
        self._addresses.start_over()

    def discard_stopped(self) -> None:
        """End replicas that somebody stopped and never let go on; the next ``scale`` replaces them."""
        for member in self.current:
            if member.stopped:
                self._terminate(member, grace_s=0)

    async def restart(self, within_s: float = 0.0) -> None:
        """Replace one replica after the other, a new one first, as ``kubectl rollout restart`` does.

        ``within_s``: the time that the whole rollout takes at least.
        """
        self._events.add("restart", f"{len(self.current)} replicas, one by one")
        pause_s = within_s / max(1, len(self.current))
        for member in self.current:
            async with self._acting:
                await self._started(await self._start_one())
                self._terminate(member)
            await asyncio.sleep(pause_s)
        await self._reconcile()
        await self.settled()

    async def replace_at_once(self) -> None:
        """Replace all replicas within moments: the whole new set gets ready first, then the whole old one leaves."""
        old = self.current
        self._events.add("replace", f"all {len(old)} replicas")
        async with self._acting:
            fresh = [await self._start_one() for _ in old]
            for member in fresh:
                await self._started(member)
            for member in old:
                self._terminate(member)
        await self._reconcile()
        await self.settled()

    async def delete(self, pod: str) -> None:
        """Let one replica leave with grace; another takes its place. Raises ``UsageError`` for an unknown name."""
        self._terminate(self._find(pod))
        await self._reconcile()
        await self.settled()

    async def signal(self, pod: str | None, number: signal.Signals) -> Member:
        """Send a signal to the named replica, or to the oldest ready one. Raises ``UsageError`` for an unknown name."""
        member = self._find(pod)
        if number == signal.SIGSTOP or number == signal.SIGCONT:
            member.stopped = number == signal.SIGSTOP
        kind = {signal.SIGKILL: "kill", signal.SIGSTOP: "stop", signal.SIGCONT: "cont"}.get(number, number.name)
        self._events.add(kind, f"{member.pod} ({member.ip}) was sent {number.name}", member)
        for process in member.processes:
            await self._spawner.signal(process, number)
        return member

    async def settled(self) -> None:
        """Wait until exactly the desired replicas count and all are ready, but for those that somebody stopped.

        Raises ``LabError`` as ``scale`` does.
        """
        await self._settling.until(
            lambda: (
                len(self.current) == self.desired
                and all(member.state == "ready" or member.stopped for member in self.current)
            ),
            10 + 0.2 * self.desired,
            f"not all of {self.desired} replicas got ready",
            self._who_is_late,
        )

    def _who_is_late(self) -> str:
        late = [member for member in self.current if member.state != "ready"]
        return f"; {late[0].pod} ({late[0].ip}) is {late[0].state}: {tail(late[0].process.log)}" if late else ""

    async def _started(self, member: Member) -> None:
        failure = f"{member.pod} did not get ready"
        await self._settling.until(lambda: member.state != "starting", _START_TIMEOUT_S, failure, self._who_is_late)
        if member.state == "ended":
            raise LabError(f"{failure}: {tail(member.process.log)}")

    async def _reconcile(self) -> None:
        """Start what is missing, end what is too much: the youngest first."""
        async with self._acting:
            for member in self.current[self.desired :]:
                self._terminate(member)
            while len(self.current) < self.desired and not self._settling.failing:
                # A machine that starts hundreds at once makes each of them slow, and the first ones wait for the last.
                await self._settling.until(
                    lambda: sum(member.state == "starting" for member in self.current) < _STARTING_AT_ONCE,
                    _START_TIMEOUT_S,
                    f"{_STARTING_AT_ONCE} replicas did not get ready",
                    self._who_is_late,
                )
                await self._start_one()

    async def _start_one(self) -> Member:
        pod, uid = members.new_identity(self._template)
        ip = self._addresses.take()
        port = server_proxy.port_behind(self._port) if self._beside else self._port
        own = {"listen": f"{ip}:{port}", "metrics": f"{ip}:{METRICS_PORT}", "pod": pod, "uid": uid, "ip": ip}
        config = {**own, **self._options}
        env = {"POD_NAME": pod, "POD_UID": uid, "POD_IP": ip}
        process = await self._spawner.serve(pod, config, env, self._logs / f"{pod}.log")
        beside = None
        if self._beside:
            beside = await self._beside.start(self._spawner, pod, ip, self._port, self._logs)
        member = Member(pod, uid, ip, self._port, process, beside)
        self.everyone.append(member)
        self._events.add("replica-started", f"{pod} ({ip}), pid {process.pid}", member)
        self._background(self._follow(member))
        return member

    async def _follow(self, member: Member) -> None:
        """Accompany a replica to its end, and see to its replacement."""
        watching = asyncio.create_task(members.watch(member, self._readiness_changed, self._pause))
        if member.proxy:
            self._background(server_proxy.end_together(member, self._spawner, self._events))
        status = await member.process.ended
        self._background(server_proxy.end_proxy(member, self._spawner))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        unexpected = member.wanted
        early = member.ready_at is None
        member.state = "ended"
        member.ended_at = time.time()
        self._events.add("replica-ended", f"{member.pod} ({member.ip}): {describe_end(status)}", member)
        if unexpected and early:
            self._settling.died_early(f"{member.pod} ended with {describe_end(status)}: {tail(member.process.log)}")
        await self._announce()
        if unexpected:
            await asyncio.sleep(self._settling.pause_s)
            self._background(self._replace())

    async def _replace(self) -> None:
        self._settling.one_more_try()
        try:
            await self._reconcile()
        except LabError as error:
            self._events.add("replica-missing", str(error))

    def _terminate(self, member: Member, grace_s: float = GRACE_S) -> None:
        if not member.wanted:
            return
        member.state = "terminating"
        self._events.add("replica-terminating", f"{member.pod} ({member.ip})", member)
        self._background(self._announce())
        self._background(self._leave(member, grace_s))

    async def _leave(self, member: Member, grace_s: float) -> None:
        await asyncio.sleep(self.drain_s)
        await self._spawner.stop([member.process], grace_s)

    def _readiness_changed(self, member: Member, ready: bool) -> None:
        if not member.wanted:
            return
        member.state = "ready" if ready else "unready"
        if ready and member.ready_at is None:
            member.ready_at = time.time()
            self._settling.fresh_start()
        self._events.add(f"replica-{member.state}", f"{member.pod} ({member.ip})", member)
        self._background(self._announce())

    async def _announce(self) -> None:
        self._published(self.ready)
        await self._settling.announce()

    def _pause(self) -> float:
        return max(_CHECK_EVERY_S, len(self.current) / _CHECKS_A_SECOND)

    def _find(self, pod: str | None) -> Member:
        alive = [member for member in self.everyone if member.state != "ended"]
        found = [member for member in alive if pod in (None, member.pod)]
        found.sort(key=lambda member: member.state != "ready")
        if not found:
            raise UsageError(f"no replica {pod!r}; there are: {', '.join(member.pod for member in alive) or 'none'}")
        return found[0]

    def _background(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
