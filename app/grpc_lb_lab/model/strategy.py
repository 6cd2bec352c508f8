"""A strategy: one way to balance, as its file says it once settings have settled it.

``Strategy.parse`` is the one place that reads the words of a strategy file (charts/grpc-echo/values.schema.json);
everybody else asks the dataclass. Defaults are those of a file that says nothing of a key.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from grpc_lb_lab.model.data import InWords


@dataclass(frozen=True)
class Keys:
    """Every call carries one of ``count`` keys in the request header ``header``."""

    header: str = ""
    count: int = 0


@dataclass(frozen=True)
class Pool:
    """Of the channel ``pool``: connections to each address, and how often each is checked."""

    connections_per_address: int = 2
    check_interval_ms: int = 10_000


@dataclass(frozen=True)
class ClientKeepalive:
    """gRPC's keepalive; None: what gRPC does by itself."""

    time_ms: int | None = None
    timeout_ms: int | None = None
    permit_without_calls: bool = False


@dataclass(frozen=True)
class Client:
    """The client's part. ``service_config`` and ``outlier_detection`` are gRPC's own JSON, the latter None for none.

    ``methods`` are full names that the calls take in turn, empty for the echo service's. ``dns_min_interval_ms`` None:
    gRPC's own.
    """

    channel: str = ""
    target: str = ""
    pool: Pool = field(default_factory=Pool)
    keys: Keys = field(default_factory=Keys)
    methods: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    service_config: dict[str, Any] = field(default_factory=dict)
    outlier_detection: dict[str, Any] | None = None
    dns_min_interval_ms: int | None = None
    keepalive: ClientKeepalive = field(default_factory=ClientKeepalive)

    @property
    def policy(self) -> str:
        """The load-balancing policy among the addresses, as gRPC chooses it; a channel of ours is its own."""
        if self.channel != "pick_first":
            return self.channel
        offered = [name for entry in self.service_config.get("loadBalancingConfig", []) for name in entry]
        named = str(self.service_config.get("loadBalancingPolicy", "")).lower()
        return next(iter(offered), named or "pick_first")

    def retries(self, code: str) -> bool:
        """Whether calls that fail with ``code`` are tried again."""
        policies = (entry.get("retryPolicy", {}) for entry in self.service_config.get("methodConfig", []))
        return any(code in policy.get("retryableStatusCodes", []) for policy in policies)


@dataclass(frozen=True)
class ServerKeepalive:
    """What pings a server permits; None: what gRPC permits by itself."""

    min_interval_ms: int | None = None
    permit_without_calls: bool | None = None


@dataclass(frozen=True)
class Server:
    """The servers' part; None: the server's default."""

    keepalive: ServerKeepalive = field(default_factory=ServerKeepalive)
    max_connection_age_ms: int | None = None
    max_connection_age_grace_ms: int | None = None
    work_ms: int | None = None
    drain_s: float | None = None
    grace_s: float | None = None


@dataclass(frozen=True)
class ShownWith:
    """The load that a strategy is shown with where the user asks for nothing else; None: the general default."""

    clients: int | None = None
    connections: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Gateway:
    """A proxy at the edge: its program, and its file below ``files/gateway``."""

    proxy: str = ""
    config: str = ""


@dataclass(frozen=True)
class Envoy:
    """Files below ``files/envoy`` of the Envoys beside client and servers, empty for none; their policy."""

    client: str = ""
    server: str = ""
    lb_policy: str = ""


@dataclass(frozen=True)
class Mesh:
    """Istio: what it injects (``sidecar``, ``grpc-agent``) and what it is told. ``pitfall``: a mistake to be shown."""

    proxy: str = ""
    mtls: str = ""
    destination_rule: dict[str, Any] = field(default_factory=dict)
    pitfalls: list[str] = field(default_factory=list)
    pitfall: str = ""


@dataclass(frozen=True)
class Drain:
    """How long a pod goes on after it was told to end: before its servers hear of it, and in all. None: the lab's."""

    pre_stop_s: int | None = None
    grace_s: int | None = None


@dataclass(frozen=True)
class Proxies:
    """The proxies on the way of the calls, each by its program: envoy, nginx, haproxy, istio; empty for none."""

    client: str = ""
    gateway: str = ""
    server: str = ""

    @property
    def balance(self) -> bool:
        """Whether a proxy chooses the replica: each call then takes any of its connections."""
        return bool(self.client or self.gateway)


@dataclass(frozen=True)
class Needs:
    """Which parts a strategy needs that cost something to start; the words are those of the strategy file."""

    service: bool
    sidecar: bool
    server_proxy: str = ""
    gateway: str = ""
    forward: bool = False
    control_plane: str = ""

    @property
    def envoy(self) -> bool:
        """Whether anything needs the Envoy program."""
        return self.service or self.sidecar or bool(self.server_proxy) or self.gateway == "envoy"


