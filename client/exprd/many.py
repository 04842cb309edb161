"""Many: what a function offers beside a single call, be it compiled or looked up.

These are methods. A class has them by naming them in its body, and says by itself how a call of its
own is prepared.
"""

# Methods see what is their classes' own.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from exprd.futures import Future
from exprd.looping import Progress
from exprd.runs import Ready, batched, made, repeated, submitted
from exprd_compiler.errors import CallError

__all__ = ["batch", "expecting", "keep", "repeat", "submit", "submit_keep"]


class Callee(Protocol):
    """A function, as far as these methods know it."""

    def _ready(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Ready:
        """A call that can be made."""
        ...


def keep(self: Callee, /, *args: Any, **kwargs: Any) -> Any:
    """Runs the function and leaves its outputs where it runs, as buffers."""
    return made(self._ready(args, kwargs), keep=True)


def submit(self: Callee, /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Sends a call after those submitted before, without waiting for its result.

    Calls that were submitted run in order, each as a call of its own: one that fails does not stop
    the next.
    """
    return submitted(self._ready(args, kwargs), args, kwargs, keep=False)


def submit_keep(self: Callee, /, *args: Any, **kwargs: Any) -> Future[Any]:
    """The same; the outputs stay where the function runs, and the result is buffers."""
    return submitted(self._ready(args, kwargs), args, kwargs, keep=True)


def batch(self: Callee, items: Iterable[Sequence[Any]], *, keep: bool = False) -> list[Any]:
    """Runs the function over several tuples of arguments, in order, in as few messages as fit.

    Args:
        self: the function.
        items: the arguments of each call.
        keep: leave the outputs where the function runs, as buffers.

    Returns:
        What the calls would have given, in order.

    Raises:
        ExprdError: what the first call that failed raises, whose `fields["item"]` says which. The
            calls before it are done, those after it are not.
    """
    return batched([self._ready(tuple(item), {}) for item in items], keep=keep)


def repeat(
    self: Callee,
    steps: int,
    *args: Any,
    until: int | None = None,
    every: int = 1,
    on_progress: Callable[[Progress], object] | None = None,
    commit: str = "each",
    stack: bool = False,
    keep: bool = False,
    **kwargs: Any,
) -> Any:
    """Runs the function several times where it lives, with the same arguments.

    Each step is a call of its own and commits its updates; what was done stays done when a later
    step fails, or the repetition is broken off. With `commit="once"` all steps are one commit, made
    at the end: until then nobody sees their updates, and other calls that update these variables
    wait; after a failure nothing has changed.

    Args:
        self: the function.
        steps: how many, at least 1.
        *args: as in a call.
        until: position of an output that ends the repetition after the step in which it is not
            zero.
        every: progress is told after each so many steps, and after the last.
        on_progress: called with `Progress`.
        commit: "each" step, or all "once".
        stack: give the outputs of all steps along a new first axis, not those of the last.
        keep: leave the outputs where the function runs, as buffers.
        **kwargs: as in a call.

    Returns:
        The outputs of the last step, arranged as a call arranges them.

    Raises:
        CallError: as a call, or the numbers make no sense.
        ExprdError: whatever a step raises, whose `fields["steps"]` says how many are done.
    """
    ready = self._ready(args, kwargs)
    return repeated(ready, steps, until, every, on_progress, commit=commit, stack=stack, keep=keep)


def expecting(self: Callee, versions: Mapping[Any, int]) -> Callable[..., Any]:
    """This function for calls that run only if shared variables are at versions.

    Args:
        self: the function.
        versions: variables of this function, and what `version` said of them.

    Returns:
        What is called like the function; it raises `Conflict` when a variable is at another
        version, and nothing has changed then.

    Raises:
        CallError: a key is no shared variable.
    """
    expected = tuple((_uuid(variable), version) for variable, version in versions.items())

    def call(*args: Any, **kwargs: Any) -> Any:
        return made(self._ready(args, kwargs), keep=False, expected=expected)

    return call


def _uuid(variable: object) -> str:
    uuid = getattr(variable, "uuid", None)
    if not isinstance(uuid, str):
        raise CallError(
            f"a version is expected of {variable!r}, which is no shared variable",
            hint="the keys are shared variables of the function, not their names",
        )
    return uuid
