"""The one interface for a scenario's events; each place has its own in a module of this name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.model.scenario import ScenarioPlan


class FaultInjector(Protocol):
    """Carries a scenario's events out. A method orders its event and returns; it waits for no effect.

    Effects (ready, ended, endpoints changed) are told by the world as ``Event`` when they happen. All raise
    ``LabError`` when the event cannot be ordered. ``for_s``: seconds until a fault reverts by itself, at most
    ``FAULT_MOST_S``.
    """

    async def prepare(self, course: ScenarioPlan) -> None:
        """Open what its events need, so that they happen at their time."""

    async def replicas(self) -> list[Replica]:
        """The replicas that count now, oldest first."""

    async def scale(self, replicas: int) -> None:
        """Want this many replicas; the youngest leave first."""

    async def restart(self) -> None:
        """Replace the replicas one by one, a new one before an old one leaves: a rollout."""

    async def replace(self) -> None:
        """Replace all replicas within seconds: the whole new set first, then the whole old one leaves."""

    async def delete(self, pod: str) -> None:
        """Let one replica leave with grace; another takes its place."""

    async def kill(self, pod: str) -> None:
        """End one replica's process with SIGKILL; another replica with another address takes its place."""

    async def stop(self, pod: str, for_s: float) -> None:
        """Stop one replica's process (SIGSTOP): its connections stay open, nothing answers."""

    async def slow(self, pod: str, delay_ms: int, for_s: float) -> None:
        """Let one replica wait before each answer."""

    async def fail(self, pod: str, code: str, for_s: float) -> None:
        """Let one replica answer each call with a gRPC status code."""

    async def settled(self) -> None:
        """Wait until what was ordered has happened: as many replicas as wanted are ready, and no others are left over.

        Raises ``LabError`` saying what is missing when that takes longer than this injector's limit.
        """

    def missing(self) -> str:
        """Say what ``settled`` waits for; empty where only it can tell."""

    async def close(self) -> None:
        """Take back the faults that replicas still have; whatever cannot be taken back ends by itself."""
