"""Calls that may change state: running a function, assigning a variable.

Invariant: the order is locks, snapshot, native code, last check of the deadline,
commit. Before the commit nothing is visible and every failure leaves no trace; after
it the answer is recorded, and a retry gets that answer.
"""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exprd_compiler.errors import CallError, LimitExceeded
from exprd_compiler.ir.type import TensorType
from exprd_server.checksums import crc32
from exprd_server.deadline import check
from exprd_server.direct import DirectCall
from exprd_server.locks import Hold, in_order
from exprd_server.running import RunningCalls
from exprd_server.store import version_conflict
from exprd_server.values import (
    BufferInfo,
    BufferRef,
    Delivery,
    Durability,
    ExecuteReply,
    SetReply,
    VariableRef,
)
from exprd_server.variables import check_expected, info_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exprd_compiler.backends.patch import Patch
    from exprd_compiler.ir.counts import EventCount
    from exprd_server.buffers import BufferTable
    from exprd_server.deadline import Deadline
    from exprd_server.functions import Function
    from exprd_server.replay import Attempt, ReplayWindow
    from exprd_server.settings import Limits
    from exprd_server.values import Array, CallId, ExecuteCall, InputValue, OutputValue, SetCall
    from exprd_server.variables import Snapshot, Variable, VariableTable


# an enum is asked for its members slowly
_AUTO, _INLINE, _KEEP = Delivery.AUTO, Delivery.INLINE, Delivery.KEEP


class _Run(NamedTuple):
    """What one execution of native code gave."""

    outputs: Sequence[Array]
    updates: tuple[tuple[Variable, Array | Patch], ...]
    seconds: float
    met: tuple[EventCount, ...]


