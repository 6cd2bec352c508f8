from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EchoRequest(_message.Message):
    __slots__ = ("payload",)
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class EchoStreamRequest(_message.Message):
    __slots__ = ("payload", "count", "interval_ms")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    count: int
    interval_ms: int
    def __init__(self, payload: _Optional[bytes] = ..., count: _Optional[int] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class EchoReply(_message.Message):
    __slots__ = ("payload", "backend", "peer", "path_headers")
    class PathHeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    PATH_HEADERS_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    backend: Backend
    peer: str
    path_headers: _containers.ScalarMap[str, str]
    def __init__(self, payload: _Optional[bytes] = ..., backend: _Optional[_Union[Backend, _Mapping]] = ..., peer: _Optional[str] = ..., path_headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("pod", "uid", "ip", "started_at")
    POD_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    pod: str
    uid: str
    ip: str
    started_at: float
    def __init__(self, pod: _Optional[str] = ..., uid: _Optional[str] = ..., ip: _Optional[str] = ..., started_at: _Optional[float] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class StatsReply(_message.Message):
    __slots__ = ("backend", "run", "attempts", "retries", "failed", "warmup_attempts", "connections", "peer_hosts", "cpu_seconds", "attempts_by_previous", "connections_accepted", "run_cpu_seconds", "pauses")
    class AttemptsByPreviousEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    WARMUP_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    PEER_HOSTS_FIELD_NUMBER: _ClassVar[int]
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_BY_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    RUN_CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    backend: Backend
    run: str
    attempts: int
    retries: int
    failed: int
    warmup_attempts: int
    connections: int
    peer_hosts: _containers.RepeatedScalarFieldContainer[str]
    cpu_seconds: float
    attempts_by_previous: _containers.ScalarMap[int, int]
    connections_accepted: int
    run_cpu_seconds: float
    pauses: _containers.RepeatedCompositeFieldContainer[Pause]
    def __init__(self, backend: _Optional[_Union[Backend, _Mapping]] = ..., run: _Optional[str] = ..., attempts: _Optional[int] = ..., retries: _Optional[int] = ..., failed: _Optional[int] = ..., warmup_attempts: _Optional[int] = ..., connections: _Optional[int] = ..., peer_hosts: _Optional[_Iterable[str]] = ..., cpu_seconds: _Optional[float] = ..., attempts_by_previous: _Optional[_Mapping[int, int]] = ..., connections_accepted: _Optional[int] = ..., run_cpu_seconds: _Optional[float] = ..., pauses: _Optional[_Iterable[_Union[Pause, _Mapping]]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("began_at", "ended_at")
    BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    began_at: float
    ended_at: float
    def __init__(self, began_at: _Optional[float] = ..., ended_at: _Optional[float] = ...) -> None: ...

class FaultRequest(_message.Message):
    __slots__ = ("unready", "delay_ms", "fail_code", "service", "for_ms", "crash", "stop_ms")
    UNREADY_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    FAIL_CODE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    FOR_MS_FIELD_NUMBER: _ClassVar[int]
    CRASH_FIELD_NUMBER: _ClassVar[int]
    STOP_MS_FIELD_NUMBER: _ClassVar[int]
    unready: bool
    delay_ms: int
    fail_code: str
    service: str
    for_ms: int
    crash: bool
    stop_ms: int
    def __init__(self, unready: _Optional[bool] = ..., delay_ms: _Optional[int] = ..., fail_code: _Optional[str] = ..., service: _Optional[str] = ..., for_ms: _Optional[int] = ..., crash: _Optional[bool] = ..., stop_ms: _Optional[int] = ...) -> None: ...

class FaultReply(_message.Message):
    __slots__ = ("backend",)
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    backend: Backend
    def __init__(self, backend: _Optional[_Union[Backend, _Mapping]] = ...) -> None: ...
