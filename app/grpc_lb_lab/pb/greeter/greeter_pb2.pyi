from grpc_lb_lab.pb.echo.v1 import echo_pb2 as _echo_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
