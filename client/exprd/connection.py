"""Connection: one channel to one server, the client's lease there, and what may be lost with it."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import grpc
import numpy as np

import exprd_proto as wire
from exprd.encode import encode_type, write_bundle
from exprd.healing import Published, Restored
from exprd.riding import Rider
from exprd.transfer import downloading, uploading
from exprd.transport import Array, BufferRef, CompileJob, InputValue, NewVariable
from exprd_compiler.errors import CallError, ExprdError, UnknownHandle, UnsupportedVersion
from exprd_proto import framing
from exprd_proto.arrays import write_array
from exprd_proto.channels import NO_ACCESS, Access, open_channel
from exprd_proto.features import FUNCTION_DURABILITY

__all__ = ["INLINE_BYTES", "Connection", "are_large", "write_source", "written_inputs"]

PROTOCOL: Final = 1
MESSAGE_BYTES: Final = 64 << 20
_GREETING_SECONDS: Final = 10.0
_GREETING_PATIENCE: Final = 1.0  # at first nobody has been there yet
_CANCEL_SECONDS: Final = 2.0  # somebody waits for it
_HEARD_SECONDS: Final = 30.0  # nobody does
_KNOWN: Final = 10_000  # versions that one Resume may tell
_LEASE_SECONDS: Final = 3600.0  # of a server that does not say
INLINE_BYTES: Final = 4 << 20  # above this, arrays travel in chunks of 1 MiB: measured faster
_EXECUTE: Final = "/exprd.v1.ExecutorService/Execute"

_OPTIONS: Final = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    # Calls are repeated here, where it is known what a restart means; never by gRPC itself.
    ("grpc.enable_retries", 0),
)
_DURABILITY: Final = {
    "default": wire.Durability.DURABILITY_UNSPECIFIED,
    "volatile": wire.Durability.DURABILITY_VOLATILE,
    "durable": wire.Durability.DURABILITY_DURABLE,
    "constant": wire.Durability.DURABILITY_CONSTANT,
}

T = TypeVar("T")


class Shortcut(Protocol):
    """Another way for arrays, where there is one; None says that there is none now."""

    def put(self, handle: str, value: Array) -> wire.BufferInfo | None:
        """Puts an array under a handle."""
        ...

    def get(self, handle: str) -> Array | None:
        """The array of a buffer."""
        ...


class Connection:
    """The stubs of one channel, and calls that ride through outages. Thread safe.

    Args:
        target: "host:port" or "unix:///path".
        deadline: asked at each call: seconds that it may take, repetitions included.
        patience: asked at each failure: seconds for which the server may be away.
        access: token and certificates.

    Attributes:
        incarnation: the server that was greeted.
        shortcut: for arrays, if there is one.

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
        self.target = _checked_target(target)
        self.client_id = str(uuid.uuid4())
        self.channel = open_channel(target, access, _OPTIONS)
        self.compiler = wire.CompilerServiceStub(self.channel)
        self.executor = wire.ExecutorServiceStub(self.channel)
        self._execute: Callable[..., wire.ExecuteResponse] = self.channel.unary_unary(
            _EXECUTE, None, response_deserializer=wire.ExecuteResponse.FromString
        )
        self.data = wire.DataServiceStub(self.channel)
        self.state = wire.StateServiceStub(self.channel)
        self.admin = wire.AdminServiceStub(self.channel)
        self._asking: set[object] = set()
        self.shortcut: Shortcut | None = None
        self._closed = threading.Event()
        self.rider = Rider(target, deadline, patience, self._closed)
        try:
            greeted = self._greet()
        except ExprdError:
            self.channel.close()
            raise
        self.incarnation = greeted.incarnation
        self._server = greeted  # as it last said of itself
        lease = greeted.limits.lease_seconds or _LEASE_SECONDS
        threading.Thread(target=self._renew, args=(lease / 4,), daemon=True).start()

    def close(self) -> None:
        """Gives up the lease, best effort, and the channel."""
        self._closed.set()
        with contextlib.suppress(grpc.RpcError):
            self.admin.EndLease(wire.EndLeaseRequest(client_id=self.client_id), timeout=2.0)
        self.channel.close()

    # ---- calls
    def call(self, method: Callable[..., T], request: Any) -> T:
        """The answer to a request that may be repeated as it is."""
        return self.rider.call(lambda timeout: method(request, timeout=timeout))

    def execute(self, data: bytes, timeout: float) -> wire.ExecuteResponse:
        """The answer to a run whose request is bytes already."""
        return self._execute(data, timeout=timeout)

    def execute_or_stop(self, data: bytes, seq: int) -> wire.ExecuteResponse:
        """The same, repeated; when a signal handler breaks the wait, the server stops it too.

        Only this message stops a call that is kept for a retry: the loss of a connection does not.
        """
        try:
            return self.rider.call(lambda left: self._execute(data, timeout=left))
        except KeyboardInterrupt:
            self.stop(seq)
            raise

    def stop(self, *seqs: int) -> None:
        """Asks the server to break calls off, best effort."""
        cancel = wire.GetInfoRequest(client_id=self.client_id, cancel=seqs)
        with contextlib.suppress(grpc.RpcError):
            self.admin.GetInfo(cancel, timeout=_CANCEL_SECONDS)

    def ask_to_stop(self, seqs: Sequence[int]) -> None:
        """The same, without waiting for the answer."""
        cancel = wire.GetInfoRequest(client_id=self.client_id, cancel=seqs)
        with contextlib.suppress(ValueError):  # what grpc raises on a closed channel
            asking = self.admin.GetInfo.future(cancel, timeout=_HEARD_SECONDS)
            self._asking.add(asking)  # gRPC breaks off what nobody refers to
            asking.add_done_callback(self._asking.discard)

    def info(self) -> wire.GetInfoResponse:
        """What the server says of itself."""
        request = wire.GetInfoRequest(client_id=self.client_id)
        self._server = self.call(self.admin.GetInfo, request)
        return self._server

    def need(self, feature: str, what: str) -> None:
        """Returns if the server knows a feature that an older one would pass over in silence.

        Args:
            feature: one of `exprd_proto.features`.
            what: the argument that asks for it, for the message.

        Raises:
            UnsupportedVersion: it does not.
        """
        if feature not in self._server.features:
            raise UnsupportedVersion(
                f"the server at {self.target} is older than this client and does not know {what}",
                hint=f"upgrade the server, or leave {what} out",
                fields={"feature": feature},
            )

    # ---- what a restarted server is asked and given
    def incarnation_now(self) -> str:
        """The incarnation that serves at the moment."""
        return self.info().incarnation

    def seconds_left(self) -> float:
        """What is left of the deadline of the call that this thread makes."""
        return self.rider.left()

    def resume(self, incarnation: str, known: Sequence[tuple[str, int]]) -> Restored:
        """What has become of versions that an incarnation had acknowledged."""
        parts = [known[place : place + _KNOWN] for place in range(0, len(known), _KNOWN)]
        replies = [self._resumed(incarnation, part) for part in parts or [known]]
        now = replies[-1].incarnation
        if any(reply.incarnation != now for reply in replies):  # restarted between two of them
            return self.resume(incarnation, known)
        return Restored(
            incarnation=now,
            missing=tuple(uuid for reply in replies for uuid in reply.missing),
            rolled_back=tuple(uuid for reply in replies for uuid in reply.rolled_back),
        )

    def _resumed(self, incarnation: str, known: Sequence[tuple[str, int]]) -> wire.ResumeResponse:
        request = wire.ResumeRequest(
            client_id=self.client_id,
            incarnation=incarnation,
            known=[wire.VariableVersion(uuid=name, version=version) for name, version in known],
        )
        return self.call(self.admin.Resume, request)

    def give_function(self, job: CompileJob) -> None:
        """Has a graph compiled."""
        self.compile(job)

    def find_function(self, published: Published) -> None:
        """Looks a function up again; a server that has another one under its name has not this."""
        name, version = published.name, published.version
        request = wire.LookupRequest(client_id=self.client_id, name=name, version=version)
        if self.call(self.compiler.Lookup, request).function.handle != published.handle:
            raise UnknownHandle(
                f"version {version} of {name!r} is another function since the server was restarted",
                hint="look it up again",
            )

    def give_buffer(self, handle: str, value: Array) -> None:
        """Uploads an array under a handle."""
        self.upload(handle, value)

    def give_variable(self, new: NewVariable) -> None:
        """Makes a variable."""
        self.create(new, new.value)

    # ---- requests with more than one use
    def compile(self, job: CompileJob) -> wire.CompileResponse:
        """The answer to a graph."""
        if job.durability:
            self.need(FUNCTION_DURABILITY, "function(durability=)")
        request = wire.CompileRequest(
            client_id=self.client_id,
            mode=job.mode,
            target=job.target,
            options=wire.CompileOptions(
                including=job.including, excluding=job.excluding, durability=job.durability
            ),
            bindings=[
                wire.VariableBinding(slot=slot, uuid=name) for slot, name in enumerate(job.bindings)
            ],
            name=job.name,
        )
        write_bundle(request.graph, job.graph)
        reply = self.call(self.compiler.Compile, request)
        if job.durability and reply.incarnation != self._server.incarnation:
            self.info()  # an older server may have taken the place of the one that was asked
            self.need(FUNCTION_DURABILITY, "function(durability=)")
        return reply

    def upload(self, handle: str, value: Array) -> wire.BufferInfo:
        """The buffer of an array that was sent in chunks; the same handle may be sent again.

        A second attempt goes on where the first was broken off.
        """
        put = None if self.shortcut is None else self.shortcut.put(handle, value)
        return put or self.rider.call(uploading(self, handle, value))

    def download(self, handle: str) -> Array:
        """The array of a buffer; a second attempt goes on where the first was broken off."""
        got = None if self.shortcut is None else self.shortcut.get(handle)
        return self.rider.call(downloading(self, handle)) if got is None else got

    def free(self, handles: Sequence[str]) -> None:
        """Frees buffers, best effort: what is not freed now goes with the lease."""
        request = wire.DataServiceReleaseRequest(client_id=self.client_id, handles=handles)
        with contextlib.suppress(ExprdError):
            self.rider.call(lambda left: self.data.Release(request, timeout=left), patience=0.0)

    def create(self, new: NewVariable, value: InputValue) -> wire.VariableInfo:
        """The variable that was made; `value` is its own, or stands for it."""
        return self.call(self.state.Create, self._creation(new, value)).variable

    def attach(
        self, name: str, default: NewVariable | None, value: InputValue | None = None
    ) -> wire.VariableInfo:
        """The durable variable of a name, or the one that was made of a default."""
        if default is None or value is None:
            request = wire.StateServiceCreateRequest(
                client_id=self.client_id, name=name, durability=_DURABILITY["durable"]
            )
        else:
            request = self._creation(default, value)
        request.attach = True
        return self.call(self.state.Create, request).variable

    def _creation(self, new: NewVariable, value: InputValue) -> wire.StateServiceCreateRequest:
        request = wire.StateServiceCreateRequest(
            client_id=self.client_id,
            uuid=new.uuid,
            name=new.name,
            type=encode_type(new.type),
            durability=_DURABILITY[new.durability],
        )
        write_source(request.value, value)
        return request

    def _greet(self) -> wire.GetInfoResponse:
        """What the server says of itself, which is one that we understand."""
        request = wire.GetInfoRequest(client_id=self.client_id)
        reply = self.rider.call(
            lambda left: self.admin.GetInfo(request, timeout=min(left, _GREETING_SECONDS)),
            patience=_GREETING_PATIENCE,
        )
        if not reply.protocol_min <= PROTOCOL <= reply.protocol_max:
            raise UnsupportedVersion(
                f"{self.target} speaks protocols {reply.protocol_min} to {reply.protocol_max},"
                f" this client speaks {PROTOCOL}",
                hint="upgrade the older side",
            )
        return reply

    def _renew(self, interval: float) -> None:
        """Keeps the lease alive while the client says nothing."""
        request = wire.GetInfoRequest(client_id=self.client_id)
        while not self._closed.wait(interval):
            with contextlib.suppress(ExprdError):
                self.rider.call(
                    lambda left: self.admin.GetInfo(request, timeout=left), _GREETING_SECONDS
                )


