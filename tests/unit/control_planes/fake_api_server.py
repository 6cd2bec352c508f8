"""The part of a Kubernetes API server that EndpointSlices need: list and watch as JSON over HTTP, on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

ADDRESS = "127.78.9.210"
PATH = "/apis/discovery.k8s.io/v1/namespaces/lab/endpointslices"


def piece(name: str, *addresses: str, service: str = "echo", **changes: Any) -> dict[str, Any]:
    """One EndpointSlice; an address may bear its conditions: ``10.0.0.1 ready=false serving=true``."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "metrics", "port": 9090}, {"name": "grpc", "port": 50051}],
        "endpoints": [_endpoint(*address.split()) for address in addresses],
        **changes,
    }


def _endpoint(address: str, *conditions: str) -> dict[str, Any]:
    pairs = (condition.split("=") for condition in conditions)
    return {
        "addresses": [address],
        "conditions": {name: value == "true" for name, value in pairs},
        "targetRef": {"kind": "Pod", "name": f"pod-{address}", "uid": f"uid-{address}"},
    }


class ApiServer:
    """Keeps slices and the log of their changes; may be stopped and started again at its port."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._slices: dict[str, dict[str, Any]] = {}
        self._log: list[tuple[int, dict[str, Any]]] = []
        self._version = 100
        self._oldest = 0
        self._sockets: set[socket.socket] = set()
        self._epoch = 0
        self.port = 0
        self.lists = 0
        self.watches = 0
        self.start()

    def start(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((ADDRESS, self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._epoch += 1
            self._changed.notify_all()
            sockets, self._sockets = self._sockets, set()
        self._server.shutdown()
        self._server.server_close()
        for open_socket in sockets:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def put(self, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        with self._changed:
            self._record("MODIFIED" if name in self._slices else "ADDED", document)
            self._slices[name] = document

    def delete(self, name: str) -> None:
        with self._changed:
            self._record("DELETED", self._slices.pop(name))

    def bookmark(self) -> None:
        with self._changed:
            self._record("BOOKMARK", {"metadata": {}})

    def compact(self) -> None:
        """Forget the past: whoever asks for it gets 410; open watches end with it."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._log.clear()
            self._changed.notify_all()

    def _record(self, kind: str, document: dict[str, Any]) -> None:
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self._log.append((self._version, {"type": kind, "object": json.loads(json.dumps(document))}))
        self._changed.notify_all()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urlparse(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path != PATH:
            request.send_error(404)
            return
        with self._changed:
            self._sockets.add(request.connection)
        if query.get("watch") in ("true", "True"):
            self.watches += 1
            self._watch(request, int(query["resourceVersion"]))
        else:
            self.lists += 1
            self._list(request)

    def _list(self, request: BaseHTTPRequestHandler) -> None:
        with self._changed:
            items = list(self._slices.values())
            body = json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": items}).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _watch(self, request: BaseHTTPRequestHandler, version: int) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        epoch = self._epoch
        while True:
            with self._changed:
                while self._epoch == epoch and self._version <= version:
                    self._changed.wait()
                if self._epoch != epoch:
                    return
                gone = version < self._oldest
                events = [event for number, event in self._log if number > version]
                version = self._version
            if gone:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                events = [{"type": "ERROR", "object": status}]
            for event in events:
                line = json.dumps(event).encode() + b"\n"
                for half in (line[: len(line) // 2], line[len(line) // 2 :]):  # lines need not fit chunks
                    request.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
                    request.wfile.flush()
            if gone:
                request.wfile.write(b"0\r\n\r\n")
                return
