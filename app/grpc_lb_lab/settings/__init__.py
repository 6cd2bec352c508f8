"""Everything a user can set, checked before anything starts.

``validate`` turns the variables of the playbooks into frozen ``Settings``, or raises one ``UsageError`` that names
every wrong variable, its value and what is allowed. It reads files (strategy, schema, what exists under ``artifacts``)
and changes nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.plan import Load
from grpc_lb_lab.model.ports import ECHO_PORT
from grpc_lb_lab.model.scenario import ScenarioPlan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.kubernetes import providers
from grpc_lb_lab.places.local import programs
from grpc_lb_lab.places.local.addresses import RESERVED_PORTS
from grpc_lb_lab.settings import clusters, expect, folders, grammar, internal, mesh, names, scenarios, values
from grpc_lb_lab.settings.problems import Problem, SettingsError
from grpc_lb_lab.settings.reader import Reader
from grpc_lb_lab.settings.strategies import Catalogue
from grpc_lb_lab.settings.values import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


__all__ = ["Settings", "UsageError", "validate"]

# 1.36 is the newest Kubernetes that Istio 1.31 supports.
DEFAULT_NODE_IMAGE = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"

REQUESTS = values.Whole(1, 10_000_000)
DURATION = values.Number(1, 86_400, "seconds")
RATE = values.Number(0.1, 100_000, "calls a second")
CONCURRENCY = values.Whole(1, 1_000)
CLIENTS = values.Whole(1, 100)
CONNECTIONS = values.Whole(1, 1_000)
SEED = values.Whole(0, 2**32 - 1)
PORT = values.Whole(1_024, 65_535, except_for=RESERVED_PORTS, because=" (the lab's own)")


@dataclass(frozen=True)
class Settings:
    """What to run and where; paths are absolute. ``cluster_reason`` says why ``auto`` chose ``cluster``, or is empty.

    ``course`` is what the scenario does to this strategy, None for ``steady``. ``worlds`` are the clusters that a reset
    looks at: all for ``auto``. ``providers``: what a playbook must know of each. ``notes`` are for the user's eyes.
    """

    strategy: Strategy
    strategy_name: str
    scenario: str
    cluster: str
    cluster_reason: str
    load: Load
    namespace: str
    kind_node_image: str
    port: int
    artifacts_dir: str
    state_dir: str
    worlds: list[str]
    notes: list[str]
    course: ScenarioPlan | None = None
    istio: mesh.Istio = field(default_factory=mesh.Istio)
    providers: dict[str, dict[str, Any]] = field(default_factory=providers.facts)

    def facts(self) -> dict[str, Any]:
        """Return plain data for a playbook."""
        data: dict[str, Any] = to_dict(self)
        return data

    def repeated(self, repeat: int) -> Settings:
        """Return the settings of repeat number ``repeat``, from 1: what is drawn is drawn anew."""
        return replace(self, course=self.course and scenarios.draw_phase(self.course, self.load.seed, repeat))


def validate(
    raw: Mapping[str, Any],
    *,
    repo: Path,
    answers: Callable[[str], bool] = providers.answers,
    given: Mapping[str, Any] | None = None,
    platform: str = sys.platform,
) -> Settings:
    """Check ``raw`` (public variable to value; None: not set) and return the settings of one run.

    ``given``: the variables of the command line, so that misspelt ones and the lab's own are refused.
    ``answers`` tells whether a provider of clusters can be used here; it is asked only for ``lab_cluster=auto``. Raises
    ``UsageError`` with all problems in one message.
    """
    reader = Reader(raw)
    reader.problems += internal.problems(given or {}, repo) + names.contradictions(raw)
    default_folder = repo / "strategies"
    folder = reader.value("lab_strategies_dir", values.ExistingFolder(repo), default_folder) or default_folder
    catalogue = Catalogue(folder, repo)
    happens = reader.value("lab_scenarios_dir", values.ExistingFolder(repo), repo / "scenarios") or repo / "scenarios"
    name = scenarios.STEADY if raw.get("lab_scenario") is None else raw["lab_scenario"]
    there = scenarios.Scenarios(happens, repo)
    scenario = reader.attempt("lab_scenario", there.load, name)
    wanted = reader.value("lab_cluster", values.Word(("auto", *clusters.CLUSTERS)), "auto")
    strategy = reader.attempt("lab_strategy", lambda name: _strategy(catalogue, name, wanted))
    if strategy:
        built_in = scenarios.Scenarios(repo / "scenarios", repo).names()
        shown = grammar.shown_name(catalogue.path(strategy.name), repo)
        reader.problems += _unknown_scenarios(strategy, shown, list(dict.fromkeys([*there.names(), *built_in])))
    if scenario:
        remedies = {*catalogue.names(), *Catalogue(default_folder, repo).names()}
        shown = grammar.shown_name(happens / f"{name}.yaml", repo)
        reader.problems += _unknown_remedies(scenario, shown, sorted(remedies))
    cluster, reason = "local", ""
    if wanted and strategy:
        try:
            cluster, reason = clusters.choose(wanted, strategy, answers, platform)
        except RefusedError as refused:
            reader.problems.append(refused.message)
    gateway = strategy.proxies.gateway if strategy else ""
    if cluster == "local" and programs.missing(gateway):
        wrong = f"{values.show(raw.get('lab_strategy'))}: {programs.missing(gateway)}"
        reader.problems.append(Problem(wrong, variable="strategy"))
    load = _load(reader, cluster, strategy, (scenario or {}).get("load", {}))
    course = None
    if strategy and scenario:
        course = reader.attempt("lab_scenario", lambda _: _course(scenario, strategy, load.seed, catalogue))
    if scenario and course:
        reader.problems += scenarios.problems(scenario, course, load, clusters.max_replicas(cluster))
    settled, mesh_notes = mesh.apply(reader, strategy)
    if expected := reader.value("lab_expect", expect.Expected(), None):
        course = course and replace(course, expect=scenarios.expectation(expected))
        if settled and not scenario:
            reader.problems += _unfit(raw, expected)
            settled = settled.expecting({scenarios.STEADY: expected["class"]})
    settings = Settings(
        strategy=settled or Strategy(),
        strategy_name=strategy.name if strategy else "",
        scenario=name if isinstance(name, str) else "",
        cluster=cluster,
        cluster_reason=reason,
        load=load,
        namespace=reader.value("lab_namespace", values.NAMESPACE, "grpc-lb-lab"),
        kind_node_image=reader.value("lab_kind_node_image", values.IMAGE, DEFAULT_NODE_IMAGE),
        port=reader.value("lab_port", PORT, ECHO_PORT),
        artifacts_dir=str(reader.value("lab_artifacts_dir", values.WritableFolder(repo), repo / "artifacts")),
        state_dir=str(reader.value("lab_state_dir", values.WritableFolder(repo), repo / ".lab")),
        worlds=list(clusters.CLUSTERS) if wanted == "auto" else [cluster],
        notes=[*_notes(strategy, given or {}), *mesh_notes],
        course=course,
        istio=mesh.read(reader, repo),
    )
    reader.problems += folders.foreign(Path(settings.state_dir), Path(settings.artifacts_dir))
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def _strategy(catalogue: Catalogue, name: Any, wanted: str | None) -> Strategy:
    """Load a strategy; one that has no file here but is known to need Kubernetes is explained instead of "unknown"."""
    if name in clusters.KUBERNETES_ONLY and name not in catalogue.names() and wanted in ("auto", "local"):
        raise RefusedError(message=clusters.cannot_run(str(name), "local", clusters.KUBERNETES))
    return catalogue.load(name)


def _unfit(raw: Mapping[str, Any], entry: dict[str, Any]) -> list[str]:
    problem = expect.steady_problem(entry)
    return [f"lab_expect={values.show(raw['lab_expect'])}: {problem}"] if problem else []


def _course(scenario: dict[str, Any], strategy: Strategy, seed: int, catalogue: Catalogue) -> ScenarioPlan:
    """Make the course. Raises ``RefusedError`` with the reason when the scenario makes no sense with the strategy."""
    reason = scenarios.refusal_of(scenario, strategy)
    if reason:
        others = (catalogue.glance(name) for name in catalogue.names())
        able = [other.name for other in others if other and not scenarios.refusal_of(scenario, other)]
        name = scenario["scenario"]["name"]
        wrong, allowed = f"{name}: not with strategy={strategy.name}: {reason}", ", ".join(able) or "none"
        raise RefusedError(message=Problem(wrong, allowed, variable="scenario"))
    course = scenarios.make_scenario_plan(scenario, strategy, seed)
    if strategy.expect.get(course.name) and not course.expect:
        raise RefusedError(
            message=Problem(
                f"{strategy.name}: strategy.expect.{course.name} has no class, and the scenario expects nothing of "
                "this way of learning addresses",
                "with class",
                variable="strategy",
            )
        )
    return course


def _unknown_remedies(scenario: dict[str, Any], shown: str, known: Collection[str]) -> list[str]:
    """Return a problem for each strategy that a scenario's file lays beside others and that does not exist."""
    remedies = [remedy for remedy in scenario.get("remedies", []) if remedy not in known]
    return [f"{shown}: remedies={remedy}: {values.unknown(remedy, known)}" for remedy in remedies]


