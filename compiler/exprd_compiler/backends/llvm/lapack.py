"""Calls of LAPACK in the entry: a loop over the items of a stack around a recipe.

LAPACK sees matrices by columns, our arrays lie by rows: what is rows to us is the transpose to it,
and recipes are written so that nothing is transposed on their account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.kernels import fail_with
from exprd_compiler.backends.llvm.lapack_item import Item
from exprd_compiler.backends.llvm.lapack_recipes import RECIPES
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.products import EntryScope
    from exprd_compiler.kernel.form import LapackCall


def write_lapack(scope: EntryScope, step: LapackCall, context: Value) -> None:
    """Write the step: the recipe for each item of the stack."""
    k = LLVMBuilder(scope.function, 1)
    # everything is computed before the loop, so that it is known behind it
    sizes = tuple(scope.integer(size) for size in step.sizes)
    lengths = [scope.integer(length) for length in step.lengths]
    count = scope.integer(step.stack)
    scratch = tuple(
        (scope.address(buffer), scope.integer(buffer.extents[0])) for buffer in step.scratch
    )
    bases = _bases(k, scope, step)

    def body(index: Value, _: Sequence[Value]) -> Sequence[Value]:
        cancel_point(scope.function, context)
        out, *operands = (
            memory.element_pointer(k, base, dtype, k.mul(index, length))
            for (base, dtype), length in zip(bases, lengths, strict=True)
        )

        def fail(number: int, code: Value) -> None:
            fail_with(scope.function, context, step.sites[number], (code, index, *sizes[:4]))

        RECIPES[step.routine](
            Item(
                k=k,
                dtype=step.out.dtype,
                out=out,
                operands=tuple(operands),
                scratch=scratch,
                sizes=sizes,
                attrs=dict(step.attrs),
                fail=fail,
            )
        )
        return ()

    counted(scope.function, count, 1, (), body)


def _bases(k: LLVMBuilder, scope: EntryScope, step: LapackCall) -> list[tuple[Value, str]]:
    """Where the result and the operands begin, with their dtypes."""
    bases = [(scope.address(step.out), step.out.dtype)]
    for buffer, offset in step.operands:
        whole, start = scope.address(buffer), scope.integer(offset)
        bases.append((memory.element_pointer(k, whole, buffer.dtype, start), buffer.dtype))
    return bases
