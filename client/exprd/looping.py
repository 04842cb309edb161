"""Loops: many runs of a function with few messages, or none, in between.

The seam between a function and its transport: calls that are submitted, batches, repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from exprd.futures import Future
from exprd.session import Session, current_session
from exprd.transport import InputValue, OutputValue, RemoteBuffer
from exprd_compiler.errors import CallError
from exprd_compiler.ir.counts import EventCount

__all__ = ["Given", "Loops", "Progress", "RepeatJob", "check_job", "kept_of", "pipeline"]

Given: TypeAlias = "tuple[Sequence[OutputValue], Sequence[EventCount]]"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a repetition is.

    Attributes:
        step: steps done, from 1 on.
        outputs: of the last of them, arranged as a call arranges them.
    """

    step: int
    outputs: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatJob:
    """What a transport is to repeat.

    Attributes:
        steps: at most.
        until: position of the output that ends the repetition when it is not zero.
        every: progress after each so many steps; 0 for none.
        stacked: give the outputs of all steps along a new first axis.
        kept: leave the outputs where the function runs.
        once: commit all steps together at the end.
        tell: called with the steps done and their last outputs.
    """

    steps: int
    until: int | None = None
    every: int = 0
    stacked: bool = False
    kept: bool = False
    once: bool = False
    tell: Callable[[int, Sequence[NDArray[Any]]], None] | None = None


class Loops(Protocol):
    """What a transport offers beside single calls. Thread safe.

    With `keep`, and for jobs whose outputs are kept, outputs stay where they are, as with `Run`.
    """

    def submit(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        outputs: int,
        future: Future[Any],
        *,
        keep: bool = False,
    ) -> None:
        """Sends a call after those submitted before; the future gets what `Run` would give."""
        ...

    def batch(
        self,
        handle: str,
        items: Sequence[Sequence[InputValue]],
        outputs: int,
        *,
        keep: bool = False,
    ) -> Sequence[Given]:
        """Runs a function over several lists of inputs, in order.

        Raises:
            ExprdError: what the first item that failed raises, with the field "item".
        """
        ...

    def repeat(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, job: RepeatJob
    ) -> Given:
        """Runs a function several times and gives the outputs of the last."""
        ...

    def enter(self) -> None:
        """From now on, single calls go the way of those submitted, in order with them."""
        ...

    def leave(self) -> None:
        """Waits until everything submitted is answered, and ends what `enter` began."""
        ...


def kept_of(found: Sequence[Given]) -> list[str]:
    """The handles of the outputs that stay where they are."""
    return [x.handle for outputs, _ in found for x in outputs if isinstance(x, RemoteBuffer)]


def check_job(job: RepeatJob) -> None:
    """Returns if the numbers of a repetition make sense.

    Raises:
        CallError: they do not.
    """
    if job.steps < 1:
        raise CallError(f"repeat {job.steps} steps", hint="a repetition has at least 1")
    if job.every < 0:
        raise CallError(
            f"repeat with every={job.every}", hint="it counts steps: 1 tells of each, 0 of none"
        )


@contextmanager
def pipeline(session: Session | None = None) -> Generator[None]:
    """Within it, calls to a server go over one open stream, in order with those submitted.

    At its end everything that was submitted has been answered.

    Args:
        session: the one in use by default.
    """
    loops = (session or current_session()).transport.loops
    loops.enter()
    try:
        yield
    finally:
        loops.leave()
