"""A mesh in the report: whether the calls went through its sidecars, which rules these followed, and who proved who.

Istio's sidecars write no ``via`` header. The client's shows itself by its own counters, the server's by the address
127.0.0.6, from which alone it calls the server beside it; mutual TLS by the certificate that it passes on in a header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.evidence import Evidence
from grpc_lb_lab.judge.reconciliation import lost_beside
from grpc_lb_lab.judge.text import count, listing, number

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.model.plan import Plan

CLIENT, SERVER = "istio-client", "istio-server"
HOPS = (CLIENT, SERVER)
FROM_SIDECAR = ("127.0.0.6", "::6")
CERTIFICATE = "x-forwarded-client-cert"
RIGHT_WAY = (
    "Test with a client inside the mesh: its namespace labelled istio-injection=enabled, its pod without the label "
    "sidecar.istio.io/inject=false"
)


def evidence(facts: Facts, plan: Plan) -> list[Evidence]:
    """What proves, or refutes, the sidecars that the strategy names; nothing for a strategy without any."""
    wanted = plan.strategy.hops
    found = []
    if CLIENT in wanted:
        found += [_beside_clients(facts), _rules(facts, plan)]
    if SERVER in wanted:
        found += [_beside_servers(facts), _server_counters(facts)]
    return found


def observed(facts: Facts) -> list[str]:
    """The sidecars that the calls passed."""
    client = [CLIENT] if any(proxy.hop == CLIENT for proxy in facts.proxies) else []
    return [*client, *([SERVER] if _through_sidecar(facts) * 2 > facts.ok else [])]


def figures(facts: Facts, plan: Plan) -> dict[str, Any]:
    """What the report says of the mesh; empty for a strategy without sidecars on the calls' way."""
    if not set(HOPS) & set(plan.strategy.hops):
        return {}
    certified = [path for path in facts.paths if CERTIFICATE in path.headers]
    own = [proxy for proxy in facts.proxies if proxy.hop == CLIENT]
    return {
        **facts.probes.get("mesh", {}),
        "mode": plan.strategy.mesh.mtls if plan.strategy.mesh else "",
        "calls_with_certificate": sum(path.requests for path in certified),
        "calls": facts.ok,
        "clients": sorted({_identity(path.headers[CERTIFICATE]) for path in certified}),
        "handshakes": sum(proxy.counters.get("ssl.handshake", 0) for proxy in own),
    }


def rules_missing(facts: Facts, plan: Plan) -> list[str]:
    """The settings of the DestinationRule that the client's sidecar does not have, as ``path value``."""
    told = facts.probes.get("mesh", {})
    if "rule" not in told or told.get("endpoints") != "EDS" or told.get("protocol") == "tcp":
        return []  # no rule can work there, and the counts show it
    wanted = _flat(_destination_rule(plan))
    return [f"{path} {value}" for path, value in wanted.items() if told["rule"].get(path) != value]


def why_pinned(facts: Facts, plan: Plan) -> str:
    """Why a mesh's calls all went to one replica, as the end of a sentence; empty where the mesh has no part in it."""
    told = facts.probes.get("mesh", {})
    if plan.strategy.mesh and plan.strategy.client.target == "port-forward":
        return (
            "kubectl port-forward opened one connection inside that pod, behind its sidecar, and bypassed the Service "
            "and the client's sidecar, which is what balances. It says nothing about Istio: test from inside the mesh"
        )
    if told.get("endpoints") == "ORIGINAL_DST":
        return (
            "the client called a headless name, and Istio's sidecar follows the replica that the client chose "
            "(ORIGINAL_DST) without a rule of its own. Call the Service's name with a cluster IP"
        )
    if told.get("protocol") == "tcp":
        return (
            "the Service's port says TCP, so the sidecar balances connections, and the client has one. Name the port "
            "grpc or grpc-…, or set appProtocol: grpc"
        )
    return ""


