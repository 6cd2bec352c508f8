"""What DNS says of the replicas while a scenario runs: asked again and again, so that a change has a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model.result import DnsAnswer
from grpc_lb_lab.observe import names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EVERY_S = 0.25
ANSWERS_KEPT = 500


class DnsWatch:
    """Asks for a name four times a second, and keeps each answer that differs from the one before."""

    def __init__(
        self, address: str, server: str, resolve: Callable[[str, str], Awaitable[list[str]]] = names.resolve
    ) -> None:
        """``address`` is ``HOST:PORT``, ``server`` as in ``names.resolve``.

        The name is asked in capitals, which DNS takes for the same: a query log can tell it from gRPC's questions.
        """
        self._answers: list[DnsAnswer] = []
        self._address = address.upper()
        self._server = server
        self._resolve = resolve

    async def run(self) -> None:
        """Until cancelled. No answer (a server that is silent) is no news; a name without addresses is."""
        while True:
            asked = time.time()
            try:
                self._take(asked, await self._resolve(self._address, self._server))
            except names.NoAddressError:
                self._take(asked, [])
            except OSError:
                pass
            await asyncio.sleep(EVERY_S)

    @property
    def answers(self) -> list[DnsAnswer]:
        """What was answered, in order; nothing where the name never had an address: it means nothing here."""
        return self._answers if any(answer.addresses for answer in self._answers) else []

    def _take(self, at: float, addresses: list[str]) -> None:
        hosts = [address.rpartition(":")[0] for address in addresses]
        if len(self._answers) < ANSWERS_KEPT and (not self._answers or self._answers[-1].addresses != hosts):
            self._answers.append(DnsAnswer(at, hosts))
