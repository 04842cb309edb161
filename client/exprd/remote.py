"""The transport over gRPC: one client of one server.

Every call has a deadline. A call whose answer was lost is repeated, also when the server was
restarted meanwhile: it is idempotent, or carries the identity under which the server has recorded
it, and names the incarnation it expects.
"""

from __future__ import annotations

import threading
import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np

import exprd_proto as wire
from exprd.bells import Bells
from exprd.calling import Caller
from exprd.calls import CallIds
from exprd.connection import INLINE_BYTES, Connection, durability_of, write_source
from exprd.healing import Healer, Needs, VariableFacts
from exprd.remote_loops import RemoteLoops
from exprd.remote_names import RemoteNames
from exprd.transport import (
    Array,
    AttachedVariable,
    BufferRef,
    CompiledInfo,
    CompileJob,
    InputValue,
    NewVariable,
    OutputValue,
    PlanStep,
    RemoteBuffer,
    Run,
)
from exprd_compiler.errors import ConnectionLost, UnknownHandle
from exprd_compiler.ir.counts import EventCount
from exprd_proto.arrays import array_from_wire, dtype_from_wire
from exprd_proto.channels import NO_ACCESS, Access
from exprd_proto.decode import OwnLimits, decode_type

__all__ = ["RemoteTransport"]

_LIMITS: Final = OwnLimits()

T = TypeVar("T")


