from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorDetail(_message.Message):
    __slots__ = ("kind", "message", "op", "nodes", "fields", "hint", "incident", "retry_after_ms")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    op: str
    nodes: _containers.RepeatedScalarFieldContainer[int]
    fields: _containers.ScalarMap[str, str]
    hint: str
    incident: str
    retry_after_ms: int
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ..., op: _Optional[str] = ..., nodes: _Optional[_Iterable[int]] = ..., fields: _Optional[_Mapping[str, str]] = ..., hint: _Optional[str] = ..., incident: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...
