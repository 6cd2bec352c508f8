"""One load on a cluster, from the installed release to the files that the report reads."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.errors import ArtifactError, LabError
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.kubernetes import collect, gateway, inventory, load, outside, pods, rollout
from grpc_lb_lab.places.kubernetes.scenario_session import ScenarioSession
from grpc_lb_lab.run.feed import LiveFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.inventory import Inventory, Replica
    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl


@dataclass(frozen=True)
class Files:
    """Where the plan is, and where what comes of it goes; ``live`` is the feed."""

    plan: Path
    results: Path
    inventory: Path
    logs: Path
    live: Path


# How the load is sent where the client is outside of the cluster, by client.target.
OUTSIDE = {"port-forward": outside.through_port_forward, "gateway": gateway.load}


def run(
    kubectl: Kubectl, files: Files, *, cluster: str, images: dict[str, str], limit_s: float, owner: int = 0
) -> None:
    """Follow the load (or, where the client is outside, send it), then write results and inventory.

    ``images`` are those of proxies, by kind; the report names the ones that the strategy uses. ``owner`` is the process
    that wants the load; when it ends, so does the load. Raises ``LabError`` naming what broke; what was collected until
    then stays.
    """
    plan = _plan(files.plan)
    servers = _servers(kubectl)
    script = ScenarioSession(kubectl, plan, servers, LiveFeed(files.live))
    owner_process = Owner.of(owner) if owner else None

    def check() -> None:
        if owner_process and not owner_process.lives:
            raise LabError("the playbook ended; so does its load")
        script.check()

    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(inventory.take, kubectl, cluster, servers, used(images, plan.strategy))
        script.open(cluster)
        problem = "the load was ended before it had finished"
        try:
            script.prepare()
            script.begin()
            _send(kubectl, files, plan, script, pool, limit_s, check)
            script.check(through=True)
            problem = ""
        except LabError as error:
            problem = str(error)
            raise
        finally:
            script.end(problem)
            with contextlib.suppress(Exception):  # the error of the load is the one to tell
                _write_inventory(files.inventory, _after(kubectl, script, plan, taken.result()))
            script.close()
            if "gateway" in plan.strategy:
                gateway.close(kubectl)


def _send(
    kubectl: Kubectl,
    files: Files,
    plan: Plan,
    script: ScenarioSession,
    pool: ThreadPoolExecutor,
    limit_s: float,
    check: Callable[[], None],
) -> None:
    target = plan.strategy["client"]["target"]
    if target not in OUTSIDE:
        _follow(kubectl, files, plan, script, pool, limit_s, check)
        return
    where = (files.plan, files.results, files.logs, files.live)
    OUTSIDE[target](outside.OutsideLoad(kubectl, *where, lambda: _servers(kubectl), limit_s, check))


def _follow(
    kubectl: Kubectl,
    files: Files,
    plan: Plan,
    script: ScenarioSession,
    pool: ThreadPoolExecutor,
    limit_s: float,
    check: Callable[[], None],
) -> None:
    proxied = bool(plan.strategy.get("envoy", {}).get("client"))

    def started(clients: list[pods.Pod]) -> None:
        if proxied:
            pool.submit(collect.envoy, kubectl, clients, files.logs)

    try:
        following = load.follow(kubectl, plan.load, limit_s, check=check, on_start=started, on_live=script.see_line)
    except BaseException:
        # Clients that go on would disturb the next run; their logs are read before the pods go.
        collect.collect(kubectl, files.logs)
        kubectl.attempt("delete", "job", "load", "--ignore-not-found", "--wait=false", "--cascade=foreground")
        raise
    load.write_results(following, files.results, files.logs)


def _after(kubectl: Kubectl, script: ScenarioSession, plan: Plan, before: Inventory) -> Inventory:
    """Return the inventory with everyone who took part, and with what happened to them."""
    script.witness.catch_up(kubectl.items("pods", f"--selector={rollout.SELECTOR}"))
    everyone = script.witness.everyone()
    if not plan.course:
        return replace(before, replicas=with_newcomers(before.replicas, everyone), events=script.events())
    notes = [*before.notes, *script.clocks.words()]
    return replace(before, replicas=everyone, events=script.events(), notes=notes)


def used(images: dict[str, str], strategy: dict[str, Any]) -> dict[str, str]:
    """Return the images of the proxies that a strategy has, under the programs' own names."""
    names = {"envoy": "Envoy", "nginx": "nginx", "haproxy": "HAProxy", "istio": "Istio"}
    envoy = strategy.get("envoy", {})
    kinds = {"envoy"} if envoy.get("client") or envoy.get("server") else set()
    kinds |= {strategy["gateway"]["proxy"]} if "gateway" in strategy else set()
    kinds |= {"istio"} if "mesh" in strategy else set()
    return {names[kind]: images[kind] for kind in sorted(kinds) if images.get(kind)}


def _servers(kubectl: Kubectl) -> list[pods.Pod]:
    return [pod for pod in kubectl.items("pods", f"--selector={rollout.SELECTOR}") if not pods.is_leaving(pod)]


def with_newcomers(before: list[Replica], everyone: list[Replica]) -> list[Replica]:
    """Add replicas that came during the load, so that whoever answered is known; the others as they were before it."""
    known = {item.uid for item in before}
    return [*before, *(item for item in everyone if item.uid not in known)]


def _plan(path: Path) -> Plan:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return from_dict(Plan, data)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read as a plan ({error})") from error


def _write_inventory(path: Path, found: Inventory) -> None:
    path.write_text(json.dumps(to_dict(found), indent=1) + "\n", encoding="utf-8")
