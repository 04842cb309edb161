"""Answers of calls, written straight into bytes.

Calls are answered thousands of times a second; a message of protobuf for each costs several times
what its bytes do. What comes out is what protobuf would write; the tests compare the two.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_proto import framing
from exprd_proto.framing import varint
from exprd_server import replies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import exprd_proto as wire
    from exprd_proto.framing import Part
    from exprd_server.values import ExecuteReply

_NUMBERS, _FIXED64, _LENGTHS = 0, 1, 2  # kinds of fields
_OUTCOMES: Final = framing.key(2, _LENGTHS)  # of a frame
_ITEMS: Final = framing.key(1, _LENGTHS)  # of a batch
_RESPONSE: Final = framing.key(2, _LENGTHS)  # of an outcome
_FAILURE: Final = 3
_SEQ: Final = framing.key(1, _NUMBERS)  # of an outcome
_VERSIONS: Final = framing.key(2, _LENGTHS)  # of a response
_VERSION: Final = framing.key(2, _NUMBERS)  # of those
_DOUBLE: Final = struct.Struct("<d")


class Answer:
    """A message that is bytes already, and what is to be counted of it.

    Attributes:
        data: the message.
        timings: stages of the calls that it answers, and their seconds.
        commits: how many of them changed shared variables.
    """

    __slots__ = ("commits", "data", "timings")

    def __init__(self, data: bytes, timings: Sequence[tuple[str, float]], commits: int) -> None:
        self.data = data
        self.timings = timings
        self.commits = commits


def encoder(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """A serializer that lets pass what is written already."""

    def written(message: Any) -> bytes:
        if type(message) is Answer:
            return message.data
        return message if type(message) is bytes else encode(message)

    return written


def execute_answer(reply: ExecuteReply, incarnation: str) -> Answer:
    """The answer to Execute."""
    data = framing.joined(_response(reply, incarnation))
    if reply.replayed:
        return Answer(data, (), 0)
    return Answer(data, reply.timings, 1 if reply.versions else 0)


class Frame:
    """Outcomes of several calls on their way into one message.

    Args:
        incarnation: of the server.

    Attributes:
        nbytes: what the message has grown to.
        count: of the outcomes in it.
    """

    __slots__ = ("_commits", "_head", "_incarnation", "_parts", "_timings", "count", "nbytes")

    def __init__(self, incarnation: str, head: bytes) -> None:
        self._incarnation = incarnation
        self._head = head
        self._parts: list[Part] = []
        self._timings: list[tuple[str, float]] = []
        self._commits = 0
        self.nbytes = self.count = 0

    def add(self, seq: int, reply: ExecuteReply) -> None:
        """Adds the answer of a call."""
        parts = _response(reply, self._incarnation)
        size = sum(map(len, parts))
        inner = _SEQ + varint(seq) + _RESPONSE + varint(size)
        self._parts.append(self._head + varint(len(inner) + size) + inner)
        self._parts += parts
        self.nbytes += size
        self.count += 1
        if not reply.replayed:
            self._timings += reply.timings
            self._commits += 1 if reply.versions else 0

    def fail(self, seq: int, failure: wire.CallFailure) -> None:
        """Adds the error of a call."""
        inner = _SEQ + varint(seq) + framing.field(_FAILURE, failure.SerializeToString())
        self._parts.append(self._head + varint(len(inner)) + inner)
        self.count += 1

    def answer(self) -> Answer:
        """The message."""
        return Answer(framing.joined(self._parts), self._timings, self._commits)


def session_frame(incarnation: str) -> Frame:
    """A frame of a session, empty."""
    return Frame(incarnation, _OUTCOMES)


def batch_frame(incarnation: str) -> Frame:
    """The answer to a batch, empty."""
    return Frame(incarnation, _ITEMS)


def _response(reply: ExecuteReply, incarnation: str) -> list[Part]:
    """The fields of an ExecuteResponse; what is rare is left to protobuf."""
    parts: list[Part] = []
    for value in reply.outputs:
        if type(value) is np.ndarray:
            parts += framing.array_input(1, value)
        else:
            parts.append(framing.field(1, replies.output(value).SerializeToString()))
    for uuid, version in reply.versions:
        inner = _uuid(uuid) + _VERSION + varint(version)
        parts.append(_VERSIONS + varint(len(inner)) + inner)
    if reply.printed or reply.warnings:
        parts.append(replies.remarks(reply).SerializeToString())
    for stage, seconds in reply.timings:
        parts.append(_timing(stage) + _DOUBLE.pack(seconds))
    parts.append(_tail(incarnation, replayed=reply.replayed))
    return parts


@lru_cache(maxsize=4096)
def _uuid(text: str) -> bytes:
    return framing.text_field(1, text)


@lru_cache(maxsize=64)
def _timing(stage: str) -> bytes:
    """A timing up to its seconds."""
    inner = framing.text_field(1, stage) + framing.key(2, _FIXED64)
    size = len(inner) + _DOUBLE.size
    return framing.key(5, _LENGTHS) + framing.varint(size) + inner


@lru_cache(maxsize=64)
def _tail(incarnation: str, *, replayed: bool) -> bytes:
    return framing.number_field(6, int(replayed)) + framing.text_field(7, incarnation)
