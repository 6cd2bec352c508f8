"""The one interface for a load; each place has its own in a module of this name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.run.injector import FaultInjector


class Clients(Protocol):
    """The clients of one load, wherever they run. What they tell goes to the run's ``ClientReports``."""

    async def start(self) -> None:
        """Have all of them. Raises ``LabError``."""

    async def look(self) -> bool:
        """Wait a moment for news, at most some tenths of a second, and take it in.

        True when all have ended well and their results are there. Raises ``LabError`` for what breaks the load: a
        client, or anything that its calls pass, that ended in the middle; time that ran out.
        """

    async def end(self) -> None:
        """End those that still run, however far ``start`` came; what they measured until then stays."""


class Place(Protocol):
    """Where one load runs: on this machine or in a namespace of a cluster, for the length of that load.

    The runner calls each method at most once and in this order. ``inventory``, ``collect`` and ``reset`` come also
    after something broke, wherever that was. All raise ``LabError``.
    """

    @property
    def cluster(self) -> str:
        """What the report calls it: ``local``, or the name of a provider of clusters."""

    async def up(self) -> None:
        """Tell the feed who is ready and what happens from now on; have what clients and servers need beside them."""

    async def injector(self) -> FaultInjector:
        """Return what carries a scenario's events out; only asked where something happens."""

    def clients(self) -> Clients:
        """Return the clients of this load; none of them is started yet."""

    async def first_call(self) -> float:
        """Wait for the first measured call and return when it was: seconds since the epoch, by this machine's clock."""

    def note(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        """Note that something happened now, to this replica if to one."""

    async def inventory(self) -> None:
        """Write down who took part and what happened to them."""

    async def collect(self) -> None:
        """Keep the logs."""

    async def reset(self) -> None:
        """End what ``up`` started. The next load finds the place as this one did."""
