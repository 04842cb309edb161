"""Repetition: one function run many times without leaving the server.

Invariant: every step is a commit of its own, and the record of the call goes with each of them: it
says how many steps are done. A repetition that ends early leaves its steps done, and the same call
made again goes on after them, so that no step is done twice. One that commits once holds its locks
from the first step to the last, and leaves nothing when it ends early.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from exprd_compiler.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    ExprdError,
    LimitExceeded,
    ResultExpired,
)
from exprd_server.calls import (
    check_counts,
    check_expected_versions,
    digest_of_call,
    is_fixed,
)
from exprd_server.locks import Hold, in_order
from exprd_server.throttle import Lap
from exprd_server.unpublished import Unpublished
from exprd_server.values import Delivery, ExecuteReply, VariableRef

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from exprd_compiler.backends.patch import Patch
    from exprd_compiler.ir.counts import EventCount
    from exprd_server.calls import Runner
    from exprd_server.deadline import Deadline
    from exprd_server.functions import Function
    from exprd_server.locks import Order
    from exprd_server.policy import Policy
    from exprd_server.replay import Attempt, ReplayWindow
    from exprd_server.settings import Limits
    from exprd_server.store import CallRecord
    from exprd_server.throttle import Throttle
    from exprd_server.values import Array, ExecuteCall
    from exprd_server.variables import Variable, VariableTable


_OBJECT_BYTES: Final = 128  # of an array that is kept, beside its data


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatCall:
    """A function to be run several times with the same inputs.

    Attributes:
        call: what each step is; deliveries and versions expected are those of the whole.
        steps: how many, at least 1.
        until: position of the output that ends the repetition in the step in which it is not zero.
        every: progress is told after each so many steps; 0 tells none.
        watched: positions of the outputs that progress shows.
        stacked: answer with the outputs of all steps, along a new first axis.
        once: commit all steps together at the end.
    """

    call: ExecuteCall
    steps: int
    until: int | None = None
    every: int = 0
    watched: tuple[int, ...] = ()
    stacked: bool = False
    once: bool = False


class Progress(NamedTuple):
    """What is told under way: steps done, and the watched outputs of the last of them."""

    step: int
    values: tuple[Array, ...]


class _Step(NamedTuple):
    """What one step gave, not yet committed."""

    outputs: Sequence[Array]
    updates: tuple[tuple[Variable, Array | Patch], ...]
    met: Sequence[EventCount]


class _Same(NamedTuple):
    """What is the same in every step.

    Attributes:
        variables: bound ones, then those that are inputs.
        order: of the locks of a step.
        inputs: their values; None when some are variables, whose values differ.
    """

    variables: tuple[Variable, ...]
    order: Order
    inputs: Sequence[Array] | None


class Repeater:
    """Repeats functions against the tables of an engine."""

    def __init__(
        self,
        runner: Runner,
        variables: VariableTable,
        window: ReplayWindow,
        limits: Limits,
        throttle: Throttle,
    ) -> None:
        self._runner = runner
        self._variables = variables
        self._window = window
        self._limits = limits
        self._throttle = throttle

    def lap(self, job: RepeatCall) -> Lap:
        """What the steps of a repetition use of the interpreter's time."""
        return Lap(self._throttle, job.call.client_id)

    def run(
        self, function: Function, job: RepeatCall, deadline: Deadline | None
    ) -> Generator[Progress | ExecuteReply]:
        """Progress as it is made, then the reply, whose `steps` says how many were done.

        Closing the generator ends the repetition between two steps.

        Raises:
            CallError: an input, an output or the number of steps is not what it should be, or the
                outputs that are to be stacked differ in shape.
            LimitExceeded: the outputs of all steps together are too large.
            ResultExpired: some of the stacked outputs went with an earlier attempt.
            ExprdError: whatever a step raises; the field "steps" says how many are done.
        """
        _check(function, job)
        call = job.call
        with (
            self._runner.calls.running(call.client_id, call.call_id, deadline),
            self._attempt(function, job, deadline) as attempt,
        ):
            known = attempt.replay if attempt is not None else None
            if isinstance(known, ExecuteReply) and not known.unfinished:
                yield replace(known, replayed=True)
                return
            done = known.steps if isinstance(known, ExecuteReply) else 0
            yield from _Loop(self, function, job, deadline, attempt).run(done)

    @contextmanager
    def _attempt(
        self, function: Function, job: RepeatCall, deadline: Deadline | None
    ) -> Generator[Attempt | None]:
        call = job.call
        # Without effect there is nothing to remember: to run it again is to get its answer again.
        if call.call_id is None or not (
            function.outline.updated or Delivery.KEEP in call.deliveries
        ):
            yield None
            return
        with self._window.attempt(call.call_id, _digest(job), deadline) as attempt:
            yield attempt

    def commit(
        self,
        updates: Sequence[tuple[Variable, Array | Patch]],
        record: CallRecord | None,
        policy: Policy | None,
    ) -> None:
        """Publishes what a step has computed, and remembers how far the repetition is."""
        if updates or record is not None:
            self._variables.commit(updates, record, policy)

    def same(self, function: Function, call: ExecuteCall) -> _Same:
        """What is the same in every step."""
        referred = [self._variables.find(x.uuid) for x in call.inputs if isinstance(x, VariableRef)]
        variables = (*function.variables, *referred)
        read = [v for v in variables if not is_fixed(v)]
        order = in_order(function.written, read) if function.written else ()
        inputs = None if referred else self._runner.inputs_of(function, call, ())
        return _Same(variables, order, inputs)

    def compute(
        self,
        function: Function,
        call: ExecuteCall,
        same: _Same,
        deadline: Deadline | None,
        unpublished: Unpublished | None,
    ) -> _Step:
        """Runs native code on what is published, or on what replaces it, under the locks."""
        bound, held = len(function.variables), bool(function.written)
        values: Sequence[Array] = self._variables.snapshot(same.variables, held=held).values
        if unpublished is not None:
            values = unpublished.over(same.variables, values)
        inputs = same.inputs
        if inputs is None:
            inputs = self._runner.inputs_of(function, call, values[bound:])
        results, met = function.compiled.run([*inputs, *values[:bound]], deadline)
        count = len(function.outline.outputs)
        updates = tuple(zip(function.written, results[count:], strict=True))
        return _Step(results[:count], updates, met)

    def check_versions(self, function: Function, call: ExecuteCall, *, held: bool) -> None:
        """Returns if the variables are at the versions that the caller expects at the start."""
        if call.expected:
            held = held and bool(function.written)
            snapshot = self._variables.snapshot(function.variables, held=held)
            check_expected_versions(function, call, snapshot)

    def reply(
        self, job: RepeatCall, outputs: Sequence[Array], steps: int, met: Sequence[EventCount]
    ) -> ExecuteReply:
        """The reply of the last step, before its commit."""
        delivered = self._runner.deliver(job.call, outputs)
        return ExecuteReply(outputs=delivered, steps=steps, warnings=tuple(met))

    def withdraw(self, reply: ExecuteReply) -> None:
        """Frees what a reply keeps that nobody will get."""
        self._runner.withdraw(reply.outputs)

    def check_size(self, job: RepeatCall, outputs: Sequence[Array]) -> None:
        """Returns if the outputs of all steps may be kept until the end, being all like these."""
        step = sum([value.nbytes + _OBJECT_BYTES for value in outputs], _OBJECT_BYTES)
        if step * job.steps > self._limits.tensor_bytes:
            raise LimitExceeded(
                f"outputs of {step} bytes in each of {job.steps} steps are above the limit of"
                f" {self._limits.tensor_bytes}; nothing has changed",
                hint="repeat fewer steps, or watch the outputs as progress",
                fields={"limit": "tensor_bytes"},
            )


