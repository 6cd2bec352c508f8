"""What a scenario does to the lab during the load, and what it expects of one strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grpc_lb_lab.model.verdict import DistributionClass

FAULT_MOST_S = 120
"""A replica keeps a fault for this long at most, as whoever asked for it may be dead by then."""


@dataclass(frozen=True)
class PlannedEvent:
    """One thing that a scenario does, ``at_s`` seconds after the first measured call.

    ``do``: a method of ``run.injector.FaultInjector``. ``which`` replica: ``busiest`` (most calls so far), ``first``
    (oldest), a number (``2``: the second oldest) or ``all``. ``by``: replicas more (or fewer) than now, for ``scale``.
    ``delay_ms`` and ``code`` are for ``slow`` and ``fail``. ``for_s``: how long a fault lasts; 0: to the run's end.
    """

    at_s: float
    do: str
    which: str = ""
    by: int = 0
    delay_ms: int = 0
    code: str = ""
    for_s: float = 0.0


@dataclass(frozen=True)
class Expectation:
    """What a scenario expects of one strategy.

    ``observed``: the class of the calls at the end, over the replicas that are ready then. ``share``: whether every
    ready replica gets its share again: ``never`` within the run, ``within`` ``share_s`` seconds of the first event, or
    ``any``. ``errors``: ``none``, ``some``, ``any``, or ``within``: an error window of at most ``errors_s`` seconds.
    """

    observed: DistributionClass
    share: Literal["never", "within", "any"] = "any"
    share_s: float = 0.0
    errors: Literal["none", "some", "any", "within"] = "any"
    errors_s: float = 0.0


@dataclass(frozen=True)
class ScenarioPlan:
    """A scenario as one strategy meets it: events at their drawn times, and what to expect (None: nothing).

    ``phase_s`` is when the first event happens, drawn from ``phase_from_s`` to ``phase_to_s``. A replica has its share
    when each window of ``window_s`` gives it at least ``tolerance`` of an even share (less where chance explains it).
    ``base_delay_ms``: every replica that runs when the load begins waits this long before each answer.
    """

    name: str
    title: str
    shows: str
    phase_s: float
    events: list[PlannedEvent]
    expect: Expectation | None
    window_s: float = 2.0
    tolerance: float = 0.55
    phase_from_s: float = 0.0
    phase_to_s: float = 0.0
    base_delay_ms: int = 0