class Runner:
    """Runs functions and assignments against the tables of an engine.

    Attributes:
        calls: those that run at the moment.
    """

    def __init__(
        self, variables: VariableTable, buffers: BufferTable, window: ReplayWindow, limits: Limits
    ) -> None:
        self._variables = variables
        self._buffers = buffers
        self._window = window
        self._limits = limits
        self.calls = RunningCalls()

    def execute(
        self, function: Function, call: ExecuteCall, deadline: Deadline | None
    ) -> ExecuteReply:
        """Runs a function once, or gives the answer of the earlier run of this call."""
        # A call without effect is not recorded: to run it again is to get its answer again.
        effect = function.written or _KEEP in call.deliveries
        with self.calls.running(call.client_id, call.call_id, deadline):
            if call.call_id is None or not effect:
                return self._plain(function, call, deadline) or self._execute(
                    function, call, deadline, None
                )
            return self._once(function, call, call.call_id, deadline)

    def _plain(
        self, function: Function, call: ExecuteCall, deadline: Deadline | None
    ) -> ExecuteReply | None:
        """What most calls are, in one go: arrays come, native code runs, small arrays go.

        None when there is more to a call: state, or what `_is_plain` has not.
        """
        if function.variables or not _is_plain(function, call):
            return None
        if deadline is not None and deadline.is_over():
            deadline.check("the function ran")
        start = time.perf_counter()
        found, met = function.compiled.run(call.inputs, deadline)  # type: ignore[arg-type]
        seconds = time.perf_counter() - start
        if deadline is not None and deadline.is_over():
            deadline.check("its results were committed")
        if not self._is_small(call, found):
            return self._finish(function, call, _Run(found, (), seconds, tuple(met)), None)
        return ExecuteReply(
            outputs=tuple(found), timings=(("execute", seconds),), warnings=tuple(met)
        )

    def _once(
        self, function: Function, call: ExecuteCall, call_id: CallId, deadline: Deadline | None
    ) -> ExecuteReply:
        if deadline is not None:
            deadline.outlive_caller()
        with self._window.attempt(call_id, digest_of_call(call), deadline) as attempt:
            if isinstance(attempt.replay, ExecuteReply):
                return replace(attempt.replay, replayed=True)
            if function.written and _is_plain(function, call):
                direct, carrier = DirectCall(function, self._variables), _Carrier(self, call)
                return direct.recorded(call.inputs, deadline, attempt, carrier)  # type: ignore[arg-type]
            return self._execute(function, call, deadline, attempt)

    def assign(self, call: SetCall, deadline: Deadline | None) -> SetReply:
        """Assigns a variable once, or gives the answer of the earlier assignment."""
        if call.call_id is None:
            return self._assign(call, deadline, None)
        with self._window.attempt(call.call_id, digest_of_set(call), deadline) as attempt:
            if isinstance(attempt.replay, SetReply):
                return replace(attempt.replay, replayed=True)
            return self._assign(call, deadline, attempt)

    def _execute(
        self,
        function: Function,
        call: ExecuteCall,
        deadline: Deadline | None,
        attempt: Attempt | None,
    ) -> ExecuteReply:
        check_counts(function, call)
        written, variables = function.written, function.variables
        referred = [self._variables.find(x.uuid) for x in call.inputs if isinstance(x, VariableRef)]
        if referred:
            variables = (*variables, *referred)
        # Only a call that writes needs its reads to stand still; others take one snapshot.
        if not written:
            run = self._run(function, call, variables, deadline)
            return self._finish(function, call, run, attempt)
        order = function.order
        if referred:
            order = in_order(written, [v for v in variables if not is_fixed(v)])
        with Hold(order, deadline):
            run = self._run(function, call, variables, deadline)
            return self._finish(function, call, run, attempt)

    def _run(
        self,
        function: Function,
        call: ExecuteCall,
        variables: Sequence[Variable],
        deadline: Deadline | None,
    ) -> _Run:
        """Runs native code on what is published; what a call needs that writes nothing is short."""
        check(deadline, "the function ran")
        values: Sequence[Array] = ()
        if variables or call.expected:
            snapshot = self._variables.snapshot(variables, held=bool(function.written))
            check_expected_versions(function, call, snapshot)
            values = snapshot.values
        bound = len(function.variables)
        inputs = self.inputs_of(function, call, values[bound:])
        start = time.perf_counter()
        found, met = function.compiled.run([*inputs, *values[:bound]], deadline)
        seconds = time.perf_counter() - start
        check(deadline, "its results were committed")
        if not function.written:
            return _Run(found, (), seconds, tuple(met))
        count = len(function.outline.outputs)
        updates = tuple(zip(function.written, found[count:], strict=True))
        return _Run(found[:count], updates, seconds, tuple(met))

    def _finish(
        self, function: Function, call: ExecuteCall, run: _Run, attempt: Attempt | None
    ) -> ExecuteReply:
        outputs = self.deliver(call, run.outputs)
        try:
            reply = ExecuteReply(
                outputs=outputs,
                versions=tuple([(v.uuid, v.version + 1) for v, _ in run.updates]),
                timings=(("execute", run.seconds),),
                warnings=run.met,
            )
            record = None if attempt is None else attempt.record_of(reply, _inline_bytes(outputs))
            if run.updates or record is not None:
                self._variables.commit(run.updates, record, function.policy)
        except BaseException:
            self.withdraw(outputs)
            raise
        if attempt is not None and record is not None:
            attempt.committed(record)
        return reply

    def _assign(
        self, call: SetCall, deadline: Deadline | None, attempt: Attempt | None
    ) -> SetReply:
        variable = self._variables.find(call.uuid)
        if is_fixed(variable):
            raise CallError(f"shared variable {call.uuid} is a constant and is never assigned")
        given = call.value
        value = self._buffers.get(given.handle) if isinstance(given, BufferRef) else given
        with Hold(in_order((variable,), ()), deadline):
            if call.expected_version is not None:
                check_expected(variable, call.expected_version)
            check(deadline, "the assignment was committed")
            info = replace(
                info_of(variable),
                version=variable.version + 1,
                shape=value.shape,
                nbytes=value.nbytes,
            )
            reply = SetReply(variable=info)
            record = None if attempt is None else attempt.record_of(reply, 0)
            self._variables.commit(((variable, value),), record)
            if attempt is not None and record is not None:
                attempt.committed(record)
            return reply

    def inputs_of(
        self, function: Function, call: ExecuteCall, referred: Sequence[Array]
    ) -> list[Array]:
        """The checked inputs of a call, `referred` being the values of those that are variables."""
        rest = iter(referred)
        inputs = [
            x if type(x) is np.ndarray else self._resolve(x, rest)  # one call less for most
            for x in call.inputs
        ]
        _check_inputs(function, inputs)
        return inputs

    def _resolve(self, given: InputValue, referred: Iterator[Array]) -> Array:
        if isinstance(given, BufferRef):
            return self._buffers.get(given.handle)
        return next(referred) if isinstance(given, VariableRef) else given

    def deliver(self, call: ExecuteCall, values: Sequence[Array]) -> tuple[OutputValue, ...]:
        """Puts every output where it was asked to go; nothing is kept when one is refused."""
        if not call.deliveries and self._is_small(call, values):
            return tuple(values)
        deliveries = call.deliveries or (call.delivery,) * len(values)
        inline = self._inline(values, deliveries)
        out: list[OutputValue] = []
        try:
            for value, delivery, here in zip(values, deliveries, inline, strict=True):
                if delivery is Delivery.DISCARD:
                    out.append(None)
                else:
                    out.append(value if here else self._buffers.put(call.client_id, value))
        except BaseException:
            self.withdraw(out)
            raise
        if call.reply_bytes is not None and _inline_bytes(out) > call.reply_bytes:
            self.withdraw(out)
            raise too_large_for_a_reply(_inline_bytes(out), call.reply_bytes)
        return tuple(out)

    def _is_small(self, call: ExecuteCall, values: Sequence[Array]) -> bool:
        """Whether all values travel in the answer because nothing speaks against it."""
        room = self._limits.inline_bytes
        if call.reply_bytes is not None and call.reply_bytes < room:
            room = call.reply_bytes
        for value in values:
            room -= value.nbytes
        return room >= 0 and (call.delivery is _AUTO or call.delivery is _INLINE)

    def withdraw(self, outputs: Sequence[OutputValue]) -> None:
        """Frees the outputs that were kept for a caller who does not get them."""
        self._buffers.release([x.handle for x in outputs if isinstance(x, BufferInfo)])

    def _inline(self, values: Sequence[Array], deliveries: Sequence[Delivery]) -> list[bool]:
        room = self._limits.inline_bytes
        out: list[bool] = []
        for value, delivery in zip(values, deliveries, strict=True):
            fits = delivery is Delivery.AUTO and value.nbytes <= room
            room -= value.nbytes if fits else 0
            out.append(fits or delivery is Delivery.INLINE)
        return out


