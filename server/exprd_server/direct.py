"""The short way to a function for a caller in the same process.

Invariant: locks, snapshot, native code and commit are those of every other call; only what serves
callers that can go away is left out: lease and delivery, and without an attempt the record.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from exprd_server.deadline import check
from exprd_server.interrupts import SHIELD
from exprd_server.locks import Hold
from exprd_server.values import ExecuteReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.ir.counts import EventCount
    from exprd_server.deadline import Deadline
    from exprd_server.functions import Function
    from exprd_server.replay import Attempt
    from exprd_server.values import Array, OutputValue
    from exprd_server.variables import VariableTable


class Carrier(Protocol):
    """Whoever brings outputs to the caller."""

    def deliver(self, outputs: Sequence[Array], /) -> tuple[OutputValue, ...]:
        """The outputs as they are told to the caller: some may stay here as buffers."""
        ...

    def withdraw(self, outputs: Sequence[OutputValue], /) -> None:
        """Frees those that stayed, for a call that came to nothing."""
        ...


class DirectCall:
    """A compiled function bound to its variables. Thread safe."""

    __slots__ = ("_count", "_order", "_policy", "_run", "_shared", "_variables", "_written")

    def __init__(self, function: Function, variables: VariableTable) -> None:
        self._run = function.compiled.run
        self._variables = variables
        self._shared = function.variables
        self._written = function.written
        self._order = function.order
        self._count = len(function.outline.outputs)
        self._policy = function.policy

    def __call__(
        self, inputs: Sequence[Array], deadline: Deadline | None = None
    ) -> tuple[Sequence[Array], Sequence[EventCount]]:
        """The outputs for inputs, which native code checks, and the events that were met."""
        if not self._shared:
            return self._run(inputs, deadline)
        if not self._written:
            values = self._variables.snapshot(self._shared, held=False).values
            return self._run([*inputs, *values], deadline)
        with SHIELD, Hold(self._order, deadline):
            values = self._variables.held(self._shared)
            results, met = self._run([*inputs, *values], deadline)
            check(deadline, "its results were committed")
            new = results[self._count :]
            self._variables.commit(zip(self._written, new, strict=True), None, self._policy)
            return results[: self._count], met

    def recorded(
        self,
        inputs: Sequence[Array],
        deadline: Deadline | None,
        attempt: Attempt,
        carrier: Carrier,
    ) -> ExecuteReply:
        """The answer of a call with updates, which is recorded together with them.

        Args:
            inputs: which native code checks, or somebody has.
            deadline: of the call.
            attempt: the right to make it.
            carrier: takes the outputs before anything has changed.
        """
        with Hold(self._order, deadline):
            values = self._variables.held(self._shared)
            check(deadline, "the function ran")
            start = time.perf_counter()
            results, met = self._run([*inputs, *values], deadline)
            seconds = time.perf_counter() - start
            check(deadline, "its results were committed")
            outputs = carrier.deliver(results[: self._count])
            reply = ExecuteReply(
                outputs=outputs,
                versions=tuple([(v.uuid, v.version + 1) for v in self._written]),
                timings=(("execute", seconds),),
                warnings=tuple(met),
            )
            nbytes = sum([x.nbytes for x in outputs if isinstance(x, np.ndarray)])
            record = attempt.record_of(reply, nbytes)
            try:
                new = zip(self._written, results[self._count :], strict=True)
                self._variables.commit(new, record, self._policy)
            except BaseException:
                carrier.withdraw(outputs)
                raise
            attempt.committed(record)
            return reply
