"""What a strategy asks of the lab, and when that is something else than what runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.strategy import Needs, Strategy
from grpc_lb_lab.places.local.desired_state import DesiredState, make_wish, merge, read_strategy, settled_strategy

STRATEGIES = Path(__file__).parents[3] / "strategies"


def strategy(name: str) -> dict[str, Any]:
    return read_strategy(STRATEGIES / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("baseline", Needs(service=False, sidecar=False)),
        ("headless", Needs(service=False, sidecar=False)),
        ("service", Needs(service=True, sidecar=False)),
        ("service-round-robin", Needs(service=True, sidecar=False)),
        ("envoy", Needs(service=False, sidecar=True)),
    ],
)
def test_envoy_is_needed_where_a_proxy_is(name: str, needed: Needs) -> None:
    assert strategy(name).needs == needed
    assert needed.envoy == (name not in ("baseline", "headless"))


def test_server_options_come_from_the_strategy() -> None:
    assert make_wish(strategy("headless"), 7) == DesiredState(
        replicas=7,
        server={"keepalive_min_interval_ms": 5000, "keepalive_permit_without_calls": True},
    )
    assert make_wish(strategy("service"), None) == DesiredState(replicas=5, service=True)


def test_every_server_option_is_one_the_server_knows() -> None:
    from grpc_lb_lab.servers.config import EchoConfig

    section = {
        "maxConnectionAgeMs": 1,
        "maxConnectionAgeGraceMs": 2,
        "keepalive": {"minIntervalMs": 3, "permitWithoutCalls": True},
        "workMs": 5,
        "drainS": 6,
        "graceS": 0,
    }
    wish = make_wish(Strategy.parse({"client": {}, "server": section}), 1)
    assert len(wish.server) == 7
    config = EchoConfig(listen="127.0.0.1:0", **wish.server)
    assert (config.max_connection_age_grace_ms, config.work_ms, config.drain_delay_s, config.grace_s) == (2, 5, 6, 0)


def test_a_strategy_that_insists_on_its_replicas_wins() -> None:
    assert make_wish(strategy("baseline"), 5).replicas == 1


def test_the_same_wish_is_no_change_and_another_one_is() -> None:
    running = make_wish(strategy("headless"), 5)
    assert merge(running, make_wish(strategy("headless"), 5)) == running
    assert merge(running, make_wish(strategy("headless"), 6)) != running
    assert merge(running, make_wish(strategy("envoy"), 5)) != running  # other server options


def test_a_service_that_runs_stays_without_counting_as_change() -> None:
    running = make_wish(strategy("service"), 5)
    assert merge(running, make_wish(strategy("envoy"), 5)) == running


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "cannot be read: line 2"),
        ("- a\n", "has no section `client`"),
        ("client: 7\n", "has no section `client`"),
        ("client: {}\nserver: 7\n", ": section 'server' of the strategy is no map"),
    ],
)
def test_a_file_that_is_no_strategy_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=rf"odd\.yaml ?{words}"):
        read_strategy(path)
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        read_strategy(tmp_path / "none.yaml")


def test_the_settled_strategy_comes_from_who_settled_it() -> None:
    found = strategy("headless-drain")
    assert settled_strategy(json.dumps(found.words)) == found
    with pytest.raises(UsageError, match="the settled strategy is no JSON"):
        settled_strategy("{")
    with pytest.raises(UsageError, match="the settled strategy has no section `client`"):
        settled_strategy("[]")
