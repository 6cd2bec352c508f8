"""A scenario's events on Kubernetes: what kubectl can do is done by it, faults by the servers themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.pb.echo.v1 import echo_pb2
from grpc_lb_lab.places.kubernetes.faults import FaultLines
from grpc_lb_lab.places.kubernetes.namespace import DIGEST
from grpc_lb_lab.places.kubernetes.problems import Patience

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl
    from grpc_lb_lab.places.kubernetes.replica_watcher import ReplicaWatcher

DEPLOYMENT = "echo"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# Events for which a server itself is asked.
FAULTS = frozenset({"kill", "stop", "slow", "fail"})
LOOK_S = 0.1
# How long events may take: nodes pull nothing and have room, so a pod is ready within some 5 s, and leaves within 10.
SETTLE_S = 60.0
SETTLE_EACH_S = 10.0
BY_FORCE = ("--force", "--grace-period=0")


def asks_servers(course: ScenarioPlan) -> bool:
    """Tell whether a server itself is asked for something, which needs a line to it."""
    return bool(course.base_delay_ms) or any(event.do in FAULTS for event in course.events)


class KubernetesInjector:
    """``run.injector.FaultInjector`` on the servers' Deployment. ``close`` it: it holds port-forwards."""

    def __init__(self, kubectl: Kubectl, watcher: ReplicaWatcher, port: int, replicas: int) -> None:
        """``watcher`` knows the pods, of which there are ``replicas``; ``port`` is that of the servers."""
        self._kubectl, self._watcher = kubectl, watcher
        self._lines = FaultLines(kubectl, port)
        self._replicas = replicas
        self._leaving: set[str] = set()
        # Pod to when its fault ends by itself, and whether a question can end it before.
        self._faulty: dict[str, tuple[float, bool]] = {}

    async def prepare(self, course: ScenarioPlan) -> None:
        """Open a line to each server that a fault may be asked of."""
        if asks_servers(course):
            await asyncio.to_thread(self._lines.open, [replica.pod for replica in self._watcher.current()])

    async def close(self) -> None:
        """Take back the faults that would reach into the next run, and close all lines.

        A stopped server cannot be asked; its pod is replaced.
        """
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        left = {pod: can for pod, (ends, can) in self._faulty.items() if ends > time.monotonic()}
        try:
            for pod, can in left.items():
                if can:
                    with contextlib.suppress(LabError):  # it is gone, or its fault ends by itself
                        self._lines.ask(pod, echo_pb2.FaultRequest())
                else:
                    self._kubectl.attempt("delete", "pod", pod, *BY_FORCE, "--wait=false", "--ignore-not-found")
        finally:
            self._lines.close()

    async def replicas(self) -> list[Replica]:
        """The pods that are wanted now, oldest first."""
        return self._watcher.current()

    async def scale(self, replicas: int) -> None:
        """Want this many. Kubernetes lets the younger ones leave first, and any of those of about the same age."""
        await self._patch({"replicas": replicas})
        self._replicas = replicas

    async def restart(self) -> None:
        """``kubectl rollout restart``, one by one: a new pod is ready before an old one leaves."""
        await self._roll_out(surge=1)

    async def replace(self) -> None:
        """The same with all new pods at once."""
        await self._roll_out(surge="100%")

    async def delete(self, pod: str) -> None:
        """``kubectl delete pod``: preStop, SIGTERM, grace; the Deployment makes another."""
        self._leaving.add(pod)
        await self._run("delete", "pod", pod, "--wait=false")

    async def kill(self, pod: str) -> None:
        """The server sends itself SIGKILL; then the pod is removed, or it would be the same one that restarts."""
        self._leaving.add(pod)
        await self._ask(pod, echo_pb2.FaultRequest(crash=True))
        await self._run("delete", "pod", pod, *BY_FORCE, "--wait=false")

    async def stop(self, pod: str, for_s: float) -> None:
        """The server sends itself SIGSTOP."""
        await self._ask(pod, echo_pb2.FaultRequest(stop_ms=_ms(for_s)))
        self._faulty[pod] = (time.monotonic() + for_s, False)

    async def slow(self, pod: str, delay_ms: int, for_s: float) -> None:
        """The server waits before each answer."""
        await self._ask(pod, echo_pb2.FaultRequest(delay_ms=delay_ms, for_ms=_ms(for_s)))
        self._faulty[pod] = (time.monotonic() + for_s, True)

    async def fail(self, pod: str, code: str, for_s: float) -> None:
        """The server answers with a status code."""
        await self._ask(pod, echo_pb2.FaultRequest(fail_code=code, for_ms=_ms(for_s)))
        self._faulty[pod] = (time.monotonic() + for_s, True)

    async def settled(self) -> None:
        """Wait until as many pods as wanted are ready and all that shall leave were told to.

        A pod with a fault counts as ready: the readiness probe of a stopped one fails. Raises ``LabError`` for a pod
        with a problem that does not go away, and after a minute and 10 s a replica.
        """
        limit_s = SETTLE_S + SETTLE_EACH_S * self._replicas
        patience, began = Patience(), time.monotonic()
        while not self._is_settled():
            if staying := patience.staying(self._watcher.problems()):
                raise LabError(f"the replicas do not get ready: {staying}")
            if time.monotonic() - began > limit_s:
                raise LabError(f"not over {limit_s:.0f} s after the last event: {self.missing()}")
            await asyncio.sleep(LOOK_S)

    def missing(self) -> str:
        """Say what `settled` waits for."""
        current = self._watcher.current()
        left = sorted(self._leaving & {replica.pod for replica in current})
        words = [f"{sum(replica.ready for replica in current)} of {self._replicas} replicas are ready"]
        words += [f"{', '.join(left)} should have left"] if left else []
        return ", ".join([*words, *map(str, sorted(self._watcher.problems()))])

    def _is_settled(self) -> bool:
        current = self._watcher.current()
        healthy = all(replica.ready or replica.pod in self._faulty for replica in current)
        return len(current) == self._replicas and healthy and not self._leaving & {item.pod for item in current}

    async def _roll_out(self, surge: int | str) -> None:
        self._leaving |= {replica.pod for replica in self._watcher.current()}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}}
        await self._patch({"strategy": rolling, "template": {"metadata": {"annotations": {RESTARTED: now}}}})

    async def _patch(self, spec: dict[str, Any]) -> None:
        """Change the Deployment, and note that it is none any more that the next run may keep."""
        patch = {"metadata": {"annotations": {DIGEST: "changed by a scenario"}}, "spec": spec}
        await self._run("patch", "deployment", DEPLOYMENT, "--type=merge", f"--patch={json.dumps(patch)}")

    async def _run(self, *words: str) -> None:
        await asyncio.to_thread(self._kubectl.run, *words)

    async def _ask(self, pod: str, request: echo_pb2.FaultRequest) -> None:
        await asyncio.to_thread(self._lines.ask, pod, request)


def _ms(seconds: float) -> int:
    if seconds <= 0:
        raise LabError(f"a fault must last longer than {seconds:g} s")
    return round(seconds * 1000)