class _Loop:
    """One repetition under way."""

    def __init__(
        self,
        repeater: Repeater,
        function: Function,
        job: RepeatCall,
        deadline: Deadline | None,
        attempt: Attempt | None,
    ) -> None:
        self._repeater = repeater
        self._function = function
        self._job = job
        self._deadline = deadline
        self._attempt = attempt
        self._same = repeater.same(function, job.call)
        self._kept: list[Sequence[Array]] = []
        self._met: dict[tuple[str, str, int], EventCount] = {}
        self._unpublished = Unpublished() if job.once else None

    def run(self, done: int) -> Generator[Progress | ExecuteReply]:
        """The steps after those that are done."""
        job = self._job
        if done and job.stacked:
            raise ResultExpired(
                f"{done} steps are done, but their outputs went with the attempt that made them",
                hint="read the state to see their effect",
                fields={"steps": str(done)},
            )
        with self._locks() if job.once else nullcontext():
            yield from self._steps(done)

    def _steps(self, done: int) -> Generator[Progress | ExecuteReply]:
        job = self._job
        if not done:
            self._repeater.check_versions(self._function, job.call, held=job.once)
        lap = self._repeater.lap(job)
        step, reply = done, None
        while reply is None:
            step += 1
            outputs, reply = self._step(step)
            if not job.once:  # which holds its locks from step to step
                lap.rest()
            if job.every and (step % job.every == 0 or reply is not None):
                yield Progress(step, tuple(outputs[i] for i in job.watched))
        lap.end()
        yield reply

    def _step(self, step: int) -> tuple[Sequence[Array], ExecuteReply | None]:
        try:
            return self._made(step)
        except (Cancelled, DeadlineExceeded) as error:
            raise _broken_off(error, step, once=self._job.once) from None
        except ExprdError as error:
            error.fields = _with_steps(error, 0 if self._job.once else step - 1)
            raise

    def _made(self, step: int) -> tuple[Sequence[Array], ExecuteReply | None]:
        repeater, job, deadline = self._repeater, self._job, self._deadline
        with nullcontext() if job.once else self._locks():
            if deadline is not None and deadline.is_over():
                deadline.check(f"step {step}")
            found = repeater.compute(
                self._function, job.call, self._same, deadline, self._unpublished
            )
            if self._unpublished is not None:
                self._unpublished.take(found.updates, found.outputs)
            if deadline is not None and deadline.is_over():
                deadline.check(f"step {step} was committed")
            if found.met:
                self._note(found.met)
            if job.stacked:
                self._keep(found.outputs)
            if step == job.steps or self._is_last(found.outputs):
                return found.outputs, self._finish(found, step)
            if not job.once:
                self._commit(found, ExecuteReply(outputs=(), steps=step, unfinished=True), 0)
            return found.outputs, None

    def _keep(self, outputs: Sequence[Array]) -> None:
        """Keeps what a step gave, before its commit; the first bounds what all of them give."""
        if not self._kept:
            self._repeater.check_size(self._job, outputs)
        elif [x.shape for x in outputs] != [x.shape for x in self._kept[0]]:
            raise CallError(
                "the outputs of this step differ in shape from those before and cannot be stacked",
                hint="watch them as progress instead",
            )
        self._kept.append(outputs)

    def _finish(self, found: _Step, step: int) -> ExecuteReply:
        if self._unpublished is not None:
            found = found._replace(updates=self._unpublished.updates())
        outputs = _stack(self._kept) if self._job.stacked else found.outputs
        reply = self._repeater.reply(self._job, outputs, step, tuple(self._met.values()))
        try:
            versions = tuple((v.uuid, v.version + 1) for v, _ in found.updates)
            reply = replace(reply, versions=versions)
            nbytes = sum(x.nbytes for x in reply.outputs if isinstance(x, np.ndarray))
            self._commit(found, reply, nbytes)
        except BaseException:
            self._repeater.withdraw(reply)
            raise
        return reply

    def _commit(self, found: _Step, reply: ExecuteReply, nbytes: int) -> None:
        attempt = self._attempt
        record = None if attempt is None else attempt.record_of(reply, nbytes)
        self._repeater.commit(found.updates, record, self._function.policy)
        if attempt is not None and record is not None:
            attempt.committed(record)

    def _locks(self) -> Hold:
        return Hold(self._same.order, self._deadline)

    def _is_last(self, outputs: Sequence[Array]) -> bool:
        until = self._job.until
        return until is not None and bool(np.any(outputs[until]))

    def _note(self, met: Sequence[EventCount]) -> None:
        for event in met:
            key = (event.kind, event.op, event.origin)
            before = self._met.get(key)
            count = event.count + (0 if before is None else before.count)
            self._met[key] = replace(event, count=count)


