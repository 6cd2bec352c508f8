"""A strategy as a dataclass: it is written in its file's words, and answers once what everybody asks of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import house_numbers
import pytest
import yaml
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Proxies, Strategy

REPO = Path(__file__).resolve().parents[2]
WORDS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "strategies").glob("*.yaml"))}


def test_nobody_else_reads_the_words_of_a_strategy():
    python = {str(path.relative_to(REPO)): path.read_text() for path in (REPO / "app").rglob("*.py")}
    assert [name for name, text in python.items() if re.search(house_numbers.STRATEGY_READ, text)] == []


@pytest.mark.parametrize("name", WORDS)
def test_a_plan_has_the_words_of_the_file(name):
    plan = Plan("r", "steady", Strategy.parse(WORDS[name]), Load(), {})
    written = json.loads(json.dumps(to_dict(plan)))
    assert written["strategy"] == WORDS[name]
    assert from_dict(Plan, written) == plan


@pytest.mark.parametrize("name", WORDS)
def test_every_section_of_a_file_arrives(name):
    """A key that the dataclass does not know would be without effect, in silence."""
    found, words = Strategy.parse(WORDS[name]), WORDS[name]
    assert found.name == name
    assert bool(found.gateway) == ("gateway" in words)
    assert bool(found.mesh) == ("mesh" in words)
    assert found.control_plane == words.get("controlPlane", "")
    for section, part in (("client", found.client), ("server", found.server), ("envoy", found.envoy)):
        known = {name.replace("_", "").lower() for name in vars(part)}
        assert {key.lower() for key in words.get(section, {})} <= known


@pytest.mark.parametrize(
    ("name", "proxies", "discovery"),
    [
        ("service", Proxies(), "service"),
        ("headless", Proxies(), "dns"),
        ("headless-pick-first", Proxies(), "pick_first"),
        ("endpoints", Proxies(), "endpoints"),
        ("pool", Proxies(), "pool"),
        ("xds", Proxies(), "xds"),
        ("port-forward", Proxies(), "port-forward"),
        ("envoy-both", Proxies(client="envoy", server="envoy"), "proxy"),
        ("gateway-nginx", Proxies(gateway="nginx"), "proxy"),
        ("istio", Proxies(client="istio", server="istio"), "proxy"),
        ("istio-proxyless", Proxies(), "xds"),
    ],
)
def test_which_proxies_there_are_and_who_hears_of_replicas(name, proxies, discovery):
    found = Strategy.parse(WORDS[name])
    assert (found.proxies, found.discovery) == (proxies, discovery)


@pytest.mark.parametrize("words", [[], "text", {"client": 7}, {"client": {}, "mesh": [1]}])
def test_words_that_are_no_strategy(words):
    with pytest.raises(ValueError, match="no map"):
        Strategy.parse(words)
