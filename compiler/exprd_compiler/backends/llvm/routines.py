"""Routines of our own: one function per routine and dtypes, called by the entry on whole buffers.

    i32 routine(ptr context, i32 site, ptr operands..., ptr out, ptr scratch..., i64 sizes...)

A routine that can fail records the site and its values in the context, as kernels do.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from exprd_compiler.backends.llvm import memory, searching, sorting
from exprd_compiler.backends.llvm.call import Call
from exprd_compiler.backends.llvm.layout import OK
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exprd_compiler.backends.llvm.products import EntryScope
    from exprd_compiler.backends.llvm.text import ModuleText
    from exprd_compiler.kernel.form import RoutineCall

Writer: TypeAlias = Callable[[Call], None]

# By the name that a lowering gives.
ROUTINES: Final[Mapping[str, Writer]] = MappingProxyType(
    {
        "sort": sorting.write_sort,
        "argsort": sorting.write_argsort,
        "top": sorting.write_top,
        "argtop": sorting.write_argtop,
        "search": searching.write_search,
        "tally": searching.write_tally,
        "compact": searching.write_compact,
        "pack": searching.write_pack,
        "bound": searching.write_bound,
    }
)


def write_routine_call(scope: EntryScope, step: RoutineCall, context: Value) -> Value:
    """The call of a step in the entry; its status."""
    k = LLVMBuilder(scope.function, 1)
    operands = [
        memory.element_pointer(k, scope.address(buffer), buffer.dtype, scope.integer(offset))
        for buffer, offset in step.operands
    ]
    scratch = [scope.address(buffer) for buffer in step.scratch]
    sizes = [scope.integer(size) for size in step.sizes]
    site = constant(step.site, "int32")
    given = (context, site, *operands, scope.address(step.out), *scratch, *sizes)
    name = _defined(scope.module, step)
    arguments = ", ".join(value.typed for value in given)
    return scope.function.emit(f"call i32 @{name}({arguments})", "int32")


def _defined(module: ModuleText, step: RoutineCall) -> str:
    """The name of the function that a step calls, defined on the way."""
    flags = [name for name, value in step.attrs if value is True]
    dtypes = [buffer.dtype for buffer, _ in step.operands]
    name = ".".join(("exprd", step.routine, *dtypes, *flags))
    module.define_once(name, lambda: _define(module, name, step))
    return name


def _define(module: ModuleText, name: str, step: RoutineCall) -> None:
    context, site = Value("%context", "ptr", 1), Value("%site", "int32", 1)
    operands = tuple(Value(f"%x{i}", "ptr", 1) for i in range(len(step.operands)))
    out = Value("%out", "ptr", 1)
    scratch = tuple(Value(f"%s{i}", "ptr", 1) for i in range(len(step.scratch)))
    sizes = tuple(Value(f"%n{i}", "int64", 1) for i in range(len(step.sizes)))
    parameters = [context, site, *operands, out, *scratch, *sizes]
    function = module.function(name, parameters, result="i32", linkage="internal")
    ROUTINES[step.routine](
        Call(
            k=LLVMBuilder(function, 1),
            context=context,
            site=site,
            operands=operands,
            dtypes=tuple(buffer.dtype for buffer, _ in step.operands),
            out=out,
            out_dtype=step.out.dtype,
            scratch=scratch,
            sizes=sizes,
            attrs=dict(step.attrs),
        )
    )
    function.line(f"ret i32 {OK}")
