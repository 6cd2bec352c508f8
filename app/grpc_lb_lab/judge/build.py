"""Builds the finished report of a run from the plan, the inventory and the clients' results."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grpc_lb_lab.judge import mesh
from grpc_lb_lab.judge.disturbance import disturbances
from grpc_lb_lab.judge.document import (
    Actual,
    Backend,
    BucketRow,
    Connections,
    EventRow,
    Report,
    Requested,
    RunInfo,
    StrategyInfo,
    TimelineRows,
)
from grpc_lb_lab.judge.merge import merge
from grpc_lb_lab.judge.path import prove_path
from grpc_lb_lab.judge.reconciliation import reconcile
from grpc_lb_lab.judge.scenario.figures import measure_scenario
from grpc_lb_lab.judge.scenario.verdict import judge_scenario
from grpc_lb_lab.judge.special_figures import key_figures, methods_by_pod
from grpc_lb_lab.judge.statistics import describe
from grpc_lb_lab.judge.verdict import judge
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.verdict import SCHEMA_VERSION

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.judge.path import PathProof
    from grpc_lb_lab.judge.reconciliation import Reconciliation
    from grpc_lb_lab.judge.scenario.figures import ScenarioReport
    from grpc_lb_lab.judge.verdict import Verdict
    from grpc_lb_lab.model.inventory import Inventory
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import ClientResult


def build_report(plan: Plan, inventory: Inventory, results: list[ClientResult]) -> Report:
    """Merge, measure and judge a run. Raises ``LabError`` for results that do not belong together."""
    facts = merge(results, inventory)
    path = prove_path(facts, plan)
    reconciliation = reconcile(facts)
    load = plan.load
    verdict, course = _judged(facts, plan, path, reconciliation)
    return Report(
        schema_version=SCHEMA_VERSION,
        run=_run(facts, plan),
        strategy=_strategy(plan),
        requested=Requested(
            requests=load.requests,
            duration_s=load.duration_s,
            rate_rps=load.rate_rps,
            concurrency=load.concurrency,
            replicas=load.replicas,
            clients=load.clients,
            connections=load.connections,
            deadline_s=load.deadline_s,
        ),
        actual=_actual(facts),
        backends=_backends(facts, course),
        distribution=describe(facts.counts),
        errors=facts.errors,
        latency_ms=latency.summarize(facts.latency),
        latency_bars=latency.bars(facts.latency, per_octave=8),
        lag_ms=latency.summarize(facts.lag),
        connections=_connections(facts),
        path=path,
        reconciliation=reconciliation,
        timeline=_timeline(facts),
        events=[EventRow(_since(facts, event.at), event.kind, event.detail, event.pod) for event in facts.events],
        verdict=verdict,
        warmup=facts.warmup,
        cpu=facts.cpu,
        notes=facts.notes if plan.course else [*disturbances(facts), *facts.notes],
        configuration={"strategy": plan.strategy.words, "targets": plan.targets, "dns": plan.dns},
        keys=key_figures(facts),
        methods=methods_by_pod(facts),
        probes=facts.probes | ({"mesh": found} if (found := mesh.figures(facts, plan)) else {}),
        course=course,
    )


def _judged(
    facts: Facts, plan: Plan, path: PathProof, reconciliation: Reconciliation
) -> tuple[Verdict, ScenarioReport | None]:
    if plan.course is None:
        return judge(facts, plan, path, reconciliation), None
    figures = measure_scenario(facts, plan.course, plan.strategy.exact)
    verdict, checks = judge_scenario(facts, plan, plan.course, path, reconciliation, figures)
    return verdict, replace(figures, checks=checks)


def _since(facts: Facts, at: float) -> float:
    return round(at - facts.started_at, 3)


def _run(facts: Facts, plan: Plan) -> RunInfo:
    started = datetime.fromtimestamp(facts.started_at, UTC).isoformat(timespec="milliseconds")
    return RunInfo(
        id=plan.run,
        strategy=plan.strategy.name,
        scenario=plan.scenario,
        cluster=facts.cluster,
        started_at=started.replace("+00:00", "Z"),
        seed=plan.load.seed,
        versions=facts.versions,
    )


def _strategy(plan: Plan) -> StrategyInfo:
    strategy = plan.strategy
    return StrategyInfo(
        title=strategy.title,
        shows=strategy.shows,
        advice=strategy.advice,
        precision=strategy.precision,
        channel=strategy.client.channel,
        target=strategy.client.target,
    )


def _actual(facts: Facts) -> Actual:
    return Actual(
        requests=facts.requests,
        ok=facts.ok,
        failed=facts.failed,
        duration_s=round(facts.duration_s, 3),
        rps=round(facts.ok / facts.duration_s, 1) if facts.duration_s else 0.0,
        clients=facts.clients,
    )


def _backends(facts: Facts, course: ScenarioReport | None) -> list[Backend]:
    """In a scenario those that were there from the start come first, then the others as they came."""
    lives = {one.pod: one for one in course.replicas} if course else {}
    came = {pod: one.came_s if one.came_s is not None else -1.0 for pod, one in lives.items()}
    return [
        Backend(
            pod=replica.label,
            uid=replica.uid,
            ip=replica.ip,
            requests=replica.requests,
            share=round(replica.requests / facts.ok, 6) if facts.ok else 0.0,
            first_seen_s=_since(facts, replica.first_seen_at) if replica.first_seen_at is not None else None,
            last_seen_s=_since(facts, replica.last_seen_at) if replica.last_seen_at is not None else None,
            ready=replica.ready,
            in_inventory=replica.known,
            node=replica.node,
            came_s=lives[replica.label].came_s if lives else None,
            left_s=lives[replica.label].left_s if lives else None,
        )
        for replica in sorted(facts.replicas, key=lambda replica: came.get(replica.label, 0.0))
    ]


def _connections(facts: Facts) -> Connections:
    client = len(facts.connections)
    return Connections(
        client=client,
        server=sum(server.connections for server in facts.servers),
        requests_per_connection=round(facts.requests / client, 3) if client else None,
        upstream=sum(proxy.upstream_connections for proxy in facts.proxies) if facts.proxies else None,
        channels=len(facts.channels),
        resolved=facts.resolved,
        policy="/".join(facts.policies),
    )


def _timeline(facts: Facts) -> TimelineRows:
    rows = [
        BucketRow(
            t_s=bucket.t_s,
            ok=bucket.ok,
            failed=bucket.failed,
            per_backend={facts.label(uid): calls for uid, calls in bucket.per_backend.items()},
        )
        for bucket in facts.timeline.buckets
    ]
    return TimelineRows(interval_s=facts.timeline.interval_s, buckets=rows)
