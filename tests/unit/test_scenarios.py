"""Scenario files and the variables that meet them: which course comes out, and what is refused with which words."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import yaml
from grpc_lb_lab import settings
from grpc_lb_lab.model.scenario import Expectation
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.local import programs
from grpc_lb_lab.settings import compare, names, scenarios, ways
from grpc_lb_lab.settings.ways import WAYS, way_of

REPO = Path(__file__).resolve().parents[2]
FILES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "scenarios").glob("*.yaml"))}
STRATEGIES = sorted(path.stem for path in (REPO / "strategies").glob("*.yaml"))
BUILT_IN = {name: Strategy.parse(yaml.safe_load((REPO / f"strategies/{name}.yaml").read_text())) for name in STRATEGIES}
KEY = "ignore_health_on_host_removal: true"
"""What makes an Envoy drop a replica that DNS has dropped."""


def check(**variables):
    raw = {"lab_strategy": "headless", "lab_scenario": "scale-up", "lab_cluster": "local", **variables}
    return settings.validate(raw, repo=REPO, answers=lambda _: False)


def refusal(**variables) -> str:
    with pytest.raises(settings.UsageError) as caught:
        check(**variables)
    return str(caught.value)


@pytest.fixture
def own(tmp_path):
    """A writer of scenario files; returns the variables that use the file."""

    def write(name="mine", events=None, expect=None, phase=(1, 2), load=None, **more):
        told = {"name": name, "title": "T", "shows": "S", "phase": {"from_s": phase[0], "to_s": phase[1]}}
        data = {
            "scenario": told | more,
            "load": load or {"duration_s": 6, "needs_s": 2, "rate_rps": 50},
            "events": events or [{"after_s": 0, "do": "kill", "which": "busiest"}],
            "expect": {"headless": expect or {"class": "even", "share": 3, "errors": 1}},
            "refuse": {"service": "it is not meant for it"},
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(data))
        return {"lab_scenarios_dir": str(tmp_path), "lab_scenario": name}

    return write


def test_steady_has_no_course():
    assert check(lab_scenario="steady").course is None
    assert check(lab_scenario=None).scenario == "steady"


def test_a_scenario_brings_its_load_and_its_course():
    found = check()
    told = FILES["scale-up"]
    assert found.load.requests is None
    assert found.load.duration_s == told["load"]["duration_s"]
    assert found.load.rate_rps == told["load"]["rate_rps"]
    assert found.course is not None
    assert [(event.do, event.by) for event in found.course.events] == [("scale", 2)]
    assert told["scenario"]["phase"]["from_s"] <= found.course.phase_s <= told["scenario"]["phase"]["to_s"]
    assert found.course.events[0].at_s == found.course.phase_s
    assert found.course.expect.observed == told["expect"]["dns"]["class"]
    json.dumps(found.facts())


def test_the_user_may_ask_for_another_duration_and_rate():
    load = check(lab_duration=40, lab_rate=20).load
    assert (load.duration_s, load.rate_rps) == (40, 20)


def test_the_phase_follows_the_seed_and_is_the_same_for_every_strategy():
    phases = {check(lab_seed=seed).course.phase_s for seed in range(20)}
    assert len(phases) == 20
    assert check(lab_strategy="envoy").course.phase_s == check().course.phase_s


def test_the_phases_of_repeats_are_spread_over_the_range():
    found = check(lab_seed=7)
    phases = [found.repeated(number).course.phase_s for number in range(1, 6)]
    low, high = found.course.phase_from_s, found.course.phase_to_s
    assert phases[0] == found.course.phase_s
    assert all(low <= phase <= high for phase in phases)
    ordered = sorted(phases)
    gaps = [after - before for before, after in itertools.pairwise(ordered)]
    assert min(gaps) > (high - low) / 10
    assert max(ordered) - min(ordered) > (high - low) / 2
    assert [event.at_s for event in found.repeated(3).course.events] == [found.repeated(3).course.phase_s]


def test_steady_repeats_are_alike():
    found = check(lab_scenario="steady")
    assert found.repeated(3) == found


@pytest.mark.parametrize("name", FILES)
def test_every_way_can_have_a_scenario_or_is_told_why_not(name):
    told = FILES[name]
    both = set(told["expect"]) & set(told["refuse"])
    assert (both, {*told["expect"], *told["refuse"]}) == (set(), set(WAYS))


def test_no_strategy_is_called_as_a_way():
    assert set(WAYS) & set(STRATEGIES) == set()


def test_every_way_has_a_strategy():
    assert {way_of(strategy) for strategy in BUILT_IN.values()} == set(WAYS)


def test_what_is_expected_of_every_strategy_in_every_scenario():
    """The golden table: a change of it is a change of what the lab promises, also when it comes by way of a way."""
    golden = json.loads((REPO / "tests/unit/expectations.json").read_text())
    found = {
        strategy.name: {
            name: scenarios.refusal_of(told, strategy) or scenarios.expected_of(told, strategy)
            for name, told in FILES.items()
        }
        for strategy in BUILT_IN.values()
    }
    assert found == golden


def test_the_proxies_that_follow_dns_are_those_whose_files_say_so():
    says_so = {
        path.name for path in (REPO / "charts/grpc-echo/files/envoy").glob("sidecar*") if KEY in path.read_text()
    }
    assert says_so == {name for name in ways.FOLLOWS_DNS if name.startswith("sidecar")}


@pytest.mark.parametrize("name", FILES)
def test_a_scenario_fits_into_its_own_duration(name):
    told = FILES[name]
    assert told["scenario"]["phase"]["to_s"] + told["load"]["needs_s"] <= told["load"]["duration_s"]
    for strategy in BUILT_IN.values():
        if not scenarios.refusal_of(told, strategy):
            assert check(lab_scenario=name, lab_strategy=strategy.name, lab_cluster="kind").course is not None


@pytest.mark.parametrize("name", FILES)
def test_remedies_are_strategies_that_can_have_the_scenario(name):
    told = FILES[name]
    assert [scenarios.refusal_of(told, BUILT_IN[remedy]) for remedy in told["remedies"]] == [""] * len(told["remedies"])


def test_expectations_come_in_words_and_in_seconds(own):
    expect = check(**own()).course.expect
    assert (expect.share, expect.share_s, expect.errors, expect.errors_s) == ("within", 3.0, "within", 1.0)
    expect = check(**own(expect={"class": "pinned", "share": "never", "errors": "none"})).course.expect
    assert (expect.share, expect.share_s, expect.errors, expect.errors_s) == ("never", 0.0, "none", 0.0)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_scenario_that_does_not_exist():
    assert "scenario=scale-pu: unknown, did you mean scale-up? Allowed: steady, " in refusal(lab_scenario="scale-pu")
    assert "scenario='' (empty): unknown" in refusal(lab_scenario="")


def test_a_scenario_that_the_strategy_cannot_have():
    text = refusal(lab_strategy="baseline")
    assert text.startswith("scenario=scale-up: not with strategy=baseline: ")
    assert "Allowed: " in text


def test_a_scenario_that_says_nothing_of_the_strategy(own):
    found = check(lab_strategy="envoy", **own()).course
    assert found is not None
    assert found.expect is None  # measured, not judged


@pytest.fixture
def mine(tmp_path):
    """A writer of strategies of one's own, each a changed copy of a built-in one; returns the variables that use it."""

    def write(copied="envoy", changes=None, **strategy):
        data = yaml.safe_load((REPO / f"strategies/{copied}.yaml").read_text()) | (changes or {})
        data["strategy"] = data["strategy"] | {"name": "mine"} | strategy
        data["strategy"] = {key: value for key, value in data["strategy"].items() if value is not None}
        (tmp_path / "mine.yaml").write_text(json.dumps(data))
        return {"lab_strategy": "mine", "lab_strategies_dir": str(tmp_path)}

    return write


