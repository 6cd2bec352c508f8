"""What a run does, step by step, in a place that only writes down: also when something breaks at any step."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.scenario import PlannedEvent, ScenarioPlan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.run.client_reports import ClientReports
from grpc_lb_lab.run.feed import LiveFeed
from grpc_lb_lab.run.runner import LoadRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grpc_lb_lab.model.inventory import Replica

END = ["end", "inventory", "collect", "reset"]
ALL = ["up", "clients", "start", "look", "look", *END]
SCENARIO_END = ["end", "inventory", "collect", "heal", "reset"]


class Paper:
    """Place, clients and injector in one; ``broken`` are steps that cannot be made."""

    cluster = "paper"

    def __init__(self, reports: ClientReports, broken: tuple[str, ...] = (), looks: int = 2) -> None:
        self.steps: list[str] = []
        self._reports, self._broken, self._looks = reports, broken, looks
        self.looked = asyncio.Event()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self._broken:
            raise LabError(f"{name} is broken")

    async def up(self) -> None:
        self._step("up")

    async def injector(self) -> Paper:
        self._step("injector")
        return self

    def clients(self) -> Paper:
        self._step("clients")
        return self

    async def start(self) -> None:
        self._step("start")

    async def look(self) -> bool:
        self._step("look")
        self.looked.set()
        await asyncio.sleep(0)
        return self.steps.count("look") >= self._looks

    async def end(self) -> None:
        self._step("end")

    async def first_call(self) -> float:
        return 0.0

    def note(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        self._step(f"{kind}: {detail}")

    async def inventory(self) -> None:
        self._step("inventory")

    async def collect(self) -> None:
        self._step("collect")

    async def reset(self) -> None:
        self._step("reset")

    async def prepare(self, course: ScenarioPlan) -> None:
        self._step(f"prepare {course.name}")

    async def replicas(self) -> list[Replica]:
        return []

    async def scale(self, replicas: int) -> None:
        self._step(f"scale to {replicas}")

    async def settled(self) -> None:
        if "settled" in self._broken:
            await asyncio.sleep(60)

    def missing(self) -> str:
        return "1 of 2 replicas is ready"

    async def close(self) -> None:
        self._step("heal")


COURSE = ScenarioPlan("grow", "T", "S", 0.0, [PlannedEvent(0.0, "scale", by=2)], None)


def play(
    folder: Path,
    *broken: str,
    course: ScenarioPlan | None = None,
    check: Callable[[], None] = lambda: None,
    looks: int = 2,
    cancel: str = "",
) -> tuple[list[str], str]:
    """Run a load on paper; returns its steps, and the error that it ended with or ``well``."""
    plan = Plan("r1", "grow" if course else "steady", Strategy(), Load(), {}, course=course)

    async def scenario() -> tuple[list[str], str]:
        feed = LiveFeed(folder / live_feed.FILE)
        reports = ClientReports(feed)
        place = Paper(reports, broken, looks)
        running = asyncio.create_task(LoadRunner(plan, place, reports, feed, lambda _: None, check).run())  # type: ignore[arg-type]
        if cancel:
            await place.looked.wait()
            running.cancel(cancel)
        try:
            await running
        except LabError as error:
            return place.steps, str(error)
        except asyncio.CancelledError:
            return place.steps, "cancelled"
        return place.steps, "well"

    return asyncio.run(scenario())


def problem(folder: Path) -> str:
    return str(json.loads((folder / live_feed.FILE).read_text().splitlines()[-1])["problem"])


def test_a_run_from_its_first_step_to_the_last(tmp_path: Path) -> None:
    assert play(tmp_path) == (ALL, "well")
    assert problem(tmp_path) == ""


@pytest.mark.parametrize("broken", ["up", "start", "look"])
def test_whatever_breaks_what_was_begun_is_ended_and_what_there_is_is_kept(tmp_path: Path, broken: str) -> None:
    steps, error = play(tmp_path, broken)
    begun = ALL[: ALL.index(broken) + 1]
    assert steps == [*begun, *(END if "clients" in begun else END[1:])]
    assert error == problem(tmp_path) == f"{broken} is broken"


@pytest.mark.parametrize("broken", END)
def test_the_steps_of_the_end_are_all_made_and_the_first_error_is_told(tmp_path: Path, broken: str) -> None:
    assert play(tmp_path, broken) == (ALL, f"{broken} is broken")
    assert play(tmp_path, "look", broken) == (["up", "clients", "start", "look", *END], "look is broken")


def test_a_load_that_is_cancelled_is_wound_up_and_says_why(tmp_path: Path) -> None:
    steps, error = play(tmp_path, looks=10**9, cancel="nobody waits")
    assert (steps[-len(END) :], error) == (END, "cancelled")
    assert problem(tmp_path) == "the load was ended before it had finished: nobody waits"


def test_whoever_may_end_the_load_is_asked(tmp_path: Path) -> None:
    def gone() -> None:
        raise LabError("the playbook ended")

    steps, error = play(tmp_path, check=gone, looks=10**9)
    assert (steps, error) == (["up", "clients", "start", "look", *END], "the playbook ended")


def test_a_scenario_is_prepared_before_the_clients_and_taken_back_after_the_inventory(tmp_path: Path) -> None:
    steps, error = play(tmp_path, course=COURSE, looks=20)
    assert error == "well"
    assert [step for step in steps if step != "look"] == [
        *("up", "injector", "prepare grow", "clients", "start", "command: scale 0 → 2 replicas", "scale to 2"),
        *SCENARIO_END,
    ]


def test_an_event_that_cannot_be_carried_out_ends_the_load(tmp_path: Path) -> None:
    steps, error = play(tmp_path, "scale to 2", course=COURSE, looks=10**9)
    assert error == "scenario grow, scale at 0.0 s: scale to 2 is broken"
    assert steps[-len(SCENARIO_END) :] == SCENARIO_END


def test_events_must_be_over_when_the_load_ends(tmp_path: Path) -> None:
    steps, error = play(tmp_path, "settled", course=COURSE, looks=20)
    assert error == "scenario grow: its events were not over when the load ended: 1 of 2 replicas is ready"
    assert steps[-len(SCENARIO_END) :] == SCENARIO_END


def test_a_feed_that_nobody_can_write_costs_the_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert play(tmp_path / "file", course=COURSE, looks=20)[1] == "well"
