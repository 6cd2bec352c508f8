"""How the client makes its channel: one function a mode, the word of ``client.channel`` in a strategy file.

Each takes the plan and the channel's number and returns an open channel; what all modes share is below.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.channels.channel import GrpcChannel
from grpc_lb_lab.load.channels.control_planes import FollowingChannel, XdsChannel
from grpc_lb_lab.load.channels.pool import PoolChannel
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.observe import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.strategy import ClientKeepalive

    MakeChannel = Callable[[Plan, int], LabChannel]

# Room for all events of a channel to 200 replicas, the most there are: the first one names the policy.
TRACE_MEMORY_BYTES = 262_144
# pick_first sets nothing, so a run proves that it is gRPC's default. xds gets its policy from the control plane.
POLICIES: dict[str, list[dict[str, Any]]] = {"round_robin": [{"round_robin": {}}]}


def pick_first(plan: Plan, index: int) -> LabChannel:
    """gRPC's default: the first address that connects gets every call."""
    return GrpcChannel(index, target_uri(plan), channel_options(plan), connects_to_all=False)


def round_robin(plan: Plan, index: int) -> LabChannel:
    """A connection to each address, calls in turn."""
    return GrpcChannel(index, target_uri(plan), channel_options(plan), connects_to_all=True)


def pool(plan: Plan, index: int) -> LabChannel:
    """Connections of the client's own to each address, checked by itself: ``load/channels/pool.py``."""
    settings = plan.strategy.client.pool
    resolve = functools.partial(names.resolve, target_address(plan), plan.dns)
    check_s = settings.check_interval_ms / 1000
    return PoolChannel(index, resolve, channel_options(plan), settings.connections_per_address, check_s)


def lookaside(plan: Plan, index: int) -> LabChannel:
    """Follows the balancer's stream of addresses: ``load/channels/lookaside.py``."""
    options = [option for option in channel_options(plan) if option[0] != "grpc.service_config"]
    seed = plan.load.seed + index
    return FollowingChannel(index, target_uri(plan), options, plan.strategy.client.service_config, seed)


def xds(plan: Plan, index: int) -> LabChannel:
    """gRPC's own xDS client, no proxy: ``load/channels/control_planes.py``."""
    if plan.strategy.client.target == "mesh":
        return XdsChannel(index, "", plan.dns, channel_options(plan), name=target_address(plan))
    return XdsChannel(index, target_address(plan), plan.dns, channel_options(plan))


MODES: dict[str, MakeChannel] = {
    "pick_first": pick_first,
    "round_robin": round_robin,
    "pool": pool,
    "lookaside": lookaside,
    "xds": xds,
}


def mode_of(plan: Plan) -> MakeChannel:
    """The plan's mode. Raises ``LabError`` naming an unknown one."""
    name = plan.strategy.client.channel
    if name not in MODES:
        raise LabError(f"client.channel must be one of {', '.join(MODES)}, not {name!r}")
    return MODES[name]


def target_address(plan: Plan) -> str:
    """``HOST:PORT`` of the plan's target (``endpoints``: a list of them, with commas).

    Raises ``LabError`` when the plan has no such target.
    """
    word = plan.strategy.client.target
    if word == "endpoints" and plan.targets.get(word) == "":
        raise LabError("the list of endpoints is empty: no replica was ready when the load began")
    if not plan.targets.get(word):
        raise LabError(f"client.target is {word!r}, but the plan has only: {', '.join(sorted(plan.targets))}")
    return plan.targets[word]


def target_uri(plan: Plan) -> str:
    """The gRPC target: names through DNS (the plan's server, else the machine's), the rest as plain addresses."""
    address = target_address(plan)
    if plan.strategy.client.target in ("service", "headless", "lookaside"):
        return f"dns://{plan.dns}/{address}"
    return f"ipv4:{address}"


def service_config(plan: Plan) -> dict[str, Any]:
    """The strategy's service config with the mode's policy in it; empty when the strategy says nothing."""
    client = plan.strategy.client
    policy = POLICIES.get(client.channel)
    if policy and client.outlier_detection is not None:
        policy = [{"outlier_detection_experimental": {**client.outlier_detection, "childPolicy": policy}}]
    return {**client.service_config, **({"loadBalancingConfig": policy} if policy else {})}


def channel_options(plan: Plan) -> list[tuple[str, int | str]]:
    """The gRPC channel arguments (names: grpc/impl/channel_arg_names.h)."""
    options: list[tuple[str, int | str]] = [
        ("grpc.enable_channelz", 1),
        ("grpc.max_channel_trace_event_memory_per_node", TRACE_MEMORY_BYTES),
        # Channels with the same target and arguments share connections otherwise: n connections would be one.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy of the environment (http_proxy) would be a hop that no strategy names.
        ("grpc.enable_http_proxy", 0),
    ]
    config = service_config(plan)
    if config:
        options.append(("grpc.service_config", json.dumps(config, sort_keys=True)))
    if plan.strategy.client.dns_min_interval_ms is not None:
        options.append(("grpc.dns_min_time_between_resolutions_ms", plan.strategy.client.dns_min_interval_ms))
    return options + _keepalive(plan.strategy.client.keepalive)


def open_channels(plan: Plan) -> list[LabChannel]:
    """Make the plan's channels, ``load.connections`` of them; needs a running event loop. Connects nothing yet."""
    return [mode_of(plan)(plan, index) for index in range(plan.load.connections)]


def _keepalive(keepalive: ClientKeepalive) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = []
    if keepalive.time_ms is not None:
        options.append(("grpc.keepalive_time_ms", keepalive.time_ms))
    if keepalive.timeout_ms is not None:
        options.append(("grpc.keepalive_timeout_ms", keepalive.timeout_ms))
        # chttp2 waits for this one, 60 s by default, whatever the keepalive timeout says (grpc/grpc#39239).
        options.append(("grpc.http2.ping_timeout_ms", keepalive.timeout_ms))
    if keepalive.permit_without_calls:
        options.append(("grpc.keepalive_permit_without_calls", 1))
        options.append(("grpc.http2.max_pings_without_data", 0))
    return options