@pytest.mark.parametrize("scenario", sorted(FILES))
def test_a_copy_of_a_strategy_is_judged_as_the_strategy(mine, monkeypatch, scenario):
    monkeypatch.setattr(programs, "missing", lambda name: "")  # whatever this machine has
    for strategy in BUILT_IN.values():
        variables = {"lab_scenario": scenario, "lab_cluster": "kind"}
        copy = {**variables, **mine(strategy.name)}
        if scenarios.refusal_of(FILES[scenario], strategy):
            assert "not with strategy=mine: " in refusal(**copy)
        else:
            assert check(**copy).course == check(lab_strategy=strategy.name, **variables).course


@pytest.mark.parametrize("scenario", sorted(FILES))
def test_a_strategy_of_ones_own_is_judged_by_its_way_in_every_scenario(mine, scenario):
    course = check(**mine(expect=None), lab_scenario=scenario).course
    assert course is not None
    assert course.expect == scenarios.expectation(FILES[scenario]["expect"]["proxy"])


def test_a_strategy_of_ones_own_is_only_measured_while_nothing_happens(mine):
    found = check(**mine(expect=None), lab_scenario="steady")
    assert found.course is None
    assert "expect" not in found.strategy.words["strategy"]


def test_a_strategy_says_what_it_does_otherwise(mine):
    course = check(**mine(expect={"scale-up": {"share": 5}})).course
    assert course is not None
    assert course.expect == Expectation("even", "within", 5.0, "none")


