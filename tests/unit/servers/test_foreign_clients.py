"""People call the echo server with tools of their own: by reflection, or with the files of proto/."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grpc
import optional_programs
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_lb_lab.servers import routed_services
from grpc_lb_lab.servers.echo import REFLECTED
from grpc_lb_lab.servers.service import SERVICE
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PROTO = Path(__file__).parents[3] / "proto"
CALLED = {SERVICE: "Echo", **routed_services.METHODS}
VERSIONS = ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection")


def ask(channel: grpc.Channel, version: str, request: reflection_pb2.ServerReflectionRequest):
    """The one answer to a question to a version of reflection: the messages of both are the same on the wire."""
    call = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(iter(call(iter([request]), timeout=5)))


@pytest.mark.parametrize(("service", "method"), CALLED.items())
def test_a_client_that_knows_nothing_calls_by_reflection(start_echo, connect, service, method):
    """What grpcurl and ghz do: read the descriptors, make the messages from them, call."""
    channel = connect(start_echo())
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {*REFLECTED, *VERSIONS}
    found = descriptor_pool.DescriptorPool(database).FindServiceByName(service).methods_by_name[method]
    call = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
    )
    reply = call(message_factory.GetMessageClass(found.input_type)(payload=b"hello"), timeout=5)
    assert (reply.payload, reply.backend.uid) == (b"hello", "uid-a")


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_finds_services_methods_messages_and_fields_in_both_versions(start_echo, connect, version):
    channel = connect(start_echo())
    methods = [f"{service}.{method}" for service, method in CALLED.items()]
    members = ["echo.v1.EchoService.Stats", "echo.v1.EchoReply.PathHeadersEntry", "echo.v1.StatsReply.run_cpu_seconds"]
    for symbol in (*REFLECTED, *VERSIONS, *methods, *members):
        answer = ask(channel, version, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        assert answer.file_descriptor_response.file_descriptor_proto, symbol
    for symbol in ("echo.v1.EchoService.Nothing", "echo.v1.Nothing", "Nothing", ""):
        answer = ask(channel, version, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], symbol


def test_the_files_of_proto_stand_by_themselves_for_every_parser(tmp_path):
    """Below proto/ all that is imported is found, and nothing is used that parsers of proto3 lack."""
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    out = tmp_path / "files"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}", f"--descriptor_set_out={out}", *files],
        check=True,
    )
    described = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    assert [file.name for file in described if file.syntax == "proto3"] == files
    fields = [field for file in described for message in file.message_type for field in message.field]
    assert [field.name for field in fields if field.proto3_optional] == []


def test_health_is_told_of_the_server_and_of_each_service(start_echo, connect, ask_fault):
    channel = connect(start_echo())
    health = health_pb2_grpc.HealthStub(channel)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

    def told() -> set[int]:
        names = ("", *CALLED)
        return {health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status for name in names}

    watches = [health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=20) for name in ("", *CALLED)]
    assert told() == {serving}
    assert {next(watch).status for watch in watches} == {serving}
    ask_fault(channel)(unready=True, for_ms=60_000)
    assert told() == {not_serving}
    assert {next(watch).status for watch in watches} == {not_serving}


def test_health_knows_no_service_that_is_not_there(start_echo, connect):
    health = health_pb2_grpc.HealthStub(connect(start_echo()))
    nobody = health_pb2.HealthCheckRequest(service="nobody.Service")
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(nobody, timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(health.Watch(nobody, timeout=5)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


# --- ghz, where it is -------------------------------------------------------------------------------------------------


@pytest.mark.needs("ghz")
@pytest.mark.parametrize("known", ["reflection", "proto"])
@pytest.mark.parametrize(("service", "method"), CALLED.items())
def test_ghz_calls_by_reflection_and_with_the_proto_file(start_echo, service, method, known):
    ghz = optional_programs.find("ghz")
    assert ghz
    file = next(
        path for path in PROTO.rglob("*.proto") if f"\nservice {service.rpartition('.')[2]} " in path.read_text()
    )
    source = ["--proto", file, "--import-paths", PROTO] if known == "proto" else []
    address = f"127.0.0.1:{start_echo().port}"
    command = [ghz, "--insecure", *source, "--call", f"{service}/{method}", "-d", '{"payload": "aGVsbG8="}']
    done = subprocess.run(
        [*command, "--total", "20", "--concurrency", "2", "--format", "json", address],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr or done.stdout
    assert json.loads(done.stdout)["statusCodeDistribution"] == {"OK": 20}
