"""Channels whose addresses come from a control plane of the lab: the lookaside balancer and gRPC's own xDS."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.load.channels import core
from grpc_lb_lab.load.channels.channel import NOTHING, GrpcChannel
from grpc_lb_lab.load.channels.lookaside import LookasideChannel
from grpc_lb_lab.load.channels.xds_bootstrap import xds_bootstrap
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.observe import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grpc_lb_lab.load.channels.channel import Caller, Metadata

SERVICE = "echo"
"""The name that control planes know the service by."""

XDS_LIMIT_S = 10.0
LOOK_S = 0.02
BOOTSTRAP = "GRPC_XDS_BOOTSTRAP_CONFIG"
BOOTSTRAP_FILE = "GRPC_XDS_BOOTSTRAP"
"""gRPC takes a file before a text; Istio's agent writes one."""


class FollowingChannel:
    """A channel that follows the lookaside balancer at ``balancer`` (a gRPC target)."""

    policy = ""
    connects_to_all = True

    def __init__(
        self,
        index: int,
        balancer: str,
        options: Sequence[tuple[str, Any]],
        service_config: Mapping[str, Any],
        seed: int,
    ) -> None:
        """Nothing happens before ``start``."""
        self.index = index
        self._follower = LookasideChannel(balancer, SERVICE, options, service_config, seed=seed)

    async def start(self) -> None:
        """Wait for the balancer's first list. Raises ``LabError`` with the balancer's last words when none comes."""
        await self._follower.start()

    def caller(self, method: str, metadata: Metadata, deadline_s: float) -> Caller:
        """A function that makes one call, over the list that is in force then."""
        return self._follower.unary_caller(f"/{method}", metadata, deadline_s)

    def look(self) -> core.Look:
        """State and addresses now."""
        current = self._follower.channelz_id
        return NOTHING if current is None else core.look_at(current)

    def channelz_ids(self) -> list[int]:
        """The channel over the list that is in force; none for an empty list."""
        current = self._follower.channelz_id
        return [] if current is None else [current]

    def facts(self) -> dict[str, float | int | str | list[Any]]:
        """How many lists the balancer sent that were put in force."""
        return {"lists": self._follower.updates, "addresses": len(self._follower.resolved)}

    async def close(self) -> None:
        """Close all connections."""
        await self._follower.close()


class XdsChannel:
    """gRPC's own xDS client: ``xds:///echo`` from the control plane at ``address`` (``HOST:PORT``).

    The xDS client resolves by the system's names only, so the address goes into its bootstrap, resolved by the lab.
    Without an address the environment names a bootstrap (a mesh's), and ``name`` is what that control plane knows.
    """

    policy = ""
    connects_to_all = True

    def __init__(
        self, index: int, address: str, dns: str, options: Sequence[tuple[str, Any]], name: str = SERVICE
    ) -> None:
        """Nothing happens before ``start``."""
        self.index = index
        self._name = name
        self._address = address
        self._dns = dns
        self._options = options
        self._inner: GrpcChannel | None = None

    async def start(self) -> None:
        """Wait until the control plane's configuration works; ``LabError`` with gRPC's last words if it does not."""
        plane = await self._bootstrap()
        self._inner = GrpcChannel(self.index, f"xds:///{self._name}", self._options, self.connects_to_all)
        end = time.monotonic() + XDS_LIMIT_S
        while self._inner.channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            if time.monotonic() >= end:
                raise LabError(
                    f"the xDS control plane at {plane} gave no configuration for {self._name!r} "
                    f"that works within {XDS_LIMIT_S:g} s: {await self._last_words(self._inner)}"
                )
            await asyncio.sleep(LOOK_S)

    async def _bootstrap(self) -> str:
        """Have a bootstrap in the environment, where gRPC reads it once in a process's life; says where it leads."""
        if not self._address:
            if not os.environ.get(BOOTSTRAP_FILE):
                raise LabError("no mesh named an xDS control plane: Istio's agent is not beside this client")
            return f"{os.environ[BOOTSTRAP_FILE]} (Istio's agent)"
        try:
            addresses = await names.resolve(self._address, self._dns)
        except OSError as error:
            raise LabError(f"the xDS control plane has no address: {error}") from error
        os.environ.setdefault(BOOTSTRAP, xds_bootstrap(addresses[0], f"{socket.gethostname()}-{os.getpid()}"))
        return f"{self._address} ({addresses[0]})"

    def caller(self, method: str, metadata: Metadata, deadline_s: float) -> Caller:
        """A function that makes one call."""
        return self._started.caller(method, metadata, deadline_s)

    def look(self) -> core.Look:
        """State and addresses now."""
        return self._started.look()

    def channelz_ids(self) -> list[int]:
        """The one channel."""
        return self._started.channelz_ids()

    def facts(self) -> dict[str, float | int | str | list[Any]]:
        """Nothing: gRPC does not tell."""
        return {}

    async def close(self) -> None:
        """Close all connections."""
        if self._inner:
            await self._inner.close()

    @property
    def _started(self) -> GrpcChannel:
        assert self._inner is not None, "start first"
        return self._inner

    async def _last_words(self, inner: GrpcChannel) -> str:
        try:
            check: Any = inner.channel.unary_unary("/grpc.health.v1.Health/Check")
            await check(b"", timeout=0.5)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return "it came just now"