class _Carrier(NamedTuple):
    """What becomes of the outputs of a call."""

    runner: Runner
    call: ExecuteCall

    def deliver(self, outputs: Sequence[Array], /) -> tuple[OutputValue, ...]:
        """The outputs where the call wants them."""
        return self.runner.deliver(self.call, outputs)

    def withdraw(self, outputs: Sequence[OutputValue], /) -> None:
        """Frees those that were kept."""
        self.runner.withdraw(outputs)


def _is_plain(function: Function, call: ExecuteCall) -> bool:
    """Whether a call brings arrays that fit as they are, and has no other wishes.

    Without: buffers, variables in the place of inputs, outputs with a way of their own, expected
    versions, or an input that does not fit, of which somebody else tells why.
    """
    if call.deliveries or call.expected or len(call.inputs) != len(function.forms):
        return False
    for value, (dtype, ndim, extents) in zip(call.inputs, function.forms, strict=True):
        if type(value) is not np.ndarray or value.dtype is not dtype:
            return False
        if value.ndim != ndim or extents:
            return False
    return True


def too_large_for_a_reply(nbytes: int, limit: int) -> LimitExceeded:
    """The error of a result that was asked for inline and fits no message."""
    return LimitExceeded(
        f"a result of {nbytes} bytes does not fit into one message of {limit}; nothing has changed",
        hint="keep it on the server and read it in chunks",
        fields={"limit": "message_bytes"},
    )


