"""A real gRPC client: each line on stdin is a number of calls to make, each line on stdout who answered them."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

import grpc
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc


def main(target: str) -> None:
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    with grpc.insecure_channel(target, options=options) as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        for line in sys.stdin:
            wish = json.loads(line)
            pods: Counter[str] = Counter()
            errors: Counter[str] = Counter()
            for _ in range(wish["count"]):
                try:
                    reply = stub.Echo(echo_pb2.EchoRequest(), timeout=5)
                    pods[reply.backend.pod] += 1
                    if not reply.peer:
                        errors["no peer"] += 1
                except grpc.RpcError as error:
                    errors[f"{error.code().name}: {error.details()}"] += 1
                time.sleep(wish["interval_s"])
            print(json.dumps({"pods": pods, "errors": errors}), flush=True)


main(sys.argv[1])
