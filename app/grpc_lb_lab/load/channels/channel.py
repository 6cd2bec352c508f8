"""An open channel as the lab sees it: what all modes have in common, and the usual case of one gRPC channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from grpc_lb_lab.load.channels import core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Caller = Callable[[bytes], Awaitable[core.Outcome]]
    Metadata = tuple[tuple[str, str], ...]

NOTHING = core.Look("IDLE", {}, ())


class LabChannel(Protocol):
    """What the load, the warm-up and the recorder need of a channel, however it balances.

    ``connects_to_all``: it is warm when every address is connected, not just one. ``policy`` names what balances;
    empty: the policy that gRPC itself names.
    """

    index: int
    connects_to_all: bool
    policy: str

    async def start(self) -> None:
        """Begin to connect. Raises ``LabError`` when there is nothing to connect to and never will be."""

    def caller(self, method: str, metadata: Metadata, deadline_s: float) -> Caller:
        """A function that makes one call, as ``core.unary_caller``; ``method`` without a leading slash."""

    def look(self) -> core.Look:
        """State and addresses now."""

    def channelz_ids(self) -> list[int]:
        """The gRPC channels that it consists of now."""

    def facts(self) -> dict[str, float | int | str | list[Any]]:
        """What it did by itself, for the report; empty: nothing worth telling."""

    async def close(self) -> None:
        """Close all connections."""


class GrpcChannel:
    """One gRPC channel."""

    policy = ""

    def __init__(self, index: int, uri: str, options: Sequence[tuple[str, Any]], connects_to_all: bool) -> None:
        """Needs a running event loop; connects nothing yet."""
        self.index = index
        self.connects_to_all = connects_to_all
        self.channel, self.channelz_id = core.open_channel(uri, options)

    async def start(self) -> None:
        """Begin to connect."""
        self.channel.get_state(try_to_connect=True)

    def caller(self, method: str, metadata: Metadata, deadline_s: float) -> Caller:
        """A function that makes one call."""
        return core.unary_caller(self.channel, f"/{method}", metadata, deadline_s)

    def look(self) -> core.Look:
        """State and addresses now."""
        return core.look_at(self.channelz_id)

    def channelz_ids(self) -> list[int]:
        """The one channel."""
        return [self.channelz_id]

    def facts(self) -> dict[str, float | int | str | list[Any]]:
        """Nothing: gRPC does not tell."""
        return {}

    async def close(self) -> None:
        """Close all connections."""
        await self.channel.close()
