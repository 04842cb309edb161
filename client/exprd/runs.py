"""Runs: the ways to run a function more than once, for compiled and for looked-up functions alike.

A function says how it takes arguments and arranges results; where it runs, `Loops` does the rest.
"""

# A function shows to `Ready` what is its own.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from exprd.buffers import Buffer
from exprd.futures import Future
from exprd.looping import Given, Loops, Progress, RepeatJob, check_job
from exprd.transport import Expected, InputValue, Run
from exprd_compiler.errors import CallError, ExprdError

__all__ = ["Ready", "batched", "made", "repeated", "submitted"]


class Callee(Protocol):
    """A function that makes results of what its calls give; it knows what a program is."""

    def _concluded(self, program: Any, given: Given, /) -> Any:
        """The user's result of what a call gives."""
        ...

    def _shown(self, outputs: Sequence[Any], /) -> Any:
        """What the result would be of the arrays of one step; prints nothing."""
        ...

    def _explain(self, program: Any, values: Sequence[InputValue], error: ExprdError, /) -> None:
        """Adds what the client knows to an error."""
        ...


class Ready(NamedTuple):
    """A call that can be made.

    Thousands of them wait at a time, and the collector of garbage looks at each object of theirs:
    so what all calls have in common is asked of their function.

    Attributes:
        callee: the function.
        program: which of its programs is to run.
        run: makes a single call of the program.
        loops: of the transport that makes the call.
        handle: of the program.
        values: its inputs.
        outputs: how many it has where it runs.
    """

    callee: Callee
    program: Any
    run: Run
    loops: Loops
    handle: str
    values: Sequence[InputValue]
    outputs: int

    def finish(self, given: Given) -> Any:
        """The user's result of what the call gives."""
        return self.callee._concluded(self.program, given)  # noqa: SLF001

    def show(self, outputs: Sequence[Any]) -> Any:
        """What the result would be of the arrays of one step; prints nothing."""
        return self.callee._shown(outputs)  # noqa: SLF001

    def explain(self, error: ExprdError) -> None:
        """Adds what the client knows to an error."""
        self.callee._explain(self.program, self.values, error)  # noqa: SLF001


def made(ready: Ready, *, keep: bool, expected: Expected = ()) -> Any:
    """The result of a call that is made now.

    Args:
        ready: the call.
        keep: leave the outputs where the function runs, as buffers.
        expected: versions at which variables have to be.
    """
    try:
        given = ready.run(ready.values, keep, expected)
    except ExprdError as error:
        ready.explain(error)
        raise
    return ready.finish(given)


def submitted(
    ready: Ready, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, keep: bool
) -> Future[Any]:
    """The result to be of a call that was sent after those submitted before it.

    Args:
        ready: the call.
        args: the user's arguments; buffers among them live until the answer is there.
        kwargs: as `args`.
        keep: leave the outputs where the function runs, as buffers.
    """
    held = [x for x in (*args, *kwargs.values()) if isinstance(x, Buffer)] if args or kwargs else ()
    future: Future[Any] = Future(ready, held)
    ready.loops.submit(ready.handle, ready.values, ready.outputs, future, keep=keep)
    if keep:  # a buffer that nobody asks for is freed all the same
        future.add_done_callback(_brought)
    return future


def batched(ready: Sequence[Ready], *, keep: bool) -> list[Any]:
    """The results of calls of one function, in order.

    Raises:
        ExprdError: what the first call that failed raises, whose field "item" says which.
    """
    if not ready:
        return []
    first, values = ready[0], [call.values for call in ready]
    try:
        found = first.loops.batch(first.handle, values, first.outputs, keep=keep)
    except ExprdError as error:
        ready[int(error.fields.get("item", 0))].explain(error)
        raise
    return [call.finish(given) for call, given in zip(ready, found, strict=True)]


def repeated(
    ready: Ready,
    steps: int,
    until: int | None,
    every: int,
    on_progress: Callable[[Progress], object] | None,
    *,
    commit: str,
    stack: bool,
    keep: bool,
) -> Any:
    """The result of the last of several steps; the arguments are those of `Function.repeat`."""
    if commit not in ("each", "once"):
        raise CallError(
            f"commit is {commit!r}", hint='commit "each" step, or all of them "once" at the end'
        )

    def tell(step: int, outputs: Sequence[Any]) -> None:
        assert on_progress is not None
        on_progress(Progress(step, ready.show(outputs)))

    job = RepeatJob(
        steps=steps,
        until=until,
        every=every if on_progress is not None else min(every, 0),
        stacked=stack,
        kept=keep,
        once=commit == "once",
        tell=None if on_progress is None else tell,
    )
    check_job(job)
    try:
        given = ready.loops.repeat(ready.handle, ready.values, ready.outputs, job)
    except ExprdError as error:
        ready.explain(error)
        raise
    return ready.finish(given)


def _brought(future: concurrent.futures.Future[Any]) -> None:
    """Has the buffers of a kept result made, which then are freed as all others are."""
    if not future.cancelled():
        future.exception()