def why_even(facts: Facts, plan: Plan) -> str:
    """Who balanced, where a sidecar did, as the end of a sentence; empty where none did."""
    own = [proxy for proxy in facts.proxies if proxy.hop == CLIENT]
    if not own:
        return ""
    ends = "the client's one connection ends" if len(facts.connections) == 1 else "the clients' connections end"
    policy = _destination_rule(plan).get("loadBalancer", {}).get("simple", "")
    by = f" by {policy}" if policy else ""
    opened = count(sum(proxy.upstream_connections for proxy in own), "upstream connection")
    guessed = facts.probes.get("mesh", {}).get("protocol") == "guessed"
    only = ". It had to guess the protocol from the first bytes: name the port or set appProtocol" if guessed else ""
    return f"{ends} at Istio's sidecar, which balanced each call{by} over {opened}{only}"


def _destination_rule(plan: Plan) -> dict[str, Any]:
    return plan.strategy.mesh.destination_rule if plan.strategy.mesh else {}


def _beside_clients(facts: Facts) -> Evidence:
    """Each client's own sidecar must have counted the client's calls, or the connections that carried them."""
    own = [proxy for proxy in facts.proxies if proxy.hop == CLIENT]
    without = facts.clients - len(own)
    if without > 0:
        some = "the client has" if facts.clients == 1 else f"{number(without)} of {number(facts.clients)} clients have"
        detail = f"{some} no sidecar, so the calls bypassed the mesh. {RIGHT_WAY}"
        return Evidence(CLIENT, False, detail)
    if all(proxy.connections_only for proxy in own):
        opened = sum(proxy.upstream_connections for proxy in own)
        return Evidence(CLIENT, True, f"{CLIENT} forwarded {count(opened, 'connection')} and saw no calls in them")
    total = sum(proxy.upstream_requests for proxy in own)
    if total < facts.ok:
        detail = f"{CLIENT} counted {count(total, 'request')}, fewer than the calls answered. {RIGHT_WAY}"
        return Evidence(CLIENT, False, detail)
    return Evidence(CLIENT, True, f"{CLIENT} itself counted {count(total, 'request')}")


def _rules(facts: Facts, plan: Plan) -> Evidence:
    """A rule that the sidecar does not have was not under test."""
    missing = rules_missing(facts, plan)
    if missing:
        detail = (
            f"the client's sidecar does not follow the DestinationRule's {listing(missing)}: Istio ignored the field "
            "(a wrong or an outdated name), and Envoy's default is in force"
        )
        return Evidence(CLIENT, False, detail)
    return Evidence(CLIENT, True, f"{CLIENT} follows the DestinationRule")


def _beside_servers(facts: Facts) -> Evidence:
    through = _through_sidecar(facts)
    if through < facts.ok:
        past = f"{number(facts.ok - through)} of {count(facts.ok, 'call')}"
        detail = f"{past} reached a server past its sidecar (not from {FROM_SIDECAR[0]}): they must be in the mesh too"
        return Evidence(SERVER, False, detail)
    return Evidence(SERVER, True, f"the servers saw all {count(facts.ok, 'call')} come from {FROM_SIDECAR[0]}")


def _server_counters(facts: Facts) -> Evidence:
    own = [proxy for proxy in facts.proxies if proxy.hop == SERVER]
    total = sum(proxy.upstream_requests for proxy in own)
    if not own:
        return Evidence(SERVER, False, f"the counters of {SERVER} could not be read")
    if total + lost_beside(facts) < facts.ok:
        return Evidence(SERVER, False, f"{SERVER} counted {count(total, 'request')}, fewer than the calls answered")
    return Evidence(SERVER, True, f"{SERVER} itself counted {count(total, 'request')}")


def _through_sidecar(facts: Facts) -> int:
    return sum(path.requests for path in facts.paths if path.peer_host in FROM_SIDECAR)


def _identity(header: str) -> str:
    """``By=…;Hash=…;Subject="";URI=spiffe://cluster.local/ns/a/sa/b`` → the URI."""
    parts = dict(part.partition("=")[::2] for part in header.split(",")[-1].split(";"))
    return parts.get("URI", "unknown")


def _flat(rule: dict[str, Any], path: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` → ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for key, value in rule.items():
        found |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found
