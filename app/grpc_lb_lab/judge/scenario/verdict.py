"""The verdict on a scenario: the class at the end, the share of every ready replica, and the failed calls.

All three must be as expected for a pass. The rules of ``verdict`` that make a run ``invalid`` hold here too, except
that replicas may come and go; instead, every planned event must have been carried out and have come to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from grpc_lb_lab.judge import cause
from grpc_lb_lab.judge.classes import classify, fits, too_small
from grpc_lb_lab.judge.scenario import cause as scenario_cause
from grpc_lb_lab.judge.scenario import presence
from grpc_lb_lab.judge.scenario.figures import FAULTS, Check
from grpc_lb_lab.judge.scenario.tail import tail_sample
from grpc_lb_lab.judge.text import count, listing, number, seconds
from grpc_lb_lab.judge.verdict import BALANCED, Verdict, shortfall
from grpc_lb_lab.model.verdict import CLASSES

if TYPE_CHECKING:
    from grpc_lb_lab.judge.classes import Sample
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.judge.path import PathProof
    from grpc_lb_lab.judge.reconciliation import Reconciliation
    from grpc_lb_lab.judge.scenario.figures import ScenarioReport
    from grpc_lb_lab.judge.scenario.presence import Presence
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.scenario import Expectation, ScenarioPlan
    from grpc_lb_lab.model.verdict import DistributionClass, Status

NEVER = "not within the run"


def judge_scenario(
    facts: Facts,
    plan: Plan,
    course: ScenarioPlan,
    path: PathProof,
    reconciliation: Reconciliation,
    figures: ScenarioReport,
) -> tuple[Verdict, list[Check]]:
    """The verdict and what it was made from."""
    present = presence.presences(facts)
    sample = tail_sample(facts, present, figures.tail, plan.strategy)
    expected: DistributionClass | Literal[""] = course.expect.observed if course.expect else ""
    observed = classify(sample, expected)
    checks = compare(figures, course.expect, observed)
    missed = [check for check in checks if not check.met]
    invalid = _invalid(facts, plan, course, path, reconciliation, figures, present, sample)
    # What was met in spite of it was met; what was missed may be the client's doing.
    invalid = invalid or (_stalled(facts, figures) if missed else "")
    story = scenario_cause.explain(facts, plan, course, figures)
    status: Status = "pass"
    if facts.requests and not facts.ok:
        status, sentence = "fail" if expected else "observed", f"{cause.failed_words(facts)}."
    elif invalid:
        status, sentence = "invalid", invalid
    elif missed:
        status, sentence = "fail", f"{' '.join(_missed(check) for check in missed)} {story}"
    else:
        status, sentence = "pass" if expected else "observed", story
    verdict = Verdict(
        status=status,
        expected=expected,
        observed=observed,
        balanced=status != "invalid" and observed in BALANCED,
        cause=sentence,
        fits=[name for name in CLASSES if fits(sample, name)],
    )
    return verdict, checks


def compare(figures: ScenarioReport, expect: Expectation | None, observed: DistributionClass) -> list[Check]:
    """What was expected beside what happened; ``–`` where nothing was."""
    if expect is None:
        happened = {"class": observed, "share": _share_observed(figures), "errors": _errors_observed(figures)}
        return [Check(what, "–", words, True) for what, words in happened.items()]
    return [
        Check("class", expect.observed, observed, expect.observed == observed),
        Check("share", _share_expected(expect), _share_observed(figures), _share_met(figures, expect)),
        Check("errors", _errors_expected(expect), _errors_observed(figures), _errors_met(figures, expect)),
    ]


def _share_expected(expect: Expectation) -> str:
    words = {"never": NEVER, "any": "at any time or never", "within": f"within {seconds(expect.share_s)}"}
    return words[expect.share]


def _share_observed(figures: ScenarioReport) -> str:
    if not figures.share_told:
        return "too few calls to tell"
    return NEVER if figures.share_returned_s is None else f"after {seconds(figures.share_returned_s)}"


def _share_met(figures: ScenarioReport, expect: Expectation) -> bool:
    returned = figures.share_returned_s
    if expect.share == "never":
        return returned is None
    return expect.share == "any" or (returned is not None and returned <= expect.share_s)


def _errors_expected(expect: Expectation) -> str:
    words = {"none": "none", "some": "some", "any": "any", "within": f"for at most {seconds(expect.errors_s)}"}
    return words[expect.errors]


def _errors_observed(figures: ScenarioReport) -> str:
    errors = figures.errors
    return f"{count(errors.failed, 'call')} in {seconds(errors.window_s)}" if errors.failed else "none"


def _errors_met(figures: ScenarioReport, expect: Expectation) -> bool:
    errors = figures.errors
    met = {
        "none": not errors.failed,
        "some": errors.failed > 0,
        "any": True,
        "within": errors.window_s <= expect.errors_s,
    }
    return met[expect.errors]


def _missed(check: Check) -> str:
    names = {"class": "Calls at the end", "share": "Every share back", "errors": "Failed calls"}
    return f"{names[check.what]}: expected {check.expected}, observed {check.observed}."


def _invalid(
    facts: Facts,
    plan: Plan,
    course: ScenarioPlan,
    path: PathProof,
    reconciliation: Reconciliation,
    figures: ScenarioReport,
    present: list[Presence],
    sample: Sample,
) -> str:
    """Why the run cannot be judged; empty when it can."""
    if not facts.requests:
        return "No call was made, so there is nothing to judge."
    if not facts.replicas:
        return "No replica is known, so there is nothing to judge."
    problem = shortfall(facts, plan) or _undone(facts, course) or _unfinished(figures, course, present)
    if problem:
        return problem
    if not path.proven:
        return f"The path under test was not proven, so the counts say nothing about it: {path.reason}."
    strangers = [replica for replica in facts.replicas if not replica.known]
    unexplained = [one.label for one in strangers if not any(presence.concerns(event, one) for event in facts.events)]
    if unexplained:
        return cause.strangers(unexplained)
    if not reconciliation.explained:
        return f"The counts do not add up: {reconciliation.detail}."
    if course.expect is None:
        return ""
    if not figures.share_told and course.expect.share != "any":
        return f"Too few calls to tell the share of a replica: a window of {seconds(figures.window_s)} is not enough."
    needed = too_small(sample, course.expect.observed)
    return cause.small(sample, course.expect.observed, needed) if needed and sample.calls else ""


def _stalled(facts: Facts, figures: ScenarioReport) -> str:
    """The client itself stood still for a window, so that windows without calls say nothing of the replicas."""
    late_s = facts.lag.get_max_value() / 1e6 if facts.lag.get_total_count() else 0.0
    if late_s < figures.window_s:
        return ""
    return (
        f"The client itself stood still: calls began up to {seconds(late_s)} after they were due, so what was missed "
        "may be this machine's doing. Run it again with less beside it."
    )


def _undone(facts: Facts, course: ScenarioPlan) -> str:
    """Planned events that were not carried out."""
    done, planned = len(presence.commands(facts)), len(course.events)
    if done >= planned:
        return ""
    return f"Only {number(done)} of {count(planned, 'planned event')} happened while the load ran."


def _unfinished(figures: ScenarioReport, course: ScenarioPlan, present: list[Presence]) -> str:
    """Replicas that should be there at the end and are not, and those that should have left."""
    if any(event.do in FAULTS for event in course.events):
        return ""  # a hung replica is unready, and that is the scenario
    end = max((last for one in present for _, last in one.spans), default=0.0)
    # A moment earlier: the figure is rounded, and a replica leaves within a fraction of a millisecond.
    before = [one for one in present if one.ready_at(max(0.0, figures.first_event_s - 0.005))]
    ready = [one for one in present if one.ready_at(end)]
    stayed = [one.label for one in before if one in ready]
    if stayed and any(event.do in ("restart", "replace") for event in course.events):
        return f"The replicas were not all replaced within the run: {listing(stayed)} stayed."
    wanted = len(before) + sum(event.by for event in course.events if event.do == "scale")
    if len(ready) != wanted:
        had = f"{number(len(ready))} of {count(wanted, 'replica')} that should be there at the end"
        return f"The events did not come to their end within the run: {had} were ready."
    return ""
