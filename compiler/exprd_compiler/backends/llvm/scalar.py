"""The scalar builder of the LLVM backend: arithmetic plus the table of math functions.

Ops write their bodies against the protocol of `ir.lowering`; this is its implementation for LLVM
IR. Nothing is deduplicated here: whoever calls it knows which values are the same.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm.arithmetic import Arithmetic
from exprd_compiler.backends.llvm.conversion import in_single
from exprd_compiler.backends.llvm.math_table import LONG, MATH
from exprd_compiler.backends.llvm.text import Value
from exprd_compiler.backends.llvm.types import register_type
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.dtype import HALVES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.backends.llvm.math_table import Body

# Math calls that one function takes in as instructions; the rest become calls of internal
# functions. Measured on 20 of them in one loop: 22 ms instead of 50 to compile, same speed; but a
# fused loop of two is 35 % slower when they are calls.
INLINE_LIMIT: Final = 8


class LLVMBuilder(Arithmetic):
    """Arithmetic and math functions on values of ``lanes`` lanes, appended to one function."""

    __slots__ = ()

    def call(self, name: str, *args: Value) -> Value:
        """A math function by its name in the table."""
        body = MATH.get(name)
        if body is None:
            raise CompilerBug(f"the builder has no function {name!r}; known: {', '.join(MATH)}")
        if args[0].dtype in HALVES:
            return in_single(self, partial(self.call, name), *args)
        if name in LONG or self.function.inlined == INLINE_LIMIT:
            return self._call_internal(name, body, args)
        self.function.inlined += 1
        return body(self, *args)

    def _call_internal(self, name: str, body: Body, args: Sequence[Value]) -> Value:
        first = args[0]
        symbol = f"exprd.math.{name}.{first.dtype}.{first.lanes}"
        module = self.function.module
        module.define_once(symbol, lambda: self._define(symbol, body, args))
        result = register_type(first.dtype, first.lanes)
        operands = ", ".join(argument.typed for argument in args)
        return self.function.emit(f"call {result} @{symbol}({operands})", first.dtype, first.lanes)

    def _define(self, symbol: str, body: Body, args: Sequence[Value]) -> None:
        parameters = [Value(f"%x{i}", arg.dtype, arg.lanes) for i, arg in enumerate(args)]
        function = self.function.module.function(
            symbol,
            parameters,
            result=args[0].type,
            linkage="internal",
            attributes="nounwind memory(none)",
        )
        result = body(LLVMBuilder(function, args[0].lanes), *parameters)
        function.line(f"ret {result.typed}")
