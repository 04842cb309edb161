"""The transport over gRPC: one channel to one server.

Every call has a deadline. A call whose answer was lost is repeated, which is safe: it is
idempotent, or carries the identity under which the server has recorded it.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import grpc
import numpy as np

import exprd_proto as wire
from exprd.calls import CallIds
from exprd.encode import encode_type, write_bundle
from exprd.remote_names import RemoteNames
from exprd.statuses import error_of
from exprd.transport import (
    Array,
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
from exprd_compiler.errors import CallError, ConnectionLost, ExprdError, UnsupportedVersion
from exprd_compiler.ir.counts import EventCount
from exprd_proto.arrays import (
    Assembler,
    array_from_wire,
    chunks_in,
    dtype_from_wire,
    header_of,
    write_array,
)

__all__ = ["RemoteTransport"]

PROTOCOL: Final = 1
INLINE_BYTES: Final = 4 << 20  # above this, arrays travel in chunks of 1 MiB: measured faster
MESSAGE_BYTES: Final = 64 << 20
_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.05
_GREETING_SECONDS: Final = 10.0
_CANCEL_SECONDS: Final = 2.0

_OPTIONS: Final = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_DURABILITY: Final = {
    "volatile": wire.Durability.DURABILITY_VOLATILE,
    "durable": wire.Durability.DURABILITY_DURABLE,
    "constant": wire.Durability.DURABILITY_CONSTANT,
}

T = TypeVar("T")


class RemoteTransport:
    """A client of one server. Thread safe.

    Args:
        target: "host:port" or "unix:///path".
        deadline: asked at each call: seconds that it may take, retries included.

    Raises:
        ConnectionLost: nobody answers at the target.
        UnsupportedVersion: the server speaks another protocol.
    """

    def __init__(self, target: str, deadline: Callable[[], float]) -> None:
        self._target, self._deadline = _checked_target(target), deadline
        self.client_id = str(uuid.uuid4())
        self._ids = CallIds(self.client_id)
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._compiler = wire.CompilerServiceStub(self._channel)
        self._executor = wire.ExecutorServiceStub(self._channel)
        self._data = wire.DataServiceStub(self._channel)
        self._state = wire.StateServiceStub(self._channel)
        self._admin = wire.AdminServiceStub(self._channel)
        self.names = RemoteNames(self._compiler, self._call, self.client_id)
        self._closed = threading.Event()
        self._counting = threading.Lock()
        self._sent = self._received = 0
        try:
            lease = self._greet()
        except ExprdError:
            self._channel.close()
            raise
        threading.Thread(target=self._renew, args=(lease / 4,), daemon=True).start()

    @property
    def target(self) -> str:
        """The address of the server."""
        return self._target

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of execute messages sent and received so far, without gRPC's own framing."""
        with self._counting:
            return self._sent, self._received

    def _count(self, sent: int, received: int) -> None:
        with self._counting:
            self._sent += sent
            self._received += received

    # ---- the server itself
    def info(self) -> Mapping[str, str]:
        """Versions, limits and load."""
        reply = self._info(self._deadline())
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
        self._closed.set()
        with contextlib.suppress(grpc.RpcError):
            self._admin.EndLease(wire.EndLeaseRequest(client_id=self.client_id), timeout=2.0)
        self._channel.close()

    # ---- functions
    def compile(self, job: CompileJob) -> CompiledInfo:
        """Compiles a graph there."""
        request = wire.CompileRequest(
            client_id=self.client_id,
            mode=job.mode,
            target=job.target,
            options=wire.CompileOptions(including=job.including, excluding=job.excluding),
            bindings=[
                wire.VariableBinding(slot=slot, uuid=name) for slot, name in enumerate(job.bindings)
            ],
            name=job.name,
        )
        write_bundle(request.graph, job.graph)
        reply = self._call(self._compiler.Compile, request)
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
        reply = self._call(self._compiler.Describe, request)
        return {text.name: text.text for text in reply.texts}

    def runner(self, handle: str, outputs: int) -> Run:
        """The callable of a handle that has so many outputs."""
        kept = [wire.Delivery.DELIVERY_KEEP] * outputs

        def run(
            inputs: Sequence[InputValue], keep: bool
        ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
            reply = self._execute(handle, inputs, kept if keep else ())
            met = [_event(warning) for warning in reply.warnings] if reply.warnings else ()
            return [self._output(x, keep) for x in reply.outputs], met

        return run

    def _execute(
        self, handle: str, inputs: Sequence[InputValue], deliveries: Sequence[wire.Delivery]
    ) -> wire.ExecuteResponse:
        sent, uploaded = self._uploaded(inputs)
        try:
            with self._ids.call() as call_id:
                request = wire.ExecuteRequest(handle=handle, deliveries=deliveries, call_id=call_id)
                for value in sent:
                    _write_source(request.inputs.add(), value)
                reply = self._call_or_cancel(self._executor.Execute, request)
                self._count(request.ByteSize(), reply.ByteSize())
                return reply
        finally:
            if uploaded:
                self.release((), uploaded, ())

    def _uploaded(self, inputs: Sequence[InputValue]) -> tuple[Sequence[InputValue], list[str]]:
        """The inputs, large ones put there first when all together are too much for a message."""
        total = sum(x.nbytes for x in inputs if isinstance(x, np.ndarray))
        if total <= INLINE_BYTES:
            return inputs, []
        out: list[InputValue] = []
        uploaded: list[str] = []
        for value in inputs:
            if isinstance(value, np.ndarray) and value.nbytes * len(inputs) > INLINE_BYTES:
                uploaded.append(self.put(value).handle)
                out.append(BufferRef(uploaded[-1]))
            else:
                out.append(value)
        return out, uploaded

    def _output(self, message: wire.ExecuteOutput, keep: bool) -> OutputValue:
        if message.WhichOneof("result") == "array":
            # a copy, so that the caller may write to it as to the results of any function
            return np.array(array_from_wire(message.array))
        buffer = _buffer(message.buffer)
        if keep:
            return buffer
        try:
            return self.get(buffer)
        finally:
            self.release((), (buffer.handle,), ())

    # ---- arrays
    def put(self, value: Array) -> RemoteBuffer:
        """Uploads an array in chunks."""

        def send(timeout: float) -> wire.DataServicePutResponse:
            return self._data.Put(_upload(self.client_id, value), timeout=timeout)

        reply = self._retried(send)
        return _buffer(reply.buffer)

    def get(self, buffer: RemoteBuffer) -> Array:
        """Downloads an array in chunks."""
        request = wire.DataServiceGetRequest(client_id=self.client_id, handle=buffer.handle)

        def receive(timeout: float) -> Array:
            parts = self._data.Get(request, timeout=timeout)
            assembler = Assembler(next(parts).header)
            for part in parts:
                assembler.add(part.chunk)
            return assembler.finish()

        return self._retried(receive)

    def release(
        self, functions: Sequence[str], buffers: Sequence[str], variables: Sequence[str]
    ) -> None:
        """Gives things up, each kind in one call."""
        me = self.client_id
        if functions:
            gone = wire.CompilerServiceReleaseRequest(client_id=me, handles=functions)
            self._call(self._compiler.Release, gone)
        if buffers:
            freed = wire.DataServiceReleaseRequest(client_id=me, handles=buffers)
            self._call(self._data.Release, freed)
        if variables:
            deleted = wire.StateServiceDeleteRequest(client_id=me, uuids=variables)
            self._call(self._state.Delete, deleted)

    # ---- shared variables
    def create_variable(self, new: NewVariable) -> None:
        """Makes a shared variable there."""
        (value,), uploaded = self._uploaded((new.value,))
        request = wire.StateServiceCreateRequest(
            client_id=self.client_id,
            uuid=new.uuid,
            name=new.name,
            type=encode_type(new.type),
            durability=_DURABILITY[new.durability],
        )
        _write_source(request.value, value)
        try:
            self._call(self._state.Create, request)
        finally:
            if uploaded:
                self.release((), uploaded, ())

    def get_variable(self, uuid: str) -> Array:
        """The value of a shared variable."""
        request = wire.StateServiceGetRequest(client_id=self.client_id, uuid=uuid)
        value = self._output(self._call(self._state.Get, request).value, keep=False)
        assert isinstance(value, np.ndarray)
        return value

    def set_variable(self, uuid: str, value: Array) -> None:
        """Assigns a shared variable."""
        (sent,), uploaded = self._uploaded((value,))
        try:
            with self._ids.call() as call_id:
                request = wire.StateServiceSetRequest(call_id=call_id, uuid=uuid)
                _write_source(request.value, sent)
                self._call(self._state.Set, request)
        finally:
            if uploaded:
                self.release((), uploaded, ())

    # ---- calls
    def _call(self, method: Callable[..., T], request: Any) -> T:
        return self._retried(lambda timeout: method(request, timeout=timeout))

    def _call_or_cancel(
        self,
        method: Callable[[wire.ExecuteRequest], wire.ExecuteResponse],
        request: wire.ExecuteRequest,
    ) -> wire.ExecuteResponse:
        """The answer of a run; when a signal handler breaks the wait, the server stops it too.

        Only this message stops a call that is kept for a retry: the loss of a connection does not.
        """
        try:
            return self._call(method, request)
        except KeyboardInterrupt:
            cancel = wire.GetInfoRequest(client_id=self.client_id, cancel=[request.call_id.seq])
            with contextlib.suppress(grpc.RpcError):
                self._admin.GetInfo(cancel, timeout=_CANCEL_SECONDS)
            raise

    def _retried(self, attempt: Callable[[float], T], seconds: float | None = None) -> T:
        """The answer of a call, repeated with growing pauses while the server is out of reach."""
        end = time.monotonic() + (self._deadline() if seconds is None else seconds)
        pause = _FIRST_PAUSE
        for turn in range(1, _ATTEMPTS + 1):
            try:
                return attempt(max(end - time.monotonic(), 0.0))
            except grpc.RpcError as failure:
                error = error_of(failure, self._target)
                lost = isinstance(error, ConnectionLost)
                if not lost or turn == _ATTEMPTS or time.monotonic() + pause >= end:
                    raise error from None
            except ValueError as failure:  # what grpc raises on a closed channel
                raise ConnectionLost(f"the connection to {self._target} is closed") from failure
            self._closed.wait(pause)
            pause *= 2
        raise ConnectionLost(f"no answer from {self._target}")

    def _info(self, seconds: float) -> wire.GetInfoResponse:
        request = wire.GetInfoRequest(client_id=self.client_id)
        return self._retried(lambda left: self._admin.GetInfo(request, timeout=left), seconds)

    def _greet(self) -> float:
        """Makes sure that there is a server that we understand; its lease time in seconds."""
        reply = self._info(min(self._deadline(), _GREETING_SECONDS))
        if not reply.protocol_min <= PROTOCOL <= reply.protocol_max:
            raise UnsupportedVersion(
                f"{self._target} speaks protocols {reply.protocol_min} to {reply.protocol_max},"
                f" this client speaks {PROTOCOL}",
                hint="upgrade the older side",
            )
        return reply.limits.lease_seconds or 3600.0

    def _renew(self, interval: float) -> None:
        """Keeps the lease alive while the client says nothing."""
        while not self._closed.wait(interval):
            with contextlib.suppress(ExprdError):
                self._info(_GREETING_SECONDS)


def _checked_target(target: str) -> str:
    host, colon, port = target.rpartition(":")
    if target.startswith("unix:") or (colon and host and port.isdigit()):
        return target
    raise CallError(f"{target!r} is no target", hint="host:port, or unix:///path for a Unix socket")


def _write_source(message: wire.ExecuteInput | wire.VariableValue, value: InputValue) -> None:
    """Writes an array or a reference to one into a fresh message."""
    if isinstance(value, BufferRef):
        message.buffer = value.handle
    else:
        write_array(message.array, value)


def _buffer(info: wire.BufferInfo) -> RemoteBuffer:
    return RemoteBuffer(
        handle=info.handle, dtype=dtype_from_wire(info.dtype), shape=tuple(info.shape)
    )


def _event(warning: wire.CallWarning) -> EventCount:
    origin = warning.nodes[0] if warning.nodes else -1
    return EventCount(warning.kind, warning.op, origin, warning.count)


def _upload(client_id: str, value: Array) -> Iterator[wire.DataServicePutRequest]:
    header = wire.PutHeader(client_id=client_id, array=header_of(value))
    yield wire.DataServicePutRequest(header=header)
    yield from chunks_in(wire.DataServicePutRequest, value)
