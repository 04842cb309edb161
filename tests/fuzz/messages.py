"""Edits of any message of the protocol, by its own description.

An edit goes to a random place of the tree of messages and changes one field there: to an edge of
its range, to a word that means something somewhere, to nothing; an entry of a list is dropped,
doubled or moved. What comes out is a message that a client could have sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from exprd_compiler.ops.table import OPS
from tests.fuzz.source import Source

_F = FieldDescriptor
_RANGES = {
    _F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    _F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT32: (0, 2**32 - 1),
    _F.CPPTYPE_UINT64: (0, 2**64 - 1),
    _F.CPPTYPE_ENUM: (0, 30),
}
_FLOATS = (0.0, -0.0, 1.0, float("nan"), float("inf"), -1e308, 5e-324)
_ATTRIBUTES = (
    *("axes", "axis", "dtype", "index", "mode", "order", "shape", "length", "type", "value"),
    *("name", "graph", "count", "sizes", "kind", "broadcast", "starts", "steps"),
)
_WORDS = ("", "a\nb", "../x", "\x00", "x" * 300, "é", "-1", "buf-" + "0" * 32, "placeholder")


def edit(message: Message, source: Source, words: Sequence[str] = ()) -> None:
    """Changes a few places of a message.

    Args:
        message: that is changed.
        source: of all choices.
        words: further texts that mean something to the one who reads the message.
    """
    for _ in range(source.number(1, 3)):
        _edit_field(_somewhere(message, source), source, (*_WORDS, *words))


def _somewhere(message: Message, source: Source) -> Message:
    """The message or one within it."""
    while not source.yes(3):
        inner = [
            child for field, value in message.ListFields() for child in _children(field, value)
        ]
        if not inner:
            break
        message = source.of(inner)
    return message


def _children(field: FieldDescriptor, value: Any) -> list[Message]:
    if field.cpp_type != _F.CPPTYPE_MESSAGE:
        return []
    if not field.is_repeated:
        return [value]
    if field.message_type.GetOptions().map_entry:
        return []
    return list(value)


def _edit_field(message: Message, source: Source, words: Sequence[str]) -> None:
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = source.of(fields)
    if source.yes(8):
        message.ClearField(field.name)
    elif field.is_repeated:
        _edit_list(message, field, source, words)
    elif field.cpp_type == _F.CPPTYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
        _edit_field(getattr(message, field.name), source, words)
    else:
        setattr(message, field.name, _value(field, source, words))


def _edit_list(
    message: Message, field: FieldDescriptor, source: Source, words: Sequence[str]
) -> None:
    values = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        parts = field.message_type.fields_by_name
        if parts["value"].cpp_type != _F.CPPTYPE_MESSAGE:
            key = _value(parts["key"], source, words)
            values[key] = _value(parts["value"], source, words)
        return
    what = source.number(0, 4)
    if values and what == 0:
        del values[source.number(0, len(values) - 1)]
    elif values and what == 1:
        _append(values, source.of(values))
    elif values and what == 2:
        at = source.number(0, len(values) - 1)
        moved = list(values)
        moved.insert(source.number(0, len(moved)), moved[at])
        _replace(values, moved)
    elif field.cpp_type == _F.CPPTYPE_MESSAGE:
        _edit_field(source.of(values) if values and what == 3 else values.add(), source, words)
    else:
        values.append(_value(field, source, words))


def _append(values: Any, value: Any) -> None:
    if isinstance(value, Message):
        values.add().CopyFrom(value)
    else:
        values.append(value)


def _replace(values: Any, new: Sequence[Any]) -> None:
    copies = [
        type(x).FromString(x.SerializeToString()) if isinstance(x, Message) else x for x in new
    ]
    del values[:]
    values.extend(copies)


def _value(field: FieldDescriptor, source: Source, words: Sequence[str]) -> Any:
    kind = field.cpp_type
    if kind in _RANGES:
        return source.edge(*_RANGES[kind])
    if kind == _F.CPPTYPE_BOOL:
        return source.yes()
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        return source.of(_FLOATS)
    if field.type == _F.TYPE_BYTES:
        return source.bytes(40)
    named = {"op": tuple(OPS), "name": (*_ATTRIBUTES, *words)}.get(field.name, words)
    return source.of(named) if not source.yes(4) else source.text(12)