def _with_steps(error: ExprdError, done: int) -> dict[str, str]:
    return {**error.fields, "steps": str(done)}


def _broken_off(error: ExprdError, step: int, *, once: bool) -> ExprdError:
    """The error of a repetition: that of its last step speaks of that step alone."""
    why = "was cancelled" if isinstance(error, Cancelled) else "ran out of time"
    left = "nothing has changed" if once else f"the {step - 1} steps before it are done"
    return type(error)(
        f"the repetition {why} in step {step}; {left}",
        hint=error.hint,
        fields=_with_steps(error, 0 if once else step - 1),
    )


def _stack(kept: Sequence[Sequence[Array]]) -> list[Array]:
    return [np.stack(values) for values in zip(*kept, strict=True)]


def _check(function: Function, job: RepeatCall) -> None:
    check_counts(function, job.call)
    outputs = len(function.outline.outputs)
    wanted = job.watched if job.until is None else (*job.watched, job.until)
    if job.steps < 1:
        raise CallError(f"{job.steps} steps; a repetition has at least 1")
    if beyond := sorted({position for position in wanted if not 0 <= position < outputs}):
        raise CallError(
            f"outputs {beyond} are asked for, but the function has {outputs}",
            hint="outputs are counted from 0",
        )


def _digest(job: RepeatCall) -> bytes:
    facts = f"{job.steps} {job.until} {job.stacked}{' once' if job.once else ''}"
    return digest_of_call(job.call, facts)
