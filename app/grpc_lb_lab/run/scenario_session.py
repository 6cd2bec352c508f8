"""What happens beside the clients of one load, the same in every place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.run.scenario_runner import ScenarioRunner

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.run.client_reports import ClientReports
    from grpc_lb_lab.run.injector import FaultInjector
    from grpc_lb_lab.run.place import Place


class ScenarioSession:
    """The events of one load: ``prepare``, ``begin``, ``check`` as often as wanted, ``close``."""

    def __init__(
        self, plan: Plan, course: ScenarioPlan, injector: FaultInjector, place: Place, reports: ClientReports
    ) -> None:
        """Nothing happens yet."""
        self._plan, self._course, self._injector, self._place = plan, course, injector, place
        duration_s = plan.load.duration_s or 0.0
        self._runner = ScenarioRunner(course, duration_s, injector, place.note, reports.calls)
        self._task: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Do what must be done before the first measured call. Raises ``LabError``."""
        await self._injector.prepare(self._course)
        await self._runner.prepare()

    def begin(self) -> None:
        """Carry out the events at their times, counted from the first measured call."""
        self._task = asyncio.create_task(self._play())

    def check(self, through: bool = False) -> None:
        """Raise the ``LabError`` of an event that went wrong; ``through``: also when one is not over yet."""
        if self._task is None:
            return
        if self._task.done():
            self._task.result()
        elif through:
            missing = self._injector.missing()
            words = f"scenario {self._plan.scenario}: its events were not over when the load ended"
            raise LabError(f"{words}: {missing}" if missing else words)

    async def close(self) -> None:
        """End what is under way and take faults back: the next load shall find the replicas well."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._injector.close()

    async def _play(self) -> None:
        await self._runner.run(await self._place.first_call())
