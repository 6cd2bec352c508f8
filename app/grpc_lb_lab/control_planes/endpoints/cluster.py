"""Endpoints from the EndpointSlices of a Kubernetes namespace: list, then watch, for ever."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client, config

from grpc_lb_lab.control_planes.endpoints.backoff import Backoff
from grpc_lb_lab.control_planes.endpoints.board import Board
from grpc_lb_lab.control_planes.endpoints.slices import absent, keeping, merge
from grpc_lb_lab.control_planes.endpoints.wires import Wires
from grpc_lb_lab.json_log import log
from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpc_lb_lab.control_planes.endpoints.model import Endpoint

CONNECT_LIMIT_S = 5
WATCH_S = 300


class WatchError(Exception):
    """The watch ended with an error event; ``code`` is the HTTP status in it."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the code beside the message."""
        super().__init__(f"{code}: {message}")
        self.code = code


def cluster_configuration() -> client.Configuration:
    """The cluster this pod runs in, else the one of the kubeconfig. Raises ``LabError`` when there is neither."""
    configuration = client.Configuration()
    try:
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as problem:
        raise LabError(f"no Kubernetes cluster to watch: {problem}") from problem
    return configuration


class ClusterSource(Board):
    """The endpoint source that watches EndpointSlices; needs get, list and watch on them in its namespace.

    Every fault (the API server restarts, a resource version expired) keeps the last snapshot, then lists anew. An
    address that vanished from all slices stays for ``settle_s`` seconds: one that moves to another slice is removed and
    added by two events, and must not disappear in between. New addresses and lost readiness count at once.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        namespace: str,
        settle_s: float = 0.2,
        backoff: Backoff | None = None,
    ) -> None:
        """Watch ``namespace`` of the cluster that ``configuration`` leads to."""
        super().__init__()
        # The loop below does all retrying; urllib3's own would only hide it.
        configuration.retries = urllib3.Retry(0)
        # A watch is silent for minutes: only TCP can tell that the other side has gone.
        configuration.keep_alive = True
        api = client.ApiClient(configuration)
        self._wires = Wires()
        self._wires.attach(api.rest_client.pool_manager)
        self._api = client.DiscoveryV1Api(api)
        self._namespace = namespace
        self._settle_s = settle_s
        self._backoff = backoff or Backoff(0.2, 10.0)
        self._slices: dict[str, dict[str, Any]] = {}
        self._state = threading.RLock()
        self._gone_at: dict[tuple[str, Endpoint], float] = {}
        self._settling: threading.Timer | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch endpointslices", daemon=True)

    def start(self) -> None:
        """Begin in the background; a cluster that does not answer is tried again and again."""
        self._thread.start()

    def close(self) -> None:
        """Stop, wherever the thread is: in a request, in a watch, or between two."""
        self._stop.set()
        self._wires.cut()
        with self._state:
            if self._settling:
                self._settling.cancel()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                version = self._list()
                self._backoff.succeeded()
                while not self._stop.is_set():
                    version = self._watch(version)
            except (client.ApiException, WatchError, urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
                if self._stop.is_set():
                    return
                status = getattr(problem, "status", None) or getattr(problem, "code", None)
                wait_s = self._backoff.next_s()
                log("watch-failed", status=status, problem=str(problem).split("\n")[0], retry_in_s=round(wait_s, 3))
                self._stop.wait(wait_s)

    def _list(self) -> str:
        """Take over the whole list; returns its resource version."""
        with self._request(timeout_s=30) as response:
            document = json.loads(response.data)
        with self._state:
            self._slices = {_name(piece): piece for piece in document.get("items") or []}
            self._changed()
        return str(document["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow one watch until the server ends it; returns the resource version to go on from."""
        started = time.monotonic()
        seen = 0
        with self._request(
            timeout_s=WATCH_S + 30,
            watch=True,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_S,
        ) as response:
            for event in _events(response):
                self._apply(event)
                version = str(event["object"]["metadata"]["resourceVersion"])
                seen += 1
        if not seen and time.monotonic() - started < 1:
            # A server that ends each watch at once must not be asked without a pause.
            self._stop.wait(self._backoff.next_s())
        return version

    @contextlib.contextmanager
    def _request(self, timeout_s: float, **arguments: Any) -> Iterator[Any]:
        response: Any = self._api.list_namespaced_endpoint_slice(
            self._namespace, _preload_content=False, _request_timeout=(CONNECT_LIMIT_S, timeout_s), **arguments
        )
        try:
            if response.status != 200:
                raise client.ApiException(status=response.status, reason=response.reason)
            yield response
        finally:
            response.close()

    def _apply(self, event: dict[str, Any]) -> None:
        kind, piece = event["type"], event["object"]
        if kind == "ERROR":
            raise WatchError(int(piece.get("code") or 0), str(piece.get("message") or piece.get("reason")))
        if kind == "BOOKMARK":
            return
        with self._state:
            if kind == "DELETED":
                self._slices.pop(_name(piece), None)
            else:
                self._slices[_name(piece)] = piece
            self._changed()

    def _changed(self) -> None:
        """Publish what the slices say, and keep for a moment what stands in no slice any more. Holds the lock."""
        now = time.monotonic()
        new = merge(self._slices.values())
        old = self.snapshot()
        missing = absent(old, new) if old else set()
        self._gone_at = {key: self._gone_at.get(key, now) for key in missing}
        kept = {key for key, gone_at in self._gone_at.items() if now - gone_at < self._settle_s}
        self.publish(keeping(new, kept))
        if kept and not self._settling:
            first = min(self._gone_at[key] for key in kept)
            self._settling = threading.Timer(first + self._settle_s - now, self._settled)
            self._settling.daemon = True
            self._settling.start()

    def _settled(self) -> None:
        with self._state:
            self._settling = None
            if not self._stop.is_set():
                self._changed()


def _name(piece: dict[str, Any]) -> str:
    return str(piece["metadata"]["name"])


def _events(response: Any) -> Iterator[dict[str, Any]]:
    """The events of a watch: one JSON object a line, lines cut anywhere by the transport."""
    rest = b""
    for chunk in response.stream(amt=65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
