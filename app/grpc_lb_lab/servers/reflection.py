"""Server reflection, so that people call the server with their own tools: v1alpha of the library, and v1.

The two versions differ in nothing but the name of the package, so one servicer answers for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")


class _Servicer(reflection.ReflectionServicer):  # type: ignore[misc]  # the library has no types
    """As the library's, but it finds methods too: the symbol that ghz and others ask for.

    The descriptor pool of upb, protobuf's C core, looks for messages, fields, enums and services, not for methods.
    """

    def _file_containing_symbol(
        self, request: reflection_pb2.ServerReflectionRequest, fully_qualified_name: str
    ) -> reflection_pb2.ServerReflectionResponse:
        try:
            method = self._pool.FindMethodByName(fully_qualified_name)
        except KeyError:
            return super()._file_containing_symbol(request, fully_qualified_name)
        return self._file_by_filename(request, method.containing_service.file.name)


def add_to(server: grpc.Server, services: Iterable[str]) -> None:
    """Let ``server`` tell of ``services`` (full names) and of reflection itself, in both versions."""
    _describe_v1()
    servicer = _Servicer((*services, V1ALPHA, V1))
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method}) for name in (V1ALPHA, V1))
    )


def _describe_v1() -> None:
    """Register the descriptor of v1, which the library lacks: that of v1alpha under the other name."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(renamed.SerializeToString(deterministic=True))
