"""The standard gRPC health service, without a deadlock of grpcio-health-checking."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health

if TYPE_CHECKING:
    from collections.abc import Callable


class HealthServicer(health.HealthServicer):  # type: ignore[misc]  # the library has no types
    """As the library's, but a watch that ends does not wait for the servicer's lock in the server's only event thread.

    The library holds its lock while it sends, and a send ends only when that thread sees to it (grpc/grpc#43403, open).
    A server that was stopped for a while, with watches that were given up meanwhile, never answered again.
    """

    def _on_close_callback(self, send_response_callback: Callable[[Any], None], service: str) -> Callable[[], None]:
        close: Callable[[], None] = super()._on_close_callback(send_response_callback, service)
        return lambda: threading.Thread(target=close, name="watch-ended", daemon=True).start()
