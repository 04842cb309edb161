"""Targets: messages as they come from the wire, before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto import framing as frames
from exprd_proto.arrays import array_from_wire, array_to_wire
from exprd_server import naming, requests
from exprd_server.deadline import Deadline
from exprd_server.likeness import batch_calls
from exprd_server.outline import Outline
from exprd_server.reading import GraphReader
from tests.fuzz.messages import edit
from tests.fuzz.source import Source, damaged
from tests.fuzz.world import CLIENT, LIMITS
from tests.server import graphs
from tests.server.wire import bundle

_DTYPES = ("bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex128")


def sent(message: Message, source: Source, kind: type[Message] | None = None) -> Any:
    """What a server reads of a message whose bytes may have been damaged on the way.

    It may read them as a message of another kind.

    Raises:
        CallError: nothing; the service says so in these words.
    """
    data = message.SerializeToString()
    if source.yes(4):
        data = damaged(data, source)
    try:
        return (kind or type(message)).FromString(data)
    except DecodeError:
        raise CallError("the bytes are no valid message") from None


@cache
def _graphs() -> tuple[wire.GraphBundle, ...]:
    builds = (graphs.step, graphs.transfer, graphs.scale, graphs.counter)
    return (*(bundle(build()) for build in builds), bundle(graphs.chain(40)))


def graph(source: Source) -> None:
    """Graphs and derivatives, decoded and printed."""
    request = wire.CompileRequest(client_id=CLIENT, graph=source.of(_graphs()))
    if source.yes(3):
        nodes = len(request.graph.graphs[0].nodes)
        asked = request.gradients.add(cost=source.number(0, nodes), wrt=[source.number(0, nodes)])
        asked.placeholders.append(source.number(0, nodes))
    edit(request.graph if source.yes() else request, source)
    head = sent(request, source, wire.CompileHead)
    call = requests.compile_call(head, GraphReader(LIMITS), LIMITS, Deadline(20))
    assert isinstance(call.graph, bytes | Outline)


def _array(source: Source) -> np.ndarray[Any, Any]:
    shape = tuple(source.number(0, 4) for _ in range(source.number(0, 3)))
    size = int(np.prod(shape))
    values = [source.number(0, 1) for _ in range(size)]
    return np.array(values).reshape(shape).astype(source.of(_DTYPES))


def _inputs() -> list[wire.ExecuteInput]:
    return [
        wire.ExecuteInput(array=array_to_wire(np.arange(2.0))),
        wire.ExecuteInput(buffer="buf-1"),
        wire.ExecuteInput(variable="v"),
    ]


@cache
def _requests() -> Sequence[tuple[Message, Callable[[Any], object]]]:
    """A good request of every kind, and its reader."""
    identity = wire.CallId(client_id=CLIENT, seq=3, acked_through=1)
    value = wire.VariableValue(array=array_to_wire(np.ones((2, 3))))
    execute = wire.ExecuteRequest(handle="fn", inputs=_inputs(), call_id=identity, deliveries=[1])
    batch = wire.ExecuteBatchRequest(handle="fn", call_id=identity)
    batch.items.add(inputs=_inputs())
    form = wire.CallForm(inputs=[wire.InputForm(name="x")])
    return (
        (execute, lambda m: requests.execute_call(m, LIMITS)),
        (batch, lambda m: list(batch_calls(_framed(m), LIMITS))),
        (execute, lambda m: requests.session_call(m, CLIENT, 1, LIMITS)),
        (
            wire.RepeatRequest(call=execute, steps=5, every=2),
            lambda m: requests.repeat_call(m, LIMITS),
        ),
        (
            wire.StateServiceCreateRequest(client_id=CLIENT, name="w", value=value),
            lambda m: requests.new_variable(m, LIMITS),
        ),
        (wire.StateServiceSetRequest(uuid="u", value=value, call_id=identity), requests.set_call),
        (wire.StateServiceSnapshotRequest(uuids=["a", "b"]), requests.snapshot_uuids),
        (
            wire.ResumeRequest(known=[wire.VariableVersion(uuid="u", version=1)]),
            requests.known_versions,
        ),
        (wire.GetInfoRequest(client_id=CLIENT, cancel=[1, 2]), requests.cancelled),
        (
            wire.PublishRequest(client_id=CLIENT, name="f", handle="fn", form=form),
            lambda m: naming.publish_call(m, LIMITS),
        ),
    )


def _framed(request: wire.ExecuteBatchRequest) -> wire.BatchFrame:
    return wire.BatchFrame.FromString(request.SerializeToString())


def requests_of_all_kinds(source: Source) -> None:
    """Every other request, decoded into what the engine takes."""
    good, read = source.of(_requests())
    message = type(good).FromString(good.SerializeToString())
    edit(message, source, ("fn", "u", CLIENT))
    read(sent(message, source))


def framing(source: Source) -> None:
    """Requests written straight into bytes: protobuf reads out of them what went in."""
    parts: list[Any] = []
    expected = wire.ExecuteRequest(handle=source.text(6))
    parts.append(frames.text_field(1, expected.handle))
    for _ in range(source.number(0, 4)):
        if source.yes(3):
            name = f"buf-{source.number(0, 2**64 - 1)}"
            expected.inputs.add(buffer=name)
            parts.extend(frames.buffer_input(2, name))
        else:
            value = _array(source)
            expected.inputs.add(array=array_to_wire(value))
            parts.extend(frames.array_input(2, value))
    data = frames.joined(parts)
    assert wire.ExecuteRequest.FromString(data) == expected
    for given in wire.ExecuteRequest.FromString(data).inputs:
        if given.HasField("array"):
            array_from_wire(given.array)
    number = source.edge(0, 2**64 - 1)
    read = wire.CallId.FromString(frames.number_field(2, number))
    assert read.seq == number
