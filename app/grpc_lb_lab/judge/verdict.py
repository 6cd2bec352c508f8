"""The verdict: pass, fail or invalid, with its cause in a sentence.

``invalid`` comes first: a run that measured something else, lost calls or is too small says nothing about balancing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from grpc_lb_lab.judge import cause, disturbance
from grpc_lb_lab.judge.classes import classify, fits, is_even_by_chance, sample_of, too_small
from grpc_lb_lab.judge.disturbance import disturbances
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.verdict import CLASSES, DistributionClass, Status

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.judge.path import PathProof
    from grpc_lb_lab.judge.reconciliation import Reconciliation
    from grpc_lb_lab.model.plan import Plan

BALANCED: tuple[DistributionClass, ...] = ("even", "weighted")

DURATION_TOLERANCE = 0.1
"""A run may end this much (share of the duration asked for) early: the last call ends before the clock does."""

RATE_TOLERANCE = 0.05
"""An open loop must have offered all but this share of the calls that its rate asks for."""


@dataclass(frozen=True)
class Verdict:
    """``balanced`` is only true where it was shown: never for an invalid run. ``fits``: every class the data fits.

    ``expected`` is empty where nothing was expected; the status is then ``observed``, or ``invalid``.
    """

    status: Status
    expected: DistributionClass | Literal[""]
    observed: DistributionClass
    balanced: bool
    cause: str
    fits: list[DistributionClass]


def judge(facts: Facts, plan: Plan, path: PathProof, reconciliation: Reconciliation) -> Verdict:
    """Judge a run; one of which nothing is expected is only described. Raises ``UsageError`` for an unknown class."""
    expected = expected_class(plan)
    sample = sample_of(facts, plan.strategy)
    observed = classify(sample, expected)
    invalid = _invalid(facts, plan, path, reconciliation, expected)
    failing = _failing(facts, plan, judged=bool(expected))
    story = cause.explain(facts, plan, sample, observed)
    status: Status = "pass"
    if facts.requests and not facts.ok:
        # Nothing was answered: no path to prove, the error code is the news.
        status, sentence = "fail" if expected else "observed", failing
    elif invalid:
        status, sentence = "invalid", invalid
    elif not expected:
        status, sentence = "observed", f"{failing} {story}".strip()
    elif failing:
        status, sentence = "fail", failing
    elif observed != expected:
        near = expected == "even" and observed == "skewed" and is_even_by_chance(sample)
        status, sentence = "fail", cause.not_exact(sample) if near else story
    else:
        sentence = story
    happened = disturbances(facts)
    if happened and status != "pass":
        # It was no steady load, so what went wrong in it says nothing of the strategy.
        status = "invalid" if facts.ok and expected else status
        sentence = f"{disturbance.sentence(happened)} {sentence}"
    return Verdict(
        status=status,
        expected=expected,
        observed=observed,
        balanced=status != "invalid" and observed in BALANCED,
        cause=sentence,
        fits=[name for name in CLASSES if fits(sample, name)],
    )


def expected_class(plan: Plan) -> DistributionClass | Literal[""]:
    """What the strategy file expects of the scenario; empty when it says nothing of it."""
    expected = plan.strategy.expect.get(plan.scenario)
    if expected is None:
        return ""
    if expected not in CLASSES:
        raise UsageError(f"the strategy expects {expected!r}, which is no class")
    return cast("DistributionClass", expected)


def _invalid(
    facts: Facts, plan: Plan, path: PathProof, reconciliation: Reconciliation, expected: DistributionClass | Literal[""]
) -> str:
    """Why the run cannot be judged; empty when it can."""
    sample = sample_of(facts, plan.strategy)
    if not facts.requests:
        return "No call was made, so there is nothing to judge."
    if not facts.replicas:
        return "No replica is known, so there is nothing to judge."
    short = shortfall(facts, plan)
    if short:
        return short
    if not path.proven:
        return f"The path under test was not proven, so the counts say nothing about it: {path.reason}."
    strangers = [replica.label for replica in facts.replicas if not replica.known]
    if strangers and not facts.disturbed:
        return cause.strangers(strangers)
    if not reconciliation.explained:
        return f"The counts do not add up: {reconciliation.detail}."
    if expected and (needed := too_small(sample, expected)):
        return cause.small(sample, expected, needed)
    return ""


def _failing(facts: Facts, plan: Plan, *, judged: bool) -> str:
    """Failed calls, where the scenario allows none or nothing is ``judged``."""
    if not facts.failed or plan.scenario != "steady":
        return ""
    return cause.failed_calls(facts, plan.scenario) if judged else f"{cause.failed_words(facts)}."


def shortfall(facts: Facts, plan: Plan) -> str:
    """What was asked for and not done, as a sentence; empty when all of it was done."""
    load = plan.load
    wanted = plan.strategy.replicas or load.replicas
    known = sum(1 for replica in facts.replicas if replica.known)
    if known < wanted and not facts.disturbed:
        return f"Only {known:,} of the {wanted:,} replicas asked for are in the inventory: one is missing or hidden."
    if facts.clients < load.clients:
        return f"Only {facts.clients:,} of {load.clients:,} clients reported, so calls are missing from the counts."
    if load.requests is not None and facts.requests < load.requests:
        return f"Only {facts.requests:,} of the {load.requests:,} calls asked for were made: the load ended early."
    if load.duration_s is None:
        return ""
    if facts.duration_s < load.duration_s * (1 - DURATION_TOLERANCE):
        return f"The load ran for {facts.duration_s:.1f} s instead of {load.duration_s:g} s: it ended early."
    asked = round((load.rate_rps or 0) * load.duration_s)
    if facts.requests < asked * (1 - RATE_TOLERANCE):
        return f"Only {facts.requests:,} of {asked:,} calls were offered: the clients could not keep the rate."
    return ""
