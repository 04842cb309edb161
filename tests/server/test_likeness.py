"""Calls of a session that look like one before: what is read of them is what protobuf reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import exprd_proto as wire
from exprd_compiler.errors import CallError, ExprdError
from exprd_proto.arrays import array_to_wire
from exprd_server import requests
from exprd_server.likeness import Reader, batch_calls
from exprd_server.settings import Limits
from exprd_server.values import BufferRef, ExecuteCall

LIMITS = Limits()
ARRAYS = (np.arange(3.0), np.array(2, "int8"), np.zeros((0, 2), "float32"))


def asked(seq: int, inputs: Sequence[np.ndarray], handle: str = "fn-1") -> wire.ExecuteRequest:
    return wire.ExecuteRequest(
        handle=handle,
        inputs=[wire.ExecuteInput(array=array_to_wire(x)) for x in inputs],
        call_id=wire.CallId(seq=seq),
        expected_incarnation="here",
    )


def facts(call: ExecuteCall) -> tuple[object, ...]:
    arrays = [(x.dtype, x.shape, x.tobytes(), x.flags.writeable) for x in call.inputs]  # type: ignore[union-attr]
    return (*call._replace(inputs=()), arrays)


def by_likeness(reader: Reader, calls: Iterable[bytes]) -> list[bool]:
    """Whether each call was read by its likeness; those that were not are known afterwards."""
    found = []
    for data in calls:
        ((_, call),) = reader.read([data], 7)
        found.append(isinstance(call, ExecuteCall))
        if not isinstance(call, ExecuteCall):
            with suppress(ExprdError):
                call()
    return found


@pytest.mark.parametrize("inputs", [ARRAYS, ARRAYS[:1], ()])
@pytest.mark.parametrize("seq", [8, 300, 1 << 63, (1 << 64) - 1])
def test_the_second_call_is_read_like_the_first(inputs: Sequence[np.ndarray], seq: int) -> None:
    reader = Reader("me", LIMITS)
    request = asked(seq, [x + 1 for x in inputs])
    data = request.SerializeToString()
    assert by_likeness(reader, [asked(9, inputs).SerializeToString(), data]) == [False, True]
    ((number, call),) = reader.read([data], 7)
    assert number == seq
    assert facts(call) == facts(requests.session_call(request, "me", 7, LIMITS))


def test_whatever_differs_is_read_by_protobuf() -> None:
    first = asked(9, ARRAYS)
    others = [asked(10, ARRAYS[:2]), asked(10, ARRAYS, "fn-2"), asked(10, (*ARRAYS[:2], ARRAYS[0]))]
    for change in ("deliveries", "expected", "incarnation", "owner"):
        other = wire.ExecuteRequest.FromString(first.SerializeToString())
        if change == "deliveries":
            other.deliveries.extend([1])
        elif change == "expected":
            other.expected.add(uuid="u", version=1)
        elif change == "incarnation":
            other.expected_incarnation = "gone"
        else:
            other.call_id.client_id = "you"
        others.append(other)
    for other in others:
        calls = [first.SerializeToString(), other.SerializeToString()]
        assert by_likeness(Reader("me", LIMITS), calls) == [False, False]


def test_calls_with_wishes_bools_or_buffers_are_never_known() -> None:
    flag = asked(9, [np.array(True)])
    kept = asked(9, ARRAYS)
    kept.deliveries.extend([1])
    buffer = asked(9, ())
    buffer.inputs.add(buffer="buf-1")
    for request in (flag, kept, buffer):
        calls = [request.SerializeToString()] * 2
        assert by_likeness(Reader("me", LIMITS), calls) == [False, False]


def test_what_is_no_message_is_refused_before_anything_is_run() -> None:
    good = asked(9, ARRAYS).SerializeToString()
    for bad in (good[:-1], b"\xff", good + b"\x0a"):
        with pytest.raises(CallError, match="not a valid message"):
            Reader("me", LIMITS).read([good, bad], 0)


def test_only_so_many_functions_are_known() -> None:
    reader = Reader("me", LIMITS)
    calls = [asked(9, (), f"fn-{n}").SerializeToString() for n in range(65)]
    assert not any(by_likeness(reader, calls))
    assert by_likeness(reader, [calls[0], calls[64]]) == [False, True]


@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_damage_is_read_as_protobuf_reads_it(place: int, byte: int, cut: int) -> None:
    reader = Reader("me", LIMITS)
    first = asked(9, ARRAYS).SerializeToString()
    by_likeness(reader, [first])
    data = bytearray(asked(300, ARRAYS).SerializeToString())
    data[place % len(data)] = byte
    del data[len(data) - cut :]
    try:
        request = wire.ExecuteRequest.FromString(bytes(data))
        expected = requests.session_call(request, "me", 7, LIMITS)
    except Exception:
        with pytest.raises(CallError):
            resolved(reader, bytes(data))
        return
    assert facts_of_any(resolved(reader, bytes(data))) == facts_of_any(expected)


def resolved(reader: Reader, data: bytes) -> ExecuteCall:
    ((_, call),) = reader.read([data], 7)
    return call if isinstance(call, ExecuteCall) else call()


def facts_of_any(call: ExecuteCall) -> tuple[object, ...]:
    arrays = [x for x in call.inputs if isinstance(x, np.ndarray)]
    others = [x for x in call.inputs if not isinstance(x, np.ndarray)]
    return (*facts(call._replace(inputs=tuple(arrays))), others)


# ---- batches
def item(*inputs: np.ndarray) -> bytes:
    arrays = [wire.ExecuteInput(array=array_to_wire(x)) for x in inputs]
    return wire.InputList(inputs=arrays).SerializeToString()


def read(*items: bytes) -> list[ExecuteCall]:
    number = wire.CallId(client_id="me", seq=5, acked_through=2)
    batch = wire.BatchFrame(handle="fn-1", items=items, call_id=number, expected_incarnation="here")
    return list(batch_calls(batch, LIMITS))


def test_items_are_read_whether_they_are_alike_or_not() -> None:
    given = [ARRAYS, [x + 1 for x in ARRAYS], ARRAYS[:2], [x + 2 for x in ARRAYS], (), ARRAYS]
    for first in (0, 2, 4):
        inputs = [*given[first:], *given[:first]]
        calls = read(*[item(*x) for x in inputs])
        expected = [asked(5 + n, x) for n, x in enumerate(inputs)]
        assert list(map(facts, calls)) == [
            facts(requests.session_call(x, "me", 2, LIMITS)) for x in expected
        ]


def test_items_of_bools_and_buffers_are_read_one_by_one() -> None:
    good, bad = item(np.array(True)), item(np.array(True)).replace(b"\x1a\x01\x01", b"\x1a\x01\x02")
    assert good != bad
    kept = wire.InputList(inputs=[wire.ExecuteInput(buffer="buf-1")]).SerializeToString()
    assert [x.inputs for x in read(kept, kept)] == [(BufferRef("buf-1"),)] * 2
    assert len(read(good, good)) == 2
    with pytest.raises(CallError, match="input 0"):
        read(good, bad)


def test_an_item_that_is_no_message_is_refused_before_anything_is_run() -> None:
    number = wire.CallId(client_id="me", seq=5)
    batch = wire.BatchFrame(items=[item(*ARRAYS), item(*ARRAYS)[:-1]], call_id=number)
    with pytest.raises(CallError, match="not a valid message"):
        next(batch_calls(batch, LIMITS))
