"""One client, whole: open channels, warm up, make the load, collect what others counted."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import uvloop

from grpc_lb_lab.load import call_schedule, metrics_offer, pacing, start_barrier, warmup
from grpc_lb_lab.load.background import Beside
from grpc_lb_lab.load.channels import modes
from grpc_lb_lab.load.channels.connections import ConnectionLog
from grpc_lb_lab.load.live import LiveWriter
from grpc_lb_lab.load.load import Load, Stop
from grpc_lb_lab.load.own_proxy import OwnProxy
from grpc_lb_lab.load.probes import registry
from grpc_lb_lab.load.record.recorder import Recorder
from grpc_lb_lab.load.record.result import measured
from grpc_lb_lab.model.result import ClientResult
from grpc_lb_lab.observe import names, processes, shared_proxies, stats
from grpc_lb_lab.pb.echo.v1 import echo_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.load.exporter import Exporter
    from grpc_lb_lab.load.pacing import Pace
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import ProxyStats, ServerStats

PAYLOAD_BYTES = 32


@dataclass(frozen=True)
class Outcome:
    """A finished run. ``interrupted``: a signal ended it early."""

    result: ClientResult
    interrupted: bool


def run_client(plan: Plan, index: int, together: Path | None = None, live: str = "", metrics: str = "") -> Outcome:
    """Run client ``index`` of ``plan`` in this process, from the first connection to the last count.

    In the folder ``together`` the plan's clients wait for one another before they measure. ``live``: the file of the
    live feed, ``-`` for stderr, empty for none. ``metrics`` is where Prometheus may ask (``ADDRESS:PORT``), empty:
    nowhere.
    SIGTERM and SIGINT end the load early; what was measured until then is the result. Raises ``LabError`` for a plan
    that names no known channel mode or target.
    """
    modes.mode_of(plan)
    modes.target_address(plan)
    return uvloop.run(_run(plan, index, together, live, metrics))


async def _run(plan: Plan, index: int, together: Path | None, live: str, metrics: str) -> Outcome:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.now, f"stopped by {number.name}")
    result = await Client(plan, index, stop, together, live, metrics).run()
    return Outcome(result, interrupted=stop.reason.startswith("stopped by SIG"))


class Client:
    """One run of one client. ``run`` once."""

    def __init__(
        self, plan: Plan, index: int, stop: Stop, together: Path | None = None, live: str = "", metrics: str = ""
    ) -> None:
        """Prepare client ``index`` of ``plan``; needs a running event loop only in ``run``."""
        self._plan = plan
        self._index = index
        self._stop = stop
        self._together = together
        self._live = LiveWriter(live, index, plan.load.clients) if live else None
        self._metrics = metrics
        self._exporter: Exporter | None = None
        self._notes: list[str] = []
        self._proxy_stats = ""
        self._own_proxy = OwnProxy(plan)
        payload = random.Random(f"{plan.load.seed}/{index}").randbytes(PAYLOAD_BYTES)
        self._request = echo_pb2.EchoRequest(payload=payload).SerializeToString()

    async def run(self) -> ClientResult:
        """Warm up, measure, collect."""
        first = await shared_proxies.read_all(self._plan)
        opened = modes.open_channels(self._plan)
        try:
            await asyncio.gather(*(entry.start() for entry in opened))
            self._exporter = metrics_offer.offer(self._metrics, opened, self._plan, self._index, self._notes)
            warmed = await self._warm_up(opened)
            resolved = await self._resolve()
            before = await self._own_proxy.counters()
            log = ConnectionLog(opened)
            log.sample()
            await self._meet()
            result = await self._measure(opened, log)
            if self._probing:
                await registry.wait_for_others(self._plan, self._stop.is_set)
            servers, proxy = await self._collect(before)
            shared, notes = shared_proxies.compare(first, await shared_proxies.read_all(self._plan))
            self._notes += notes
            result = replace(result, servers=servers, probes={**_facts(opened), **await self._own_proxy.mesh()})
            if self._probing:
                found = await registry.run_probes(self._plan, opened[0], result, self._stop.is_set)
                result = replace(result, probes={**result.probes, **found})
        finally:
            if self._exporter:
                await self._exporter.close(self._stop.is_set)
            await asyncio.gather(*(entry.close() for entry in opened))
        return replace(
            result,
            resolved=sorted({*resolved, *log.targets()}),
            proxies=[*proxy, *shared],
            warmup_requests=warmed.requests,
            warmup_s=round(warmed.seconds, 6),
            notes=[*warmed.notes, *self._own_proxy.notes, *self._notes],
            proxy_stats=self._proxy_stats,
        )

    async def _meet(self) -> None:
        if self._together is None:
            return
        note = await start_barrier.meet(self._together, self._index, self._plan.load.clients, self._stop.is_set)
        self._notes += [note] if note else []

    async def _warm_up(self, opened: list[LabChannel]) -> warmup.WarmUp:
        metadata = (("x-lab-run", self._plan.run), ("x-lab-phase", "warmup"))
        return await warmup.warm_up(
            opened,
            [entry.caller(call_schedule.METHOD, metadata, self._plan.load.deadline_s) for entry in opened],
            self._request,
            calls_a_round=self._plan.load.replicas if self._plan.strategy.proxies.balance else 1,
            limit_s=warmup.LIMIT_S,
            stopped=self._stop.is_set,
        )

    async def _measure(self, opened: list[LabChannel], log: ConnectionLog) -> ClientResult:
        load, pace = self._plan.load, pacing.pace_of(self._plan.load, self._index)
        lanes = call_schedule.lanes(self._plan, self._index)
        callers = [
            opened[lane.channel].caller(
                lane.method,
                (("x-lab-run", self._plan.run), *call_schedule.key_metadata(self._plan, lane.key)),
                load.deadline_s,
            )
            for lane in lanes
        ]
        # What exists by now stays: the collector need not look through it again and again during the load.
        gc.collect()
        gc.freeze()
        offset, began = time.time() - time.perf_counter(), time.perf_counter()
        recorder = Recorder(len(opened), offset, began, lanes, over_time=self._plan.course is not None)
        beside = Beside(self._plan, self._index, pace, recorder, log, self._stop, self._live)
        if self._exporter:
            self._exporter.recorder = recorder
        hops = processes.cpu_of(self._plan.processes)
        cpu = time.process_time()
        try:
            async with beside.running(began + offset):
                await Load(callers, self._request, recorder, self._stop).run(pace, load.concurrency)
        finally:
            gc.unfreeze()
        ended, cpu = time.perf_counter(), time.process_time() - cpu
        hop_cpu = processes.between(hops, processes.cpu_of(self._plan.processes))
        beside.finish(ended)
        self._note_shortfall(pace, recorder)
        result = measured(self._index, recorder, log, began + offset, ended + offset, cpu)
        return replace(result, dns_answers=beside.dns_answers, hop_cpu=hop_cpu, pauses=beside.pauses)

    def _note_shortfall(self, pace: Pace, recorder: Recorder) -> None:
        if self._stop.reason:
            wanted = "" if pace.requests is None else f" of {pace.requests}"
            self._notes.append(f"{self._stop.reason} after {recorder.requests}{wanted} calls")

    @property
    def _probing(self) -> bool:
        """Whether this client makes the strategy's probes: one does, and only after a whole load."""
        return self._index == 0 and not self._stop.is_set() and bool(self._plan.strategy.client.probes)

    async def _resolve(self) -> list[str]:
        """What the target's name means now: pick_first shows channelz only the address it took."""
        target = self._plan.strategy.client.target
        if target in ("lookaside", "xds", "mesh"):  # the name is the control plane's; the channel knows the servers'
            return []
        if target == "endpoints":
            return modes.target_address(self._plan).split(",")
        try:
            return await names.resolve(modes.target_address(self._plan), self._plan.dns)
        except OSError as error:
            self._notes.append(str(error))
            return []

    async def _collect(self, before: dict[str, int] | None) -> tuple[list[ServerStats], list[ProxyStats]]:
        after = None if before is None else await self._own_proxy.counters()
        if after is not None and self._index == 0:
            # Not earlier: what was never used is not in it. Not later: a sidecar ends with its pod.
            self._proxy_stats = await self._own_proxy.text()
        proxy = self._own_proxy.compare(before, after)
        headless = self._plan.targets.get("headless")
        if headless is None:
            self._notes.append("the servers' own counts are missing: the plan has no headless target")
        if not headless:
            return [], proxy
        servers, notes = await stats.ask_all(headless, self._plan.dns, self._plan.run)
        self._notes += notes
        return servers, proxy


def _facts(opened: list[LabChannel]) -> dict[str, dict[str, Any]]:
    """What the first channel did by itself."""
    facts = opened[0].facts()
    return {"channel": facts} if facts else {}
