"""Online: the state of a running server, for the commands `exprd state`."""

from __future__ import annotations

import itertools
import uuid as uuids
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

import exprd_proto as wire
from exprd_compiler.errors import UnsupportedVersion
from exprd_proto.arrays import Assembler, array_from_wire, chunks_of, header_of, write_array
from exprd_proto.decode import OwnLimits, decode_type
from exprd_server.probe import ask, talk
from exprd_server.stores.checkpoints import CheckpointInfo
from exprd_server.stores.offline import the_one
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from exprd_compiler.ir.type import TensorType
    from exprd_proto.channels import Access

_SECONDS: Final = 60.0
_INLINE_BYTES: Final = 4 << 20  # larger values travel in chunks
_LIMITS: Final = OwnLimits()
T = TypeVar("T")
_DURABILITIES: Final = {
    wire.Durability.DURABILITY_DURABLE: Durability.DURABLE,
    wire.Durability.DURABILITY_VOLATILE: Durability.VOLATILE,
    wire.Durability.DURABILITY_CONSTANT: Durability.CONSTANT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A variable of a server; `value` is what a read gave, else empty."""

    uuid: str
    name: str
    type: TensorType
    durability: Durability
    version: int
    value: NDArray[Any]


class Online:
    """The variables and checkpoints of a running server."""

    def __init__(self, target: str, access: Access) -> None:
        self._target = target
        self._access = access
        self._client = f"state-{uuids.uuid4().hex}"  # holds nothing for longer than a command

    def variables(self) -> tuple[Remote, ...]:
        """All variables, by name and uuid; without their values."""
        found: list[Remote] = []
        token = ""
        while True:
            request = wire.StateServiceListRequest(page_size=1000, page_token=token)
            page = self._state("List", request)
            found += map(_remote, page.variables)
            token = page.next_page_token
            if not token:
                return tuple(sorted(found, key=lambda v: (v.name, v.uuid)))

    def checkpoints(self) -> tuple[CheckpointInfo, ...]:
        """All checkpoints, oldest first; none when state is kept in memory."""
        info = ask(
            self._target,
            self._access,
            wire.AdminServiceStub,
            "GetInfo",
            wire.GetInfoRequest(),
            _SECONDS,
        )
        if info.store == "memory":
            return ()
        return tuple(
            map(_info, self._admin("ListCheckpoints", wire.ListCheckpointsRequest()).checkpoints)
        )

    def find(self, key: str) -> Remote:
        """The variable of a uuid or a name, with its value."""
        uuid = the_one(key, [(v.uuid, v.name, v.uuid) for v in self.variables()])
        request = wire.StateServiceGetRequest(client_id=self._client, uuid=uuid)
        reply = self._state("Get", request)
        if reply.value.HasField("array"):
            return _remote(reply.variable, array_from_wire(reply.value.array))
        handle = reply.value.buffer.handle  # of a large value
        return _remote(reply.variable, self._talk(lambda data: self._got(data, handle)))

    def assign(self, key: str, value: NDArray[Any]) -> Remote:
        """Gives a variable a value; the variable afterwards."""
        uuid = the_one(key, [(v.uuid, v.name, v.uuid) for v in self.variables()])
        request = wire.StateServiceSetRequest(
            uuid=uuid, call_id=wire.CallId(client_id=self._client, seq=1)
        )
        if value.nbytes <= _INLINE_BYTES:
            write_array(request.value.array, value)
            return _remote(self._state("Set", request).variable)
        request.value.buffer = self._talk(lambda data: self._put(data, value))
        try:
            return _remote(self._state("Set", request).variable)
        finally:
            self._end()

    def remove(self, key: str) -> bool:
        """Takes a variable away; False if published functions keep it until they are gone, too."""
        uuid = the_one(key, [(v.uuid, v.name, v.uuid) for v in self.variables()])
        self._state("Delete", wire.StateServiceDeleteRequest(client_id=self._client, uuids=[uuid]))
        return all(v.uuid != uuid for v in self.variables())

    def write_checkpoint(self, name: str) -> CheckpointInfo:
        """Has the server write a checkpoint."""
        return _info(self._admin("Checkpoint", wire.CheckpointRequest(name=name)).checkpoint)

    def restore(self, name: str) -> tuple[int, int]:
        """Has the server restore a checkpoint; how many were assigned, and how many made."""
        done = self._admin("RestoreCheckpoint", wire.RestoreCheckpointRequest(name=name))
        return done.assigned, done.created

    def _put(self, data: wire.DataServiceStub, value: NDArray[Any]) -> str:
        header = wire.PutHeader(client_id=self._client, array=header_of(value))
        messages = itertools.chain(
            [wire.DataServicePutRequest(header=header)],
            (wire.DataServicePutRequest(chunk=chunk) for chunk in chunks_of(value)),
        )
        return data.Put(messages, timeout=_SECONDS).buffer.handle

    def _got(self, data: wire.DataServiceStub, handle: str) -> NDArray[Any]:
        request = wire.DataServiceGetRequest(client_id=self._client, handle=handle)
        messages = data.Get(request, timeout=_SECONDS)
        try:
            first = next(messages, wire.DataServiceGetResponse())
            assembler = Assembler(first.header)
            for message in messages:
                assembler.add(message.chunk)
            return assembler.finish()
        finally:
            self._end()

    def _talk(self, work: Callable[[wire.DataServiceStub], T]) -> T:
        def question(channel: Any, _: float) -> T:
            return work(wire.DataServiceStub(channel))

        found: T = talk(self._target, self._access, question, _SECONDS)
        return found

    def _end(self) -> None:
        """Gives up what was kept there for a command."""
        end = wire.EndLeaseRequest(client_id=self._client)
        ask(self._target, self._access, wire.AdminServiceStub, "EndLease", end, _SECONDS)

    def _state(self, method: str, request: Any) -> Any:
        return ask(self._target, self._access, wire.StateServiceStub, method, request, _SECONDS)

    def _admin(self, method: str, request: Any) -> Any:
        return ask(self._target, self._access, wire.AdminServiceStub, method, request, _SECONDS)


def _remote(info: wire.VariableInfo, value: NDArray[Any] | None = None) -> Remote:
    durability = _DURABILITIES.get(info.durability)
    if durability is None:
        raise UnsupportedVersion(
            f"shared variable {info.name or info.uuid!r} has a durability that is not known here",
            hint="use the commands of the server's own version",
        )
    return Remote(
        uuid=info.uuid,
        name=info.name,
        type=decode_type(info.type, _LIMITS),
        durability=durability,
        version=info.version,
        value=np.empty(0) if value is None else value,
    )


def _info(info: wire.CheckpointInfo) -> CheckpointInfo:
    return CheckpointInfo(
        name=info.name, created=info.created, variables=info.variables, nbytes=info.nbytes
    )