class RemoteTransport:
    """A client of one server. Thread safe.

    Args:
        target: "host:port" or "unix:///path".
        deadline: asked at each call: seconds that it may take, repetitions included.
        patience: asked at each failure: seconds for which the server may be away.
        access: token and certificates.

    Raises:
        ConnectionLost: nobody answers at the target.
        UnsupportedVersion: the server speaks another protocol.
    """

    def __init__(
        self,
        target: str,
        deadline: Callable[[], float],
        patience: Callable[[], float],
        access: Access = NO_ACCESS,
    ) -> None:
        self._connection = Connection(target, deadline, patience, access)
        self.client_id = self._connection.client_id
        self.ids = CallIds(self.client_id)
        self.healer = Healer(self._connection, self._connection.incarnation)
        connection, found = self._connection, self.healer.found_function
        self.names = RemoteNames(connection.compiler, connection.call, self.client_id, found)
        self._counting = threading.Lock()
        self._sent = self._received = 0
        self.loops = RemoteLoops(self, self._connection)
        self.bells = Bells(self, self._connection)

    @property
    def target(self) -> str:
        """The address of the server."""
        return self._connection.target

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of execute messages sent and received so far, without gRPC's own framing."""
        sent, received = self.bells.traffic
        with self._counting:
            return self._sent + sent, self._received + received

    def count(self, sent: int, received: int) -> None:
        """Notes what has travelled."""
        with self._counting:
            self._sent += sent
            self._received += received

    # ---- the server itself
    def info(self) -> Mapping[str, str]:
        """Versions, limits and load."""
        reply = self._connection.info()
        facts = {f"limit.{field.name}": str(value) for field, value in reply.limits.ListFields()}
        return {
            "server_version": reply.server_version,
            "incarnation": reply.incarnation,
            "store": reply.store,
            "devices": ", ".join(device.target for device in reply.devices),
            "functions": str(reply.functions),
            "variables": str(reply.variables),
            "buffers": str(reply.buffers),
            **facts,
        }

    def close(self) -> None:
        """Gives up the lease, best effort, and the channel."""
        self.loops.close()
        self.bells.close()
        self._connection.close()

    # ---- functions
    def compile(self, job: CompileJob) -> CompiledInfo:
        """Compiles a graph there."""
        reply = self.healed(Needs(variables=job.bindings), lambda: self._connection.compile(job))
        self.healer.gave_function(reply.handle, job)
        return CompiledInfo(
            handle=reply.handle,
            plan=tuple(PlanStep(op=step.op, text=step.text) for step in reply.plan),
            timings={timing.stage: timing.seconds for timing in reply.timings},
            cache_hit=reply.cache_hit,
            notes=tuple(note.message for note in reply.diagnostics),
        )

    def texts(self, handle: str) -> Mapping[str, str]:
        """The stages of a function as text."""
        request = wire.DescribeRequest(client_id=self.client_id, handle=handle, texts=["*"])
        reply = self.healed(
            Needs(functions=(handle,)),
            lambda: self._connection.call(self._connection.compiler.Describe, request),
        )
        return {text.name: text.text for text in reply.texts}

    def runner(self, handle: str, outputs: int) -> Run:
        """The callable of a handle that has so many outputs."""
        return self.bells.runner(handle, outputs, Caller(self, self._connection, handle, outputs))

    def sending(self, values: Sequence[InputValue]) -> _Sending:
        """The values as they are sent, as a context: the large ones are uploaded for its time."""
        return _Sending(self._connection, values)

    def given(
        self, response: wire.ExecuteResponse, *, keep: bool
    ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
        """The outputs and events of an answer."""
        met = [_event(warning) for warning in response.warnings] if response.warnings else ()
        try:
            # a slice, since to iterate over a message's field takes three times as long
            return [self._output(x, keep) for x in response.outputs[:]], met
        except BaseException:  # of one that was to be fetched: nobody asks for the others any more
            if not keep:
                named = [x.buffer.handle for x in response.outputs if x.HasField("buffer")]
                self._connection.free(named)
            raise

    def _output(self, message: wire.ExecuteOutput, keep: bool) -> OutputValue:
        if message.HasField("array"):
            # a copy, so that the caller may write to it as to the results of any function
            return array_from_wire(message.array).copy()
        buffer = _buffer(message.buffer)
        if keep:
            return buffer
        try:
            return self._download(buffer)
        finally:
            self._connection.free((buffer.handle,))

    # ---- arrays
    def put(self, value: Array, resend: bool = False) -> RemoteBuffer:
        """Uploads an array in chunks; with `resend` a copy stays here for a restarted server."""
        handle = _drawn_handle()
        info = self._connection.upload(handle, value)
        if resend:
            self.healer.gave_buffer(handle, value)
        return _buffer(info)

    def get(self, buffer: RemoteBuffer) -> Array:
        """Downloads an array in chunks."""
        return self.healed(Needs(buffers=(buffer.handle,)), lambda: self._download(buffer))

    def _download(self, buffer: RemoteBuffer) -> Array:
        return self._connection.download(buffer.handle)

    def release(
        self, functions: Sequence[str], buffers: Sequence[str], variables: Sequence[str]
    ) -> None:
        """Gives things up, each kind in one call."""
        me, to = self.client_id, self._connection
        self.healer.forget(functions, buffers, variables)
        if functions:
            gone = wire.CompilerServiceReleaseRequest(client_id=me, handles=functions)
            to.call(to.compiler.Release, gone)
        if buffers:
            freed = wire.DataServiceReleaseRequest(client_id=me, handles=buffers)
            to.call(to.data.Release, freed)
        if variables:
            deleted = wire.StateServiceDeleteRequest(client_id=me, uuids=variables)
            to.call(to.state.Delete, deleted)

    # ---- shared variables
    def create_variable(self, new: NewVariable) -> str:
        """Makes a shared variable there; its durability."""
        buffers = (new.value.handle,) if isinstance(new.value, BufferRef) else ()
        sending = _Sending(self._connection, (new.value,))

        def create() -> wire.VariableInfo:
            with sending as (value,):
                return self._connection.create(new, value)

        info = self.healed(Needs(buffers=buffers), create)
        self.healer.gave_variable(new)
        return durability_of(info)

    def attach_variable(self, name: str, default: NewVariable | None) -> AttachedVariable:
        """The durable variable of a name, or one that is made of a default."""
        sending = _Sending(self._connection, () if default is None else (default.value,))

        def attach() -> wire.VariableInfo:
            with sending as values:
                return self._connection.attach(name, default, *values)

        info = self.healed(Needs(), attach)
        kind = decode_type(info.type, _LIMITS)
        facts = VariableFacts(uuid=info.uuid, name=name, type=kind, durability="durable")
        self.healer.attached(facts, info.version)
        return AttachedVariable(uuid=info.uuid, type=kind)

    def get_variable(self, uuid: str) -> Array:
        """The value of a shared variable."""
        return self.read_variables((uuid,))[0]

    def read_variables(self, uuids: Sequence[str]) -> Sequence[Array]:
        """The values of shared variables, all of one moment."""

        def read() -> list[Array]:
            readings = self._readings(uuids, wire.Delivery.DELIVERY_UNSPECIFIED)
            return [self._value(x) for x in readings]

        return self.healed(Needs(variables=tuple(uuids)), read)

    def variable_versions(self, uuids: Sequence[str]) -> Sequence[int]:
        """The versions of shared variables, all of one moment."""

        def read() -> list[int]:
            readings = self._readings(uuids, wire.Delivery.DELIVERY_DISCARD)
            return [x.variable.version for x in readings]

        return self.healed(Needs(variables=tuple(uuids)), read)

    def _readings(
        self, uuids: Sequence[str], delivery: wire.Delivery
    ) -> Sequence[wire.VariableReading]:
        request = wire.StateServiceSnapshotRequest(
            client_id=self.client_id,
            uuids=uuids,
            delivery=delivery,
            expected_incarnation=self.healer.incarnation,
        )
        reply = self._connection.call(self._connection.state.Snapshot, request)
        seen = [(x.variable.uuid, x.variable.version) for x in reply.readings]
        self.healer.saw(seen, request.expected_incarnation)
        return reply.readings

    def _value(self, reading: wire.VariableReading) -> Array:
        value = self._output(reading.value, keep=False)
        assert isinstance(value, np.ndarray)
        return value

    def set_variable(self, uuid: str, value: Array, expected_version: int | None = None) -> int:
        """Assigns a shared variable; its new version."""
        request = wire.StateServiceSetRequest(uuid=uuid, expected_version=expected_version)
        sending = _Sending(self._connection, (value,))

        def assign() -> int:
            request.expected_incarnation = self.healer.incarnation
            with sending as (sent,):
                write_source(request.value, sent)
                reply = self._connection.call(self._connection.state.Set, request)
            self.healer.saw(((uuid, reply.variable.version),), request.expected_incarnation)
            return reply.variable.version

        with self.ids.call() as call_id:
            request.call_id.CopyFrom(call_id)
            try:
                return self._noted(lambda: self.healed(Needs(variables=(uuid,)), assign))
            except UnknownHandle:
                if expected_version is not None or not self.healer.is_lost(uuid):
                    raise
        self.healer.give_anew(uuid, value)
        return 1

    # ---- calls
    def healed(self, needs: Needs, attempt: Callable[[], T]) -> T:
        """The answer of a call, over outages and restarts, within one deadline."""
        return self._connection.rider.bounded(lambda: self.healer.call(needs, attempt))

    def _noted(self, work: Callable[[], T]) -> T:
        """The result of a call with an effect, or an error that says what is not known."""
        try:
            return work()
        except ConnectionLost as error:
            error.add_note("the server may have done this call before the connection was lost")
            raise


class _Sending:
    """The values of one call, as a context: large ones are uploaded for its time.

    Every attempt uploads under the same handles, so that a retry has the content of the first.
    """

    def __init__(self, connection: Connection, values: Sequence[InputValue]) -> None:
        self._connection = connection
        self._values = values
        total = sum(x.nbytes for x in values if isinstance(x, np.ndarray))
        self._handles = {
            place: _drawn_handle()
            for place, value in enumerate(values if total > INLINE_BYTES else ())
            if isinstance(value, np.ndarray) and value.nbytes * len(values) > INLINE_BYTES
        }

    def __enter__(self) -> Sequence[InputValue]:
        if not self._handles:
            return self._values
        try:
            return self._uploaded()
        except BaseException:
            self._free()
            raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._handles:
            self._free()

    def _uploaded(self) -> Sequence[InputValue]:
        out = list(self._values)
        for place, handle in self._handles.items():
            value = self._values[place]
            assert isinstance(value, np.ndarray)
            self._connection.upload(handle, value)
            out[place] = BufferRef(handle)
        return out

    def _free(self) -> None:
        self._connection.free(tuple(self._handles.values()))


def _drawn_handle() -> str:
    return f"buf-{uuids.uuid4().hex}"


def _buffer(info: wire.BufferInfo) -> RemoteBuffer:
    return RemoteBuffer(
        handle=info.handle, dtype=dtype_from_wire(info.dtype), shape=tuple(info.shape)
    )


def _event(warning: wire.CallWarning) -> EventCount:
    origin = warning.nodes[0] if warning.nodes else -1
    return EventCount(warning.kind, warning.op, origin, warning.count)