def _unknown_scenarios(strategy: Strategy, shown: str, known: Collection[str]) -> list[str]:
    """Return a problem for each scenario that a strategy's file speaks of and that does not exist."""
    told = {"expect": strategy.expect, "refuse": strategy.refuse}
    return [
        f"{shown}: strategy.{key}.{name}: {values.unknown(name, known)}"
        for key, names_of_scenarios in told.items()
        for name in names_of_scenarios
        if name not in known
    ]


def _load(reader: Reader, cluster: str, strategy: Strategy | None, scenario: dict[str, Any]) -> Load:
    """Read the variables of the load; where one is refused its default stands in, as nothing will run anyway.

    The ``load`` of strategy and scenario comes before the general defaults, and what the user asks for before both.
    """
    shown_with = (strategy or Strategy()).load
    load = Load(
        requests=reader.value("lab_requests", REQUESTS, None),
        duration_s=reader.value("lab_duration", DURATION, scenario.get("duration_s")),
        rate_rps=reader.value("lab_rate", RATE, scenario.get("rate_rps")),
        deadline_s=scenario.get("deadline_s", Load.deadline_s),
        concurrency=reader.value("lab_concurrency", CONCURRENCY, shown_with.concurrency or Load.concurrency) or 1,
        clients=reader.value("lab_clients", CLIENTS, shown_with.clients or Load.clients) or 1,
        connections=reader.value("lab_connections", CONNECTIONS, shown_with.connections or Load.connections) or 1,
        replicas=reader.value("lab_replicas", values.Whole(1, clusters.max_replicas(cluster)), Load.replicas) or 1,
        seed=reader.value("lab_seed", SEED, Load.seed) or 0,
    )
    if reader.has("lab_requests") and scenario:
        wrong = f"lab_requests={load.requests}: a scenario takes a time, not a number of calls"
        reader.problems.append(Problem(wrong, "lab_duration"))
    elif reader.has("lab_requests") and reader.has("lab_duration"):
        reader.problems.append(Problem("lab_requests and lab_duration are both set", "one of them"))
    if not scenario and not reader.has("lab_requests") and not reader.has("lab_duration"):
        load = replace(load, requests=Load.requests)
    if load.requests is not None and load.requests < load.clients:
        wrong = f"lab_requests={load.requests}: every client needs a call"
        reader.problems.append(Problem(wrong, f"at least lab_clients={load.clients}"))
    most, fixed = clusters.max_replicas(cluster), _fixed_replicas(strategy)
    if strategy and fixed > most:
        wrong = f"{strategy.name}: strategy.replicas={fixed}: allowed on {cluster} is at most {most:,}"
        reader.problems.append(Problem(wrong, variable="strategy"))
    return replace(load, replicas=fixed or load.replicas)


def _fixed_replicas(strategy: Strategy | None) -> int:
    """Return the number of replicas that the strategy insists on, or 0."""
    return strategy.replicas if strategy else 0


def _notes(strategy: Strategy | None, given: Collection[str]) -> list[str]:
    fixed = _fixed_replicas(strategy)
    return [f"lab_replicas is not used: this strategy always runs {fixed}"] if fixed and "lab_replicas" in given else []
