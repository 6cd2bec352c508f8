"""The cause of a distribution in one sentence, told from what the run recorded: connections, policy, hops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge import mesh
from grpc_lb_lab.judge.classes import channel_choices
from grpc_lb_lab.judge.path import normal_address, via_hops
from grpc_lb_lab.judge.statistics import ALPHA, chi_square_p, uniform_draws_p
from grpc_lb_lab.judge.text import count, figure, host, listing, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.judge.classes import Sample
    from grpc_lb_lab.judge.facts import Facts, ReplicaFacts
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.verdict import DistributionClass


def explain(facts: Facts, plan: Plan, sample: Sample, observed: DistributionClass) -> str:
    """Where the calls went, and why, for the class that was observed."""
    if not sample.calls:
        return "No call was answered."
    tellers = {
        "pinned": lambda: _pinned(facts, plan, sample),
        "even": lambda: _even(facts, plan, sample),
        "spread": lambda: _spread(sample),
        "hashed": lambda: _hashed(sample),
        "weighted": lambda: _weighted(sample),
        "skewed": lambda: _skewed(facts, sample),
    }
    if observed != "hashed" and "hashed" in plan.strategy.expect.values():
        return _not_hashed(sample) or tellers[observed]()
    return tellers[observed]()


def not_exact(sample: Sample) -> str:
    """Even as far as chance can tell, but not as exact as a policy that counts must be."""
    low, high, allowed = min(sample.counts), max(sample.counts), max(1, len(sample.channels))
    return (
        f"Not even enough: counts from {number(low)} to {number(high)} are within chance "
        f"(p = {figure(chi_square_p(sample.counts))}), but not within ±{number(allowed)}, "
        "which a policy that takes replicas in turn must keep."
    )


def failed_calls(facts: Facts, scenario: str) -> str:
    """How many calls failed, and with which codes, where none should."""
    return f"{failed_words(facts)}, and {scenario} allows none."


def failed_words(facts: Facts) -> str:
    """How many calls failed, and with which codes."""
    codes = sorted(facts.errors.items(), key=lambda item: (-item[1], item[0]))
    names = listing([f"{code} {number(calls)} times" if calls > 1 else f"{code} once" for code, calls in codes])
    amount = "All" if facts.failed == facts.requests else f"{number(facts.failed)} of"
    return f"{amount} {count(facts.requests, 'call')} failed ({names or 'no code recorded'})"


def strangers(labels: list[str]) -> str:
    """Answers came from somebody that should not exist."""
    return (
        f"Calls were answered by {listing(labels)}, not in the inventory of replicas: "
        "another deployment answers under the same name, or a replica was replaced during the run."
    )


def small(sample: Sample, expected: DistributionClass, needed: str) -> str:
    """The sample cannot tell the expected class from others."""
    if sample.replicas == 1:
        return (
            f"One replica gets every call whatever balances them, so this does not show {expected}; "
            f"{needed} are needed, for example -e lab_replicas=5."
        )
    had = f"{count(sample.calls, 'call')} over {count(len(sample.channels), 'connection')}"
    return (
        f"Too small to judge: {had} cannot show {expected} on {count(sample.replicas, 'replica')}; {needed} are needed."
    )


def _policy(facts: Facts) -> str:
    return "/".join(facts.policies) or "the channel's policy"


def _through_service(facts: Facts) -> bool:
    return bool(facts.service_ip) and any(
        host(normal_address(item.remote)) == facts.service_ip for item in facts.connections
    )


def _proxy(facts: Facts) -> str:
    """The proxy that most calls name in their via header, nearest to the client; empty without one."""
    best = max(facts.paths, key=lambda path: path.requests, default=None)
    return next(iter(via_hops(best.headers)), "") if best else ""


def _all_calls(sample: Sample) -> str:
    calls = "The one call" if sample.calls == 1 else f"All {count(sample.calls, 'call')}"
    return f"{calls} went to one of {count(sample.replicas, 'replica')}"


def _pinned(facts: Facts, plan: Plan, sample: Sample) -> str:
    addresses, channels, policy = len(facts.resolved), len(sample.used_channels), _policy(facts)
    told = mesh.why_pinned(facts, plan)
    if told and sample.servers_hit == 1:
        return f"{_all_calls(sample)}: {told}."
    if sample.replicas == 1:
        return f"All {count(sample.calls, 'call')} went to the only replica there is: nothing to balance."
    if channels > 1:
        return _pinned_channels(facts, sample)
    if _proxy(facts):
        return f"{_all_calls(sample)} although {_proxy(facts)} stood in between: {_upstream(facts)}."
    if _through_service(facts) or addresses == 1:
        if policy == "round_robin":
            return f"{_all_calls(sample)}: the name resolved to one address, so round_robin had one connection to take."
        return f"{_all_calls(sample)}: the name resolved to one address, so one HTTP/2 connection carried them all."
    if addresses > 1 and policy == "pick_first":
        return (
            f"{_all_calls(sample)}: the name resolved to {number(addresses)} addresses, but pick_first opened "
            f"a connection to one of them and kept it for every call."
        )
    resolved = count(addresses, "address", "addresses")
    return f"{_all_calls(sample)}: {policy} used one connection of {resolved} resolved."


def _pinned_channels(facts: Facts, sample: Sample) -> str:
    channels, hit = len(sample.used_channels), sample.servers_hit
    where = "the same replica" if hit == 1 else f"one replica each, {number(hit)} of {number(sample.replicas)} in all"
    start = f"The {number(channels)} connections kept to {where}"
    if _through_service(facts):
        return f"{start}: the Service picks a replica when a connection opens, not for each call."
    if "pick_first" in facts.policies and len(facts.resolved) > 1:
        return f"{start}: pick_first takes one of the {number(len(facts.resolved))} addresses resolved and keeps it."
    return f"{start}: nothing balanced the calls inside a connection."


def _even(facts: Facts, plan: Plan, sample: Sample) -> str:
    start = _shares(sample)
    if _proxy(facts):
        own = len(facts.connections)
        has = "the client's one connection ends" if own == 1 else f"the clients' {number(own)} connections end"
        policy = plan.strategy.envoy.lb_policy
        by = f" by {policy}" if policy else ""
        if sample.methods:
            by = f" of {number(len(sample.methods))} services, each even for itself,"
        return f"{start}: {has} at {_proxy(facts)}, which balanced each call{by} over {_upstream(facts)}."
    told = mesh.why_even(facts, plan) or _even_by(facts, plan)
    if told:
        return f"{start}: {told}."
    if "round_robin" in facts.policies:
        return (
            f"{start}: the name resolved to {count(len(facts.resolved), 'address', 'addresses')}, and round_robin "
            f"{_each_client(facts)}took {_connections(facts)} in turn."
        )
    return f"{start}: {_policy(facts)} used {_connections(facts)}."


def _even_by(facts: Facts, plan: Plan) -> str:
    """Who told the client the addresses and took them in turn, where it was no name; empty for the rest."""
    how = plan.strategy.discovery
    addresses, each = count(len(facts.resolved), "address", "addresses"), _each_client(facts)
    if how == "pool":
        return f"{each}the pool took {_connections(facts)} to {addresses} in turn"
    if how == "lookaside":
        return f"the balancer named {addresses}, and round_robin {each}took {_connections(facts)} in turn"
    if how == "xds":
        plane = "istiod" if plan.strategy.mesh else "the control plane"
        return f"{plane} told gRPC {addresses} and the policy, which {each}took {_connections(facts)} in turn"
    if how == "endpoints":
        return f"the list has {addresses}, and round_robin {each}took {_connections(facts)} in turn"
    return ""


def _shares(sample: Sample) -> str:
    low, high = min(sample.counts), max(sample.counts)
    between = "or" if high - low == 1 else "to"
    each = f"{count(low, 'call')} each" if low == high else f"{number(low)} {between} {count(high, 'call')} each"
    return f"The {count(sample.replicas, 'replica')} got {each}"


def _each_client(facts: Facts) -> str:
    return f"in {number(facts.clients)} clients " if facts.clients > 1 else ""


def _connections(facts: Facts) -> str:
    return f"its {count(len(facts.connections), 'connection')}"


def _upstream(facts: Facts) -> str:
    opened = sum(proxy.upstream_connections for proxy in facts.proxies if proxy.hop == facts.proxies[0].hop)
    return f"{count(opened, 'upstream connection')}" if opened else "its upstream connections"


def _spread(sample: Sample) -> str:
    choices = channel_choices(sample)
    return (
        f"Each of {count(sum(choices), 'connection')} kept to one replica and was dealt to it at random: "
        f"{number(sample.servers_hit)} of {count(sample.replicas, 'replica')} were hit, by {number(min(choices))} to "
        f"{count(max(choices), 'connection')} each (p = {figure(uniform_draws_p(choices))})."
    )


def _hashed(sample: Sample) -> str:
    return (
        f"Each of {count(len(sample.keys), 'key')} stayed on one replica, and the keys use "
        f"{number(sample.servers_hit)} of {count(sample.replicas, 'replica')}: the key decides, not the load."
    )


def _not_hashed(sample: Sample) -> str:
    """Keys that did not stay where they were; empty when they all did."""
    several = sum(1 for found in sample.keys.values() if sum(1 for calls in found.values() if calls) > 1)
    if not sample.keys:
        return "No call carried a key, so nothing was there to hash."
    if not several:
        return ""
    return (
        f"{number(several)} of {count(len(sample.keys), 'key')} were answered by several replicas: the policy does not "
        "hash, or hashes something that the calls do not carry."
    )


def _weighted(sample: Sample) -> str:
    p = chi_square_p(sample.counts, sample.weights)
    return f"{_shares(sample)}, as the weights ask (p = {figure(p)})."


def _skewed(facts: Facts, sample: Sample) -> str:
    silent = [replica for replica in facts.replicas if not replica.requests]
    why = _why_silent(facts, silent)
    if why:
        return why
    by_count = sorted(facts.replicas, key=lambda replica: (replica.requests, replica.label))
    low, high = by_count[0], by_count[-1]
    p = chi_square_p(sample.counts)
    chance = "within chance" if p >= ALPHA else "more than chance explains"
    return (
        f"Calls are uneven: from {number(low.requests)} ({low.label}) to {number(high.requests)} ({high.label}) where "
        f"{number(sample.calls / sample.replicas)} were due, {chance} (p = {figure(p)})."
    )


def _why_silent(facts: Facts, silent: Sequence[ReplicaFacts]) -> str:
    """Replicas without a call: not ready, not among the resolved addresses, or not connected."""
    if not silent:
        return ""
    names = listing([replica.label for replica in silent])
    start = f"{names} got no call"
    unready = [replica.label for replica in silent if not replica.ready]
    if unready:
        return f"{start}: {listing(unready)} {'was' if len(unready) == 1 else 'were'} not ready."
    resolved = set(facts.resolved)
    hidden = [replica.label for replica in silent if not any(replica.ip == _bare(address) for address in resolved)]
    if hidden and len(resolved) > 1:
        return (
            f"{start}: the name resolved to {count(len(resolved), 'address', 'addresses')} of "
            f"{count(len(facts.replicas), 'replica')}, without {listing(hidden)}."
        )
    return f"{start}, although {'it is' if len(silent) == 1 else 'they are'} ready."


def _bare(address: str) -> str:
    return host(normal_address(address))
