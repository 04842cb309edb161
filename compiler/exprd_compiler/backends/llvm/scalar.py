"""The scalar builder of the LLVM backend: arithmetic plus the table of math functions.

Ops write their bodies against the protocol of `ir.lowering`; this is its implementation for LLVM
IR. Nothing is deduplicated here: whoever calls it knows which values are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.arithmetic import Arithmetic
from exprd_compiler.backends.llvm.math_table import MATH
from exprd_compiler.errors import CompilerBug

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import Value


class LLVMBuilder(Arithmetic):
    """Arithmetic and math functions on values of ``lanes`` lanes, appended to one function."""

    __slots__ = ()

    def call(self, name: str, *args: Value) -> Value:
        """A math function by its name in the table."""
        body = MATH.get(name)
        if body is None:
            raise CompilerBug(f"the builder has no function {name!r}; known: {', '.join(MATH)}")
        return body(self, *args)