def durability_of(info: wire.VariableInfo) -> str:
    """How long a variable lasts, in the client's words; "default" for one of a later server's."""
    known = {number: name for name, number in _DURABILITY.items()}
    return known.get(info.durability, "default")


def are_large(values: Sequence[InputValue]) -> bool:
    """Whether the arrays among values are too large together for one message."""
    total = 0
    for value in values:
        if type(value) is np.ndarray:
            total += value.nbytes
    return total > INLINE_BYTES


def written_inputs(place: int, values: Sequence[InputValue]) -> list[framing.Part]:
    """The inputs of a call as the field `place` of its message."""
    parts: list[framing.Part] = []
    for value in values:
        if isinstance(value, BufferRef):
            parts += framing.buffer_input(place, value.handle)
        else:
            parts += framing.array_input(place, value)
    return parts


def write_source(message: wire.ExecuteInput | wire.VariableValue, value: InputValue) -> None:
    """Writes an array or a reference to one into a fresh message."""
    if isinstance(value, BufferRef):
        message.buffer = value.handle
    else:
        write_array(message.array, value)


def _checked_target(target: str) -> str:
    host, colon, port = target.rpartition(":")
    if target.startswith("unix:") or (colon and host and port.isdigit()):
        return target
    raise CallError(f"{target!r} is no target", hint="host:port, or unix:///path for a Unix socket")