Discovery = Literal["service", "port-forward", "proxy", "dns", "pick_first", "pool", "endpoints", "lookaside", "xds"]
"""Who hears of replicas, and how: what chooses once a connection, a proxy, or a client with its channel."""


@dataclass(frozen=True)
class Strategy(InWords):
    """One way to balance.

    ``expect``: scenario to what is expected of it, a class for ``steady`` and a map for the others. ``refuse``:
    scenario to the reason why it makes no sense. ``precision``: ``exact`` (a policy that counts) or ``chance`` (one
    that draws). ``hops``: what each call passes between client and server. ``replicas``: a number that the strategy
    insists on, 0 for none. ``control_plane``: a server of the lab that tells of addresses, empty for none.
    ``clusters``: where it can run, empty for everywhere. ``weights``: of the replicas, None where they are alike.
    """

    name: str = ""
    title: str = ""
    shows: str = ""
    advice: str = ""
    when: str = ""
    avoid: str = ""
    expect: dict[str, Any] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    precision: str = "exact"
    hops: list[str] = field(default_factory=list)
    replicas: int = 0
    clusters: list[str] = field(default_factory=list)
    client: Client = field(default_factory=Client)
    server: Server = field(default_factory=Server)
    load: ShownWith = field(default_factory=ShownWith)
    gateway: Gateway | None = None
    control_plane: str = ""
    envoy: Envoy = field(default_factory=Envoy)
    mesh: Mesh | None = None
    drain: Drain = field(default_factory=Drain)
    weights: list[float] | None = None
    words: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The file itself, for whoever writes it down again."""

    @classmethod
    def parse(cls, words: dict[str, Any]) -> Strategy:
        """Read what a strategy file says. Raises ``ValueError`` for words or a section that are no map."""
        if not isinstance(words, dict):
            raise ValueError("the strategy is no map")
        described = _section(words, "strategy")
        parts = {name: _section(words, name) for name in ("client", "server", "load", "envoy", "drain")}
        optional = {name: _section(words, name) or None for name in ("gateway", "mesh")}
        data = {**described, **parts, **optional, "controlPlane": words.get("controlPlane") or ""}
        return dataclasses.replace(_read(cls, data), words=words)

    def runs_on(self, cluster: str) -> bool:
        """Whether the strategy can run on a cluster of this kind."""
        return not self.clusters or cluster in self.clusters

    def expecting(self, expect: dict[str, Any]) -> Strategy:
        """Return the same strategy, of which something else is expected."""
        return self.parse({**self.words, "strategy": {**self.words["strategy"], "expect": expect}})

    @property
    def exact(self) -> bool:
        """Whether the policy counts and so must be even to a call; other policies draw."""
        return self.precision == "exact"

    @property
    def proxies(self) -> Proxies:
        """The proxies that the calls pass."""
        beside_client = "envoy" if self.envoy.client or self.client.target == "sidecar" else ""
        return Proxies(
            client="istio" if "istio-client" in self.hops else beside_client,
            gateway=self.gateway.proxy if self.gateway else "",
            server="envoy" if self.envoy.server else "istio" if "istio-server" in self.hops else "",
        )

    @property
    def programs(self) -> set[str]:
        """The programs whose versions matter: those of its proxies, and Istio."""
        return {*dataclasses.astuple(self.proxies), "istio" if self.mesh else ""} - {""}

    @property
    def needs(self) -> Needs:
        """The parts that must run."""
        return Needs(
            service=self.client.target == "service",
            sidecar=bool(self.envoy.client),
            server_proxy=self.envoy.server,
            gateway=self.proxies.gateway,
            forward=self.client.target == "port-forward",
            control_plane=self.control_plane,
        )

    @property
    def discovery(self) -> Discovery:
        """Who hears of replicas that come and go."""
        if self.hops:
            return cast("Discovery", self.hops[0]) if self.hops[0] in ("service", "port-forward") else "proxy"
        if self.client.channel in ("lookaside", "xds", "pool", "pick_first"):
            return cast("Discovery", self.client.channel)
        return "endpoints" if self.client.target == "endpoints" else "dns"


def _section(words: dict[str, Any], name: str) -> dict[str, Any]:
    section = words.get(name)
    if section is not None and not isinstance(section, dict):
        raise ValueError(f"section {name!r} of the strategy is no map")
    return section or {}


def _read[T](cls: type[T], data: dict[str, Any]) -> T:
    """Build a dataclass from what a file says in camelCase; what it says nothing of has its default."""
    hints = typing.get_type_hints(cls)
    found = {item.name: data[_camel(item.name)] for item in dataclasses.fields(cls) if _camel(item.name) in data}  # type: ignore[arg-type]
    return cls(**{name: _convert(hints[name], value) for name, value in found.items()})


def _convert(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is types.UnionType:
        hint = typing.get_args(hint)[0]
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _read(cast("type", hint), value)
    return value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