def test_a_strategy_says_what_makes_no_sense_with_it(mine):
    text = refusal(**mine(refuse={"scale-up": "it has a cold"}))
    assert "scenario=scale-up: not with strategy=mine: it has a cold. Allowed: " in text
    assert check(**mine(refuse={"slow": "it has a cold"})).course is not None


def test_a_scenario_that_names_a_strategy_comes_first(own, mine):
    variables = own(expect={"class": "pinned", "share": 3, "errors": 1}) | {
        "lab_strategies_dir": str(REPO / "strategies")
    }
    assert check(**variables).course.expect == Expectation("pinned", "within", 3.0, "within", 1.0)


def test_a_way_that_no_scenario_speaks_of_is_measured_unless_the_strategy_has_a_class(mine):
    ages = {"server": {"maxConnectionAgeMs": 60_000}}
    course = check(**mine("headless", ages, expect=None)).course
    assert course is not None
    assert course.expect is None
    course = check(**mine("headless", ages, expect={"scale-up": {"class": "even"}})).course
    assert course is not None
    assert course.expect == Expectation("even")
    text = refusal(**mine("headless", ages, expect={"scale-up": {"share": 3}}))
    assert "strategy=mine: strategy.expect.scale-up has no class" in text


def test_a_strategy_that_speaks_of_a_scenario_that_does_not_exist(mine):
    text = refusal(**mine(expect={"scale-pu": {"share": 3}}))
    assert "mine.yaml: strategy.expect.scale-pu: unknown, did you mean scale-up? Allowed: steady, " in text


def test_a_strategy_that_expects_and_refuses_the_same(mine):
    text = refusal(**mine(expect={"slow": {"share": 3}}, refuse={"slow": "no"}))
    assert "strategy.refuse.slow: expect has it too; allowed is one of both" in text


@pytest.mark.parametrize(
    ("client", "server", "way"),
    [
        ({"channel": "pick_first", "serviceConfig": {"loadBalancingConfig": [{"round_robin": {}}]}}, {}, "dns"),
        ({"channel": "pick_first", "serviceConfig": {"loadBalancingPolicy": "ROUND_ROBIN"}}, {}, "dns"),
        ({"channel": "pick_first", "serviceConfig": {"loadBalancingConfig": [{"ring_hash": {}}]}}, {}, ""),
        ({"channel": "round_robin", "dnsMinIntervalMs": 1000}, {}, "dns-soon"),
        ({"channel": "round_robin", "dnsMinIntervalMs": 1000}, {"maxConnectionAgeMs": 5000}, "dns-aging"),
        ({"channel": "round_robin"}, {"maxConnectionAgeMs": 5000}, ""),
        ({"channel": "pool"}, {}, "dns-pool"),
    ],
)
def test_the_way_follows_from_the_settings(client, server, way):
    words = {"strategy": {"name": "mine"}, "client": {"target": "headless", **client}, "server": server}
    assert way_of(Strategy.parse(words)) == way


