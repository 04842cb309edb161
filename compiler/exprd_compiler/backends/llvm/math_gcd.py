"""The greatest common divisor of integers, by Euclid's divisions until every lane is done.

The loop makes blocks, so this belongs into an internal function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.control import repeated
from exprd_compiler.backends.llvm.math_reduce import any_lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


def gcd(k: Arithmetic, a: Value, b: Value) -> Value:
    """The greatest common divisor; the least integer, whose size does not fit, has itself."""
    unsigned = a.dtype if a.dtype.startswith("u") else f"u{a.dtype}"
    start = [k.cast(k.abs(x), unsigned) for x in (a, b)]

    def more(state: Sequence[Value]) -> Value:
        return k.compare("ne", state[1], k.like(0, state[1]))

    def step(state: Sequence[Value]) -> Sequence[Value]:
        large, small = state
        here = more(state)
        # what is left of a division by 0 is 0, so a lane that is done stays so
        return k.select(here, small, large), k.rem(large, small)

    found, _ = repeated(k.function, start, lambda state: any_lane(k, more(state)), step)
    return k.cast(found, a.dtype)
