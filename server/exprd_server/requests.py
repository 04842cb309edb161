"""Requests of the wire into calls of the engine.

Invariant: every field is checked here or by what it is handed to; nothing below this
module sees a wire message, and every refusal is one of the documented errors.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import Delivery as WireDelivery
from exprd_proto import Durability as WireDurability
from exprd_proto.arrays import WireError, array_from_wire
from exprd_proto.decode import decode_type
from exprd_server.leases import check_client_id
from exprd_server.policy import parse_policy
from exprd_server.repeat import RepeatCall
from exprd_server.values import (
    BufferRef,
    CallId,
    CompileCall,
    CompileChoices,
    Delivery,
    Durability,
    ExecuteCall,
    SetCall,
    VariableRef,
)
from exprd_server.variables import NewVariable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    import exprd_proto as wire
    from exprd_server.deadline import Deadline
    from exprd_server.reading import GraphReader
    from exprd_server.settings import Limits
    from exprd_server.values import InputValue

_DELIVERIES: Final[Mapping[int, Delivery]] = MappingProxyType(
    {
        WireDelivery.DELIVERY_UNSPECIFIED: Delivery.AUTO,
        WireDelivery.DELIVERY_INLINE: Delivery.INLINE,
        WireDelivery.DELIVERY_KEEP: Delivery.KEEP,
        WireDelivery.DELIVERY_DISCARD: Delivery.DISCARD,
    }
)
_DURABILITIES: Final[Mapping[int, Durability | None]] = MappingProxyType(
    {
        WireDurability.DURABILITY_UNSPECIFIED: None,
        WireDurability.DURABILITY_DURABLE: Durability.DURABLE,
        WireDurability.DURABILITY_VOLATILE: Durability.VOLATILE,
        WireDurability.DURABILITY_CONSTANT: Durability.CONSTANT,
    }
)
_AUTO: Final = Delivery.AUTO  # an enum is asked for its members slowly
# What an answer needs beside its arrays: names, shapes, timings.
_REPLY_MARGIN: Final = 1 << 16
_CANCELLED: Final = 1024  # numbers of calls that one request may name
_SNAPSHOT: Final = 1024  # variables that one snapshot may read
_KNOWN: Final = 10_000  # versions that one Resume may tell

T = TypeVar("T")


def compile_call(
    request: wire.CompileHead, reader: GraphReader, limits: Limits, deadline: Deadline
) -> CompileCall:
    """The call of a Compile request; has the graph decoded and checked."""
    check_client_id(request.client_id)
    source = request.WhichOneof("source")
    if source is None:
        raise CallError("the request has neither a graph nor a graph digest")
    if source == "graph_digest" and request.gradients:
        raise CallError("a graph digest includes its gradients", hint="leave gradients out")
    return CompileCall(
        client_id=request.client_id,
        graph=reader.read(request, deadline) if source == "graph" else request.graph_digest,
        bindings=_bindings(request),
        choices=_choices(request, limits),
        name=_text("name", request.name, limits),
    )


def execute_call(request: wire.ExecuteRequest, limits: Limits) -> ExecuteCall:
    """The call of an Execute request."""
    identity = call_id(request.call_id) if request.HasField("call_id") else None
    return _execute_call(request, identity, limits)


def session_call(
    request: wire.ExecuteRequest, client_id: str, acked_through: int, limits: Limits
) -> ExecuteCall:
    """The call of a request in a frame, which says whose it is and what has arrived."""
    identity = CallId(client_id=client_id, seq=request.call_id.seq, acked_through=acked_through)
    return _execute_call(request, identity, limits)


def _execute_call(
    request: wire.ExecuteRequest, identity: CallId | None, limits: Limits
) -> ExecuteCall:
    # What most requests do not have is asked for by its length, and not walked.
    expected, deliveries = request.expected, request.deliveries
    return ExecuteCall(
        handle=request.handle,
        inputs=inputs_of(request.inputs),
        deliveries=tuple(map(delivery, deliveries)) if deliveries else (),
        delivery=_AUTO,
        call_id=identity,
        client_id=identity.client_id if identity else "",
        expected=tuple((e.uuid, e.version) for e in expected) if expected else (),
        reply_bytes=limits.message_bytes - _REPLY_MARGIN,
        expected_incarnation=request.expected_incarnation,
    )


def repeat_call(request: wire.RepeatRequest, limits: Limits) -> RepeatCall:
    """The call of a Repeat request."""
    return RepeatCall(
        call=execute_call(request.call, limits),
        steps=request.steps,
        until=request.until if request.HasField("until") else None,
        every=request.every,
        watched=tuple(request.watched),
        stacked=request.stacked,
        once=request.commit_once,
    )


def reply_bytes(limits: Limits) -> int:
    """What the arrays of one answer may take together."""
    return limits.message_bytes - _REPLY_MARGIN


def call_id(message: wire.CallId) -> CallId:
    """The identity of a call."""
    check_client_id(message.client_id)
    return CallId(client_id=message.client_id, seq=message.seq, acked_through=message.acked_through)


def cancelled(request: wire.GetInfoRequest) -> tuple[int, ...]:
    """The numbers of the calls that a client no longer wants."""
    if request.cancel:
        check_client_id(request.client_id)
    if len(request.cancel) > _CANCELLED:
        raise LimitExceeded(
            f"{len(request.cancel)} calls to cancel in one request, at most {_CANCELLED}",
            hint="send them in several requests",
            fields={"limit": "cancel"},
        )
    return tuple(request.cancel)


def delivery(number: int) -> Delivery:
    """Where a result goes."""
    if number not in _DELIVERIES:
        raise CallError(f"delivery {number} is unknown to this server")
    return _DELIVERIES[number]


def new_variable(
    request: wire.StateServiceCreateRequest,
    limits: Limits,
    default: Durability = Durability.VOLATILE,
) -> NewVariable:
    """The variable that a Create request describes; only one that attaches needs no value.

    Args:
        request: what was asked for.
        limits: of types.
        default: of variables whose makers do not say how long they last.
    """
    if request.durability not in _DURABILITIES:
        raise CallError(f"durability {request.durability} is unknown to this server")
    attach, durability = request.attach, _DURABILITIES[request.durability] or default
    if attach and not (request.name and durability is Durability.DURABLE):
        raise CallError("what is attached to by name is durable and has a name")
    return NewVariable(
        uuid=request.uuid,
        name=request.name,
        type=decode_type(request.type, limits) if request.HasField("type") else None,
        durability=durability,
        value=_value(request.value) if request.HasField("value") or not attach else None,
        attach=attach,
    )


def snapshot_uuids(request: wire.StateServiceSnapshotRequest) -> Sequence[str]:
    """The variables of a Snapshot request."""
    return _few(request.uuids, _SNAPSHOT, "variables of a snapshot")


def known_versions(request: wire.ResumeRequest) -> Sequence[tuple[str, int]]:
    """The versions that the caller of Resume was told."""
    return [(v.uuid, v.version) for v in _few(request.known, _KNOWN, "known versions")]


def _few(values: Sequence[T], limit: int, what: str) -> Sequence[T]:
    if len(values) > limit:
        raise LimitExceeded(
            f"{len(values)} {what} in one request, at most {limit}",
            hint="send them in several requests",
            fields={"limit": what},
        )
    return values


def set_call(request: wire.StateServiceSetRequest) -> SetCall:
    """The call of a Set request."""
    expected = request.expected_version if request.HasField("expected_version") else None
    return SetCall(
        uuid=request.uuid,
        value=_value(request.value),
        call_id=call_id(request.call_id) if request.HasField("call_id") else None,
        expected_version=expected,
        expected_incarnation=request.expected_incarnation,
    )


def _bindings(request: wire.CompileHead) -> tuple[str, ...]:
    by_slot = {binding.slot: binding.uuid for binding in request.bindings}
    if len(by_slot) != len(request.bindings) or set(by_slot) != set(range(len(by_slot))):
        raise CallError("bindings name the shared slots from 0 on, each once")
    return tuple(by_slot[slot] for slot in range(len(by_slot)))


def _choices(request: wire.CompileHead, limits: Limits) -> CompileChoices:
    options = request.options
    for name in (*options.excluding, request.mode, request.target):
        _text("option", name, limits)
    for name in (*options.including, *options.settings):  # rather than to pass over what was meant
        raise CallError(
            f"option {_text('option', name, limits)!r} is unknown to this server",
            hint="rewrites can be left out (excluding), not added; none of them has settings",
        )
    if options.durability:
        parse_policy(options.durability)
    return CompileChoices(
        mode=request.mode or "FAST_RUN",
        target=request.target or "cpu",
        excluding=tuple(options.excluding),
        allow_unsafe=options.allow_unsafe,
        durability=options.durability,
    )


def _text(what: str, text: str, limits: Limits) -> str:
    if len(text) > limits.name_length or not text.isprintable():
        raise CallError(f"{what} is up to {limits.name_length} printable characters")
    return text


def inputs_of(messages: Sequence[wire.ExecuteInput]) -> tuple[InputValue, ...]:
    """The inputs of a call."""
    return (
        tuple([_input(position, x) for position, x in enumerate(messages[:])]) if messages else ()
    )


def _input(position: int, message: wire.ExecuteInput) -> InputValue:
    source = message.WhichOneof("source")
    if source == "array":
        try:
            return array_from_wire(message.array)
        except WireError as error:
            raise CallError(f"input {position}: {error}") from None
    if source == "buffer":
        return BufferRef(message.buffer)
    if source == "variable":
        return VariableRef(message.variable)
    raise CallError(f"input {position} has no value")


def _value(message: wire.VariableValue) -> NDArray[Any] | BufferRef:
    source = message.WhichOneof("source")
    if source is None:
        raise CallError("the request has no value")
    if source == "buffer":
        return BufferRef(message.buffer)
    try:
        return array_from_wire(message.array)
    except WireError as error:
        raise CallError(str(error)) from None