def test_what_the_user_expects_comes_before_what_the_files_say():
    course = check(lab_expect={"class": "pinned", "share": 10, "errors": "none"}).course
    assert course is not None
    assert course.expect == Expectation("pinned", "within", 10.0, "none")
    steady = check(lab_scenario="steady", lab_expect="{class: pinned, errors: none}")
    assert steady.strategy.expect == {"steady": "pinned"}
    assert check(lab_scenario="steady", lab_expect="spread").strategy.expect == {"steady": "spread"}
    assert check(lab_scenario="steady").strategy.words["strategy"]["expect"]["steady"] == "even"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("fair", "lab_expect=fair: allowed is a class (even, pinned, spread, hashed, weighted, skewed)"),
        ("", "lab_expect='' (empty): allowed is a class"),
        (5, "lab_expect=5: allowed is a class"),
        ({}, "allowed is a class"),
        ({"class": "even", "shares": 3}, "shares: 3 is not known; allowed is"),
        ({"class": "even", "share": -1}, "share: -1 is not known; allowed is"),
        ({"class": "even", "share": True}, "share: True is not known; allowed is"),
        ({"class": ["even"]}, "allowed is a class"),
        ({"class": "even", "errors": [1]}, "errors: [1] is not known; allowed is"),
        ("{class: even", "is not YAML"),
        ("{class: !!int abc}", "is not YAML"),
    ],
)
def test_an_expectation_that_means_nothing(wanted, words):
    assert words in refusal(lab_expect=wanted)


def test_an_expectation_that_only_a_scenario_can_meet():
    assert "share is for scenarios" in refusal(lab_scenario="steady", lab_expect={"class": "even", "share": 3})
    assert "steady allows no failed call" in refusal(lab_scenario="steady", lab_expect={"class": "even", "errors": 3})


def test_a_map_with_blanks_arrives_whole():
    assert names.maps(["lab_expect={class: even, share: 10}", "lab_port=1", "x={a: b}", "@file"]) == {
        "lab_expect": "{class: even, share: 10}"
    }


def test_a_number_of_calls():
    assert "lab_requests=1000: a scenario takes a time, not a number of calls" in refusal(lab_requests=1000)


def test_a_run_that_is_too_short(own):
    assert "lab_duration=3: too short for scenario=mine" in refusal(lab_duration=3, **own())
    assert "Allowed: at least 4" in refusal(lab_duration=3, **own())
    assert check(lab_duration=4, **own()).load.duration_s == 4


def test_a_run_that_outlasts_a_fault(own):
    lasting = own(events=[{"after_s": 0, "do": "fail", "which": "first", "code": "UNAVAILABLE"}])
    assert "lab_duration=121: too long for scenario=mine" in refusal(lab_duration=121, **lasting)
    assert check(lab_duration=120, **lasting).load.duration_s == 120


def test_too_few_replicas(own):
    assert "lab_replicas=1: too few for scenario=mine. Allowed: at least 2" in refusal(lab_replicas=1, **own())
    down = own(events=[{"after_s": 0, "do": "scale", "by": -3}])
    assert "lab_replicas=3: too few for scenario=mine. Allowed: at least 4" in refusal(lab_replicas=3, **down)
    up = own(events=[{"after_s": 0, "do": "scale", "by": 3}])
    assert check(lab_replicas=1, **up).load.replicas == 1


def test_a_cluster_too_small(own):
    assert "lab_replicas=199: scenario=scale-up brings them to 201, and this cluster carries 200" in refusal(
        lab_replicas=199
    )
    assert "Allowed: at most 100" in refusal(lab_replicas=101, **own(events=[{"after_s": 0, "do": "replace"}]))
    assert check(lab_replicas=100, **own(events=[{"after_s": 0, "do": "replace"}])).load.replicas == 100
    assert check(lab_replicas=198).load.replicas == 198


def test_a_replica_that_does_not_exist(own):
    sixth = own(events=[{"after_s": 0, "do": "kill", "which": 6}])
    assert "scenario=mine: its file names replica 6 for kill, and there are 5" in refusal(**sixth)
    assert check(lab_replicas=6, **sixth).course.events[0].which == "6"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"events": [{"after_s": 0, "do": "explode"}]}, "events.0.do=explode: unknown"),
        ({"events": [{"after_s": 0, "do": "kill"}]}, "events.0: 'which' is a required property"),
        ({"events": [{"after_s": 0, "do": "scale"}]}, "events.0: 'by' is a required property"),
        ({"events": [{"after_s": 0, "do": "slow", "which": "all"}]}, "events.0: 'delay_ms' is a required property"),
        ({"events": [{"after_s": 0, "do": "fail", "which": "all"}]}, "events.0: 'code' is a required property"),
        ({"phase": (4, 2)}, "scenario.phase.to_s=2: allowed is from_s or more"),
        ({"colour": "red"}, "scenario: key colour is unknown"),
    ],
)
def test_a_file_that_is_no_scenario(own, change, words):
    assert words in refusal(**own(**change))


