"""Answers of the engine into messages of the wire.

Invariant: no decisions are made here; what an answer says was settled by the engine.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import exprd_proto as wire
from exprd_compiler.ops.table import OP_SET_VERSION
from exprd_proto import framing
from exprd_proto.arrays import CHUNK_BYTES, dtype_to_wire, header_of, write_array
from exprd_proto.features import FEATURES
from exprd_server.plans import plan_bytes
from exprd_server.values import BufferInfo, Durability, ExecuteReply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exprd_compiler.ir.counts import EventCount
    from exprd_compiler.ir.type import TensorType
    from exprd_server.repeat import Progress
    from exprd_server.settings import Settings
    from exprd_server.stores.checkpoints import CheckpointInfo
    from exprd_server.values import (
        Array,
        FunctionInfo,
        FunctionSignature,
        OutputValue,
        Parameter,
        Resumed,
        Usage,
        VariableInfo,
    )

_DURABILITIES: Final[Mapping[Durability, wire.Durability]] = MappingProxyType(
    {
        Durability.DURABLE: wire.Durability.DURABILITY_DURABLE,
        Durability.VOLATILE: wire.Durability.DURABILITY_VOLATILE,
        Durability.CONSTANT: wire.Durability.DURABILITY_CONSTANT,
    }
)


def tensor_type(type_: TensorType) -> wire.TensorType:
    """A tensor type; -1 where an extent is unknown."""
    shape = [-1 if extent is None else extent for extent in type_.shape]
    return wire.TensorType(dtype=dtype_to_wire(type_.dtype), shape=shape)


def compile_response(info: FunctionInfo, incarnation: str) -> bytes:
    """The answer to Compile, as bytes: a plan of thousands of steps mostly is that already."""
    rest = wire.CompileResponse(
        handle=info.handle,
        signature=signature(info.signature),
        timings=_timings(info.timings),
        cache_hit=info.cache_hit,
        graph_digest=info.graph_digest,
        incarnation=incarnation,
    )
    return b"".join((rest.SerializeToString(), _plan(info)))


def describe_response(info: FunctionInfo, wanted: Sequence[str]) -> wire.DescribeResponse:
    """The answer to Describe, with the texts that were asked for."""
    names = info.texts if "*" in wanted else [name for name in wanted if name in info.texts]
    return wire.DescribeResponse(
        handle=info.handle,
        signature=signature(info.signature),
        plan=wire.CompileResponse.FromString(_plan(info)).plan,
        texts=[wire.NamedText(name=name, text=info.texts[name]) for name in names],
        timings=_timings(info.timings),
        target=info.choices.target,
        mode=info.choices.mode,
        name=info.name,
    )


def signature(value: FunctionSignature) -> wire.Signature:
    """What a function takes and gives."""
    return wire.Signature(
        inputs=map(_parameter, value.inputs),
        outputs=map(_parameter, value.outputs),
        shared=map(_parameter, value.shared),
        updated=value.updated,
    )


def _plan(info: FunctionInfo) -> bytes:
    """The bytes of a CompileResponse that has the plan of a function alone."""
    return info.plan if isinstance(info.plan, bytes) else plan_bytes(info.plan)


def execute_response(reply: ExecuteReply, incarnation: str) -> wire.ExecuteResponse:
    """The answer to Execute."""
    response = wire.ExecuteResponse()
    write_reply(response, reply, incarnation)
    return response


def remarks(reply: ExecuteReply) -> wire.ExecuteResponse:
    """What the answer to a call says beside its results."""
    return wire.ExecuteResponse(
        printed=[wire.PrintedRecord(text=text) for text in reply.printed],
        warnings=map(_warning, reply.warnings),
    )


def output(value: OutputValue) -> wire.ExecuteOutput:
    """One result, wherever it went."""
    message = wire.ExecuteOutput()
    write_output(message, value)
    return message


def write_reply(response: wire.ExecuteResponse, reply: ExecuteReply, incarnation: str) -> None:
    """Writes the answer to one call into a fresh message, which may lie within another."""
    response.incarnation = incarnation
    if reply.replayed:
        response.replayed = True
    for uuid, version in reply.versions:
        response.versions.add(uuid=uuid, version=version)
    for text in reply.printed:
        response.printed.add(text=text)
    for met in reply.warnings:
        response.warnings.append(_warning(met))
    for stage, seconds in reply.timings:
        response.timings.add(stage=stage, seconds=seconds)
    for value in reply.outputs:
        write_output(response.outputs.add(), value)


def repeat_response(message: Progress | ExecuteReply, incarnation: str) -> wire.RepeatResponse:
    """One message of a repetition."""
    response = wire.RepeatResponse()
    if isinstance(message, ExecuteReply):
        response.result.steps = message.steps
        write_reply(response.result.response, message, incarnation)
        return response
    response.progress.step = message.step
    for value in message.values:
        write_array(response.progress.values.add(), value)
    return response


def _warning(met: EventCount) -> wire.CallWarning:
    nodes = (met.origin,) if met.origin >= 0 else ()
    return wire.CallWarning(kind=met.kind, count=met.count, nodes=nodes, op=met.op)


def write_output(message: wire.ExecuteOutput, value: OutputValue) -> None:
    """Writes one result, wherever it went, into a fresh message."""
    if value is None:
        message.discarded.SetInParent()
    elif isinstance(value, BufferInfo):
        message.buffer.CopyFrom(buffer_info(value))
    else:
        write_array(message.array, value)


def buffer_info(info: BufferInfo) -> wire.BufferInfo:
    """An array that stays on the server."""
    return wire.BufferInfo(
        handle=info.handle, dtype=dtype_to_wire(info.dtype), shape=info.shape, nbytes=info.nbytes
    )


def variable_info(info: VariableInfo) -> wire.VariableInfo:
    """A shared variable without its value."""
    return wire.VariableInfo(
        uuid=info.uuid,
        name=info.name,
        type=tensor_type(info.type),
        shape=info.shape,
        version=info.version,
        durability=_DURABILITIES[info.durability],
        nbytes=info.nbytes,
    )


def snapshot_response(
    read: Sequence[tuple[VariableInfo, OutputValue]],
) -> wire.StateServiceSnapshotResponse:
    """Variables and their values at one moment."""
    response = wire.StateServiceSnapshotResponse()
    for info, value in read:
        reading = response.readings.add(variable=variable_info(info))
        write_output(reading.value, value)
    return response


def resume_response(resumed: Resumed) -> wire.ResumeResponse:
    """What a restart has taken."""
    return wire.ResumeResponse(
        incarnation=resumed.incarnation,
        missing=resumed.missing,
        rolled_back=resumed.rolled_back,
    )


def download(value: Array, start: int = 0) -> Iterator[wire.DataServiceGetResponse | bytes]:
    """An array as a stream of its header, then the chunks from a byte on, which are written."""
    yield wire.DataServiceGetResponse(header=header_of(value))
    yield from framing.chunks(2, value, CHUNK_BYTES, start)


def limits_of(settings: Settings) -> wire.Limits:
    """The bounds of a server, for its callers."""
    limits = settings.limits
    return wire.Limits(
        message_bytes=limits.message_bytes,
        inline_bytes=limits.inline_bytes,
        chunk_bytes=CHUNK_BYTES,
        graph_nodes=limits.graph_nodes,
        graph_nesting=limits.graph_nesting,
        rank=limits.rank,
        tensor_bytes=limits.tensor_bytes,
        client_bytes=limits.client_bytes,
        functions=limits.functions,
        buffers=limits.buffers,
        variables=limits.variables,
        execute_seconds=settings.execute_seconds,
        compile_seconds=settings.compile_seconds,
        lease_seconds=settings.lease_seconds,
        replay_bytes=limits.replay_bytes,
        replay_calls=limits.replay_calls,
        session_calls=limits.session_calls,
        session_bytes=limits.session_bytes,
        sessions=limits.sessions,
        batch_items=limits.batch_items,
    )


def info_response(
    usage: Usage, settings: Settings, targets: Sequence[tuple[str, str]], *, protocol: int
) -> wire.GetInfoResponse:
    """The answer to GetInfo."""
    return wire.GetInfoResponse(
        protocol_min=protocol,
        protocol_max=protocol,
        opset_min=1,
        opset_max=OP_SET_VERSION,
        incarnation=usage.incarnation,
        server_version=settings.version,
        limits=limits_of(settings),
        devices=[wire.Device(target=name, description=text) for name, text in targets],
        uptime_seconds=usage.uptime_seconds,
        functions=usage.functions,
        variables=usage.variables,
        buffers=usage.buffers,
        store=usage.store,
        features=FEATURES,
    )


def _parameter(value: Parameter) -> wire.Parameter:
    return wire.Parameter(name=value.name, type=tensor_type(value.type), variable=value.variable)


def _timings(timings: Sequence[tuple[str, float]]) -> list[wire.StageTiming]:
    return [wire.StageTiming(stage=stage, seconds=seconds) for stage, seconds in timings]


def checkpoint_info(info: CheckpointInfo) -> wire.CheckpointInfo:
    """The message of a checkpoint."""
    return wire.CheckpointInfo(
        name=info.name, created=info.created, variables=info.variables, nbytes=info.nbytes
    )
