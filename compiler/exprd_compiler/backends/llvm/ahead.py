"""Rows that indexes choose, fetched into the cache some iterations ahead of their use.

No processor foresees where the next row lies, so each would wait for memory and for the walk
through the page tables anew. A prefetch reads nothing and cannot fail, wherever it points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import item_size
from exprd_compiler.kernel.form import Access, Apply, Load
from exprd_compiler.ops.arithmetic import cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exprd_compiler.backends.llvm.scalar import LLVMBuilder
    from exprd_compiler.ir.integer import IntExpr
    from exprd_compiler.kernel.form import Index, Kernel

_LINE: Final = 64  # bytes of a line of the cache
# Bytes of a row from which on it pays: of shorter ones a processor has several under way anyway.
_WIDE: Final = 256
_LONGEST: Final = 4096  # bytes of a row that are fetched; the processor foresees the rest
_AHEAD: Final = 4096  # bytes that are under way at a time


@dataclass(frozen=True, slots=True)
class Row:
    """Rows of a buffer that are chosen along a loop axis, right outside the vector one.

    Attributes:
        access: the rows.
        index: which one.
        source: where the index is loaded from.
    """

    access: Access
    index: Index
    source: Load


def indirect_rows(kernel: Kernel) -> tuple[Row, ...]:
    """The rows of a kernel that are worth fetching ahead."""
    if kernel.vector < 1 or kernel.vector != len(kernel.axes) - 1:
        return ()
    loads = [value.access for value in kernel.values if isinstance(value, Load)]
    found: dict[tuple[int, Index], Row] = {}
    for access in (*loads, *(store.access for store in kernel.stores)):
        row = _row(kernel, access)
        if row is not None:
            found[access.buffer.number, row.index] = row
    return tuple(found.values())


def _row(kernel: Kernel, access: Access) -> Row | None:
    if len(access.indexes) != 1 or not _steps_along(access, kernel.vector):
        return None
    (index,) = access.indexes
    value = kernel.values[index.ref]
    if isinstance(value, Apply) and value.op is cast:
        value = kernel.values[value.refs[0]]
    if not isinstance(value, Load) or value.access.indexes:
        return None
    return Row(access, index, value) if _steps_along(value.access, kernel.vector - 1) else None


def _steps_along(access: Access, axis: int) -> bool:
    """Whether neighbours along one axis are neighbours in memory, and no other axis steps."""
    return all(stride.known == (i == axis) for i, stride in enumerate(access.strides))


class Ahead:
    """What fetches the rows of one kernel.

    Args:
        k: of one lane.
        kernel: whose rows.
        integer: the value of an integer of the entry.
    """

    def __init__(self, k: LLVMBuilder, kernel: Kernel, integer: Callable[[IntExpr], Value]) -> None:
        self._rows = indirect_rows(kernel)
        self._k, self._kernel, self._integer = k, kernel, integer

    def fetch(self, bases: Mapping[Access, Value], position: Value) -> None:
        """Code of an iteration of the loop over rows; `bases` are those of the iteration."""
        for row in self._rows:
            self._fetch(row, bases, position)

    def _fetch(self, row: Row, bases: Mapping[Access, Value], position: Value) -> None:
        k, function = self._k, self._k.function
        size = item_size(row.access.buffer.dtype)
        columns = self._integer(self._kernel.axes[-1])
        wide, done = function.label("wide"), function.label("fetched")
        function.branch(k.compare("ge", columns, _words(_WIDE // size)), wide, done)
        function.begin(wide)
        index = self._index(row.source, bases, self._later(position, columns, size))
        low = k.compare("lt", index, _words(0))
        place = k.select(low, k.add(index, self._integer(row.index.extent)), index)
        shift = k.mul(place, self._integer(row.index.stride))
        start = memory.element_pointer(k, bases[row.access], row.access.buffer.dtype, shift)
        self._prefetch(start, k.minimum(columns, _words(_LONGEST // size)), size)
        function.jump(done)
        function.begin(done)

    def _later(self, position: Value, columns: Value, size: int) -> Value:
        """How far off the row is that is fetched now: in rows, within those there are."""
        k = self._k
        rows = k.function.emit(f"udiv i64 {_AHEAD // size}, {columns.text}", "int64")
        count = self._integer(self._kernel.axes[-2])
        left = k.sub(k.sub(count, position), _words(1))
        return k.minimum(k.maximum(rows, _words(1)), left)

    def _index(self, source: Load, bases: Mapping[Access, Value], later: Value) -> Value:
        k = self._k
        where = memory.element_pointer(k, bases[source.access], source.access.buffer.dtype, later)
        return k.cast(memory.load_one(k, where, source.dtype), "int64")

    def _prefetch(self, start: Value, columns: Value, size: int) -> None:
        function = self._k.function
        function.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])

        def line(offset: Value, _: Sequence[Value]) -> Sequence[Value]:
            at = function.emit(
                f"getelementptr [{size} x i8], ptr {start.text}, i64 {offset.text}", "ptr"
            )
            function.line(f"call void @llvm.prefetch.p0(ptr {at.text}, i32 0, i32 3, i32 1)")
            return ()

        counted(function, columns, max(_LINE // size, 1), (), line)


def _words(number: int) -> Value:
    return constant(number, "int64")