def test_a_file_under_another_name(own, tmp_path):
    own()
    (tmp_path / "mine.yaml").rename(tmp_path / "yours.yaml")
    text = refusal(lab_scenarios_dir=str(tmp_path), lab_scenario="yours")
    assert "scenario.name is mine; allowed is yours, the name of the file" in text


# --- in a comparison --------------------------------------------------------------------------------------------------


def cells(**variables):
    raw = {"lab_cluster": "local", **variables}
    return compare.compare(raw, repo=REPO, answers=lambda _: False, given=raw)


def test_a_comparison_leaves_out_what_makes_no_sense(monkeypatch):
    monkeypatch.setattr(programs, "missing", lambda name: "")  # whatever this machine has
    found = cells(scenarios="steady,scale-up")
    assert ("baseline", "steady") in {(cell.strategy, cell.scenario) for cell in found.cells}
    assert ("baseline", "scale-up") not in {(cell.strategy, cell.scenario) for cell in found.cells}
    here = [line for line in found.left_out if "istio" not in line]
    assert here == ["scenarios=scale-up: not with strategy=baseline: it always runs one replica"]


def test_a_comparison_refuses_what_was_asked_for_and_makes_no_sense():
    with pytest.raises(settings.UsageError, match="scenarios=scale-up: not with strategy=baseline"):
        cells(scenarios="scale-up", strategies="baseline,headless")


def test_a_scenario_that_nothing_can_have_is_no_comparison():
    with pytest.raises(settings.UsageError) as caught:
        cells(scenarios="steady,scale-pu")
    assert str(caught.value).startswith("scenarios=scale-pu: unknown, did you mean scale-up?")
    with pytest.raises(settings.UsageError) as caught:
        cells(scenarios="scale-up", lab_duration=5)
    assert str(caught.value).startswith("lab_duration=5: too short for scenario=scale-up")


def test_a_remedy_is_a_comparison_of_the_strategies_of_its_file():
    found = cells(remedy="dns-trap")
    assert [cell.strategy for cell in found.cells] == FILES["dns-trap"]["remedies"]
    assert {cell.scenario for cell in found.cells} == {"dns-trap"}


def test_a_remedy_with_strategies_is_that_scenario_with_these():
    found = cells(remedy="kill", strategies="xds,service")
    assert [(cell.strategy, cell.scenario) for cell in found.cells] == [("xds", "kill"), ("service", "kill")]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"remedy": "dns-trp"}, "remedy=dns-trp: unknown, did you mean dns-trap?"),
        ({"remedy": "steady"}, "remedy=steady: allowed is a scenario whose file has remedies"),
        ({"remedy": "kill", "scenarios": "kill"}, "scenarios: remedy names the scenario. Allowed: one of both"),
        ({"remedy": "kill", "strategies": "envoi"}, "strategies=envoi: unknown, did you mean envoy"),
        ({"remedy": "kill", "lab_replicas": 0}, "lab_replicas=0: allowed is a whole number"),
    ],
)
def test_a_remedy_that_is_refused(variables, words):
    with pytest.raises(settings.UsageError) as caught:
        cells(**variables)
    assert str(caught.value).startswith(words)


def test_every_repeat_of_a_comparison_has_its_own_phase_and_all_strategies_share_it():
    found = cells(scenarios="scale-up", strategies="headless,envoy", lab_repeats=3)
    phases = {(cell.strategy, cell.repeat): cell.settings.course.phase_s for cell in found.cells}
    assert len(set(phases.values())) == 3
    assert all(phases["headless", number] == phases["envoy", number] for number in (1, 2, 3))


def test_the_catalogue_lists_steady_first(own, tmp_path):
    own()
    assert scenarios.Scenarios(tmp_path, REPO).names() == ("steady", "mine")
