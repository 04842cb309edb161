"""Products of small matrices in our own code, where calling BLAS takes longer than the product.

Four rows at a time meet one vector of columns; what BLAS does beyond that, packing operands for the
caches, small matrices do not need. The order of the sums is fixed, so are the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.loops import Lanes, counted, lanes_at
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import FunctionText, ModuleText, Value, constant

# Multiplications up to which it is faster than a call, measured against OpenBLAS 0.3.30.
SMALL: Final = 48**3

_ROWS: Final = 4
_LANES: Final = {"float32": 16, "float64": 8}
_PARAMETERS: Final = (
    ("a", "ptr"),
    ("down", "int64"),  # elements between rows of a
    ("right", "int64"),  # and between its columns
    ("b", "ptr"),
    ("step_b", "int64"),
    ("c", "ptr"),
    ("step_c", "int64"),
    ("m", "int64"),
    ("n", "int64"),
    ("k", "int64"),
)


def small_product(module: ModuleText, dtype: str, *, alpha: float, add: bool) -> str:
    """The name of the function c = alpha * a @ b, or added to c, defined on the way.

    Args:
        module: where it is defined.
        dtype: of all three.
        alpha: the factor.
        add: whether the product is added to what c holds.
    """
    name = f"exprd.small.{dtype}.{'add' if add else 'set'}.{float(alpha).hex()}"
    symbol = f'"{name}"'
    writer = partial(_Writer, module, symbol, dtype, alpha=alpha, add=add)
    module.define_once(symbol, lambda: writer().write())
    return symbol


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows and one vector of columns: addresses in a and c per row, the column, its lanes."""

    a: Sequence[Value]
    c: Sequence[Value]
    column: Value
    lanes: Lanes


class _Writer:
    def __init__(
        self, module: ModuleText, symbol: str, dtype: str, *, alpha: float, add: bool
    ) -> None:
        self.dtype, self.alpha, self.add = dtype, alpha, add
        self.at = {name: Value(f"%{name}", kind, 1) for name, kind in _PARAMETERS}
        self.function: FunctionText = module.function(
            symbol, tuple(self.at.values()), linkage="internal"
        )
        self.k = LLVMBuilder(self.function, 1)
        self.wide = LLVMBuilder(self.function, _LANES[dtype])

    def write(self) -> None:
        """The loops: blocks of rows and what is left of them, whole vectors and the tail."""
        whole = self.k.and_(self.at["m"], constant(-_ROWS, "int64"))
        self._over(constant(0, "int64"), whole, _ROWS)
        self._over(whole, self.k.sub(self.at["m"], whole), 1)
        self.function.line("ret void")

    def _over(self, first: Value, count: Value, rows: int) -> None:
        def body(index: Value, _: Sequence[Value]) -> Sequence[Value]:
            self._rows(self.k.add(first, index), rows)
            return ()

        counted(self.function, count, rows, (), body)

    def _rows(self, first: Value, rows: int) -> None:
        numbers = [self.k.add(first, constant(row, "int64")) for row in range(rows)]
        a = [self._place("a", self.k.mul(n, self.at["down"])) for n in numbers]
        c = [self._place("c", self.k.mul(n, self.at["step_c"])) for n in numbers]
        n, lanes = self.at["n"], self.wide.lanes
        whole = self.k.and_(n, constant(-lanes, "int64"))
        every = Lanes(constant(1, "bool"), constant(1, "bool", lanes))

        def body(column: Value, _: Sequence[Value]) -> Sequence[Value]:
            self._block(_Block(a, c, column, every))
            return ()

        def tail(index: Value, _: Sequence[Value]) -> Sequence[Value]:
            column = self.k.add(whole, index)
            some = lanes_at(self.wide, column, n)
            self._block(_Block(a, c, column, Lanes(constant(0, "bool"), some.mask)))
            return ()

        counted(self.function, whole, lanes, (), body)
        counted(self.function, self.k.sub(n, whole), lanes, (), tail)

    def _place(self, base: str, offset: Value) -> Value:
        return memory.element_pointer(self.k, self.at[base], self.dtype, offset)

    def _block(self, block: _Block) -> None:
        zero = constant(0, self.dtype, self.wide.lanes)
        first = self._place("b", block.column)

        def body(index: Value, sums: Sequence[Value]) -> Sequence[Value]:
            there = self._shifted(first, self.k.mul(index, self.at["step_b"]))
            row = self._load(there, block.lanes)
            across = self.k.mul(index, self.at["right"])
            return [
                self.wide.fma(self._repeated(self._shifted(a, across)), row, total)
                for a, total in zip(block.a, sums, strict=True)
            ]

        sums = counted(self.function, self.at["k"], 1, [zero] * len(block.a), body)
        for total, c in zip(sums, block.c, strict=True):
            self._store(total, self._shifted(c, block.column), block.lanes)

    def _shifted(self, pointer: Value, offset: Value) -> Value:
        return memory.element_pointer(self.k, pointer, self.dtype, offset)

    def _repeated(self, pointer: Value) -> Value:
        return self.wide.broadcast(memory.load_one(self.k, pointer, self.dtype))

    def _load(self, pointer: Value, lanes: Lanes) -> Value:
        (value,) = memory.load_many(self.wide, [(pointer, self.dtype)], lanes)
        return value

    def _store(self, total: Value, pointer: Value, lanes: Lanes) -> None:
        if self.alpha != 1.0:
            total = self.wide.mul(total, constant(self.alpha, self.dtype, self.wide.lanes))
        if self.add:
            total = self.wide.add(self._load(pointer, lanes), total)
        memory.store_many(self.wide, [(total, pointer)], lanes)
