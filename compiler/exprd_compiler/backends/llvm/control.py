"""Control flow of functions that are written out by hand: loops with a test, and branches.

Values that change are carried: a loop or a branch gives their values behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from exprd_compiler.backends.llvm.text import Value

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import FunctionText

Step: TypeAlias = Callable[[Sequence[Value]], Sequence[Value]]


def repeated(
    function: FunctionText,
    carried: Sequence[Value],
    test: Callable[[Sequence[Value]], Value],
    body: Step,
) -> list[Value]:
    """A loop that goes on while `test(carried)` holds; `body(carried)` gives the next values.

    Returns:
        The carried values after the loop.
    """
    before = function.block
    head, inside, after = (function.label(hint) for hint in ("while", "body", "after"))
    function.jump(head)
    function.begin(head)
    state = [function.phi(value.dtype, value.lanes) for value in carried]
    function.branch(test(state), inside, after)
    function.begin(inside)
    results = body(state)
    latch = function.block
    function.jump(head)
    for phi, start, result in zip(state, carried, results, strict=True):
        function.incoming(phi, start, before)
        function.incoming(phi, result, latch)
    function.begin(after)
    return state


def branched(
    function: FunctionText,
    condition: Value,
    then: Callable[[], Sequence[Value]],
    otherwise: Callable[[], Sequence[Value]],
) -> list[Value]:
    """The values that one of two pieces of code gives."""
    labels = [function.label(hint) for hint in ("then", "else", "joined")]
    function.branch(condition, labels[0], labels[1])
    found: list[tuple[Sequence[Value], str]] = []
    for label, piece in zip(labels, (then, otherwise), strict=False):
        function.begin(label)
        values = piece()
        found.append((values, function.block))
        function.jump(labels[2])
    function.begin(labels[2])
    out = [function.phi(value.dtype, value.lanes) for value in found[0][0]]
    for values, block in found:
        for phi, value in zip(out, values, strict=True):
            function.incoming(phi, value, block)
    return out


def either(
    function: FunctionText,
    condition: Value,
    then: Callable[[], object],
    otherwise: Callable[[], object],
) -> None:
    """One of two pieces of code that give nothing."""

    def run(piece: Callable[[], object]) -> Sequence[Value]:
        piece()
        return ()

    branched(function, condition, lambda: run(then), lambda: run(otherwise))


def only_if(function: FunctionText, condition: Value, then: Callable[[], object]) -> None:
    """Code that runs only where a condition holds."""
    either(function, condition, then, lambda: None)