def digest_of_call(call: ExecuteCall, facts: str = "") -> bytes:
    """What tells one call from another under the same id; not meant against forgery."""
    facts = facts_of(call.handle, call.deliveries, call.expected, facts)
    return digest_of(facts, call.inputs)


def facts_of(
    handle: str,
    deliveries: Sequence[Delivery] = (),
    expected: Sequence[tuple[str, int]] = (),
    facts: str = "",
) -> str:
    """What a digest covers besides the inputs."""
    return "\0".join((handle, repr(tuple(deliveries)), repr(tuple(expected)), facts))


def digest_of(facts: str, inputs: Sequence[InputValue]) -> bytes:
    """The digest of a call of some facts."""
    return _digest([facts, *map(_content, inputs)])


def digest_of_set(call: SetCall) -> bytes:
    """The same for an assignment."""
    return _digest([call.uuid, repr(call.expected_version), _content(call.value)])


def _digest(parts: Sequence[str]) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


def _content(value: InputValue) -> str:
    if isinstance(value, BufferRef | VariableRef):
        return repr(value)
    data: Any = np.ascontiguousarray(value).view(np.uint8)  # bfloat16 is no buffer of its own
    return f"{value.dtype.str}{value.shape}{crc32(data)}"


def _inline_bytes(outputs: Sequence[OutputValue]) -> int:
    return sum(x.nbytes for x in outputs if x is not None and not isinstance(x, BufferInfo))


def is_fixed(variable: Variable) -> bool:
    """Whether a variable never changes, and so needs no lock."""
    return variable.durability is Durability.CONSTANT


def check_counts(function: Function, call: ExecuteCall) -> None:
    """Returns if a call has as many inputs and deliveries as the function wants."""
    wanted = len(function.outline.inputs)
    if len(call.inputs) != wanted:
        raise CallError(
            f"the function takes {wanted} inputs, but {len(call.inputs)} were given",
            fields={"expected": str(wanted), "given": str(len(call.inputs))},
        )
    outputs = len(function.outline.outputs)
    if call.deliveries and len(call.deliveries) != outputs:
        raise CallError(f"{len(call.deliveries)} deliveries for {outputs} outputs")


def _check_inputs(function: Function, inputs: Sequence[Array]) -> None:
    # Written out, because this runs for every input of every call.
    for position, (dtype, ndim, extents) in enumerate(function.forms):
        value = inputs[position]
        if (
            (value.dtype is not dtype and value.dtype != dtype)
            or value.ndim != ndim
            or (extents and any(value.shape[axis] != extent for axis, extent in extents))
        ):
            raise _misfit(function, position, value)


def _misfit(function: Function, position: int, value: Array) -> CallError:
    parameter = function.info.signature.inputs[position]
    label = f" ({parameter.name})" if parameter.name else ""
    given = TensorType(value.dtype.name, value.shape)
    return CallError(
        f"input {position}{label} is {given}, but the function takes {parameter.type}",
        hint="cast or reshape the value",
        fields={"input": str(position), "expected": str(parameter.type), "given": str(given)},
    )


def check_expected_versions(function: Function, call: ExecuteCall, snapshot: Snapshot) -> None:
    """Returns if the variables of a function are at the versions that a call expects."""
    if not call.expected:
        return
    current = {
        variable.uuid: (version, variable.name)
        for variable, version in zip(function.variables, snapshot.versions, strict=False)
    }
    for uuid, version in call.expected:
        if uuid not in current:
            raise CallError(f"a version is expected of {uuid[:64]!r}, which is not bound here")
        found, name = current[uuid]
        if found != version:
            raise version_conflict(uuid, name, version, found)
