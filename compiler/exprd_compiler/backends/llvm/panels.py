"""Panels: a large product by BLAS as several calls, so that it can be stopped in between.

i32 exprd.panels.dgemm(ptr context, the arguments of the routine)      OK or CANCELLED

A call of the library cannot be stopped. So a product beyond a limit is cut into tiles of the
result, and a tile over a long inner extent into parts that are added up. Small ones pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.blas import TRANSPOSE
from exprd_compiler.backends.llvm.counting import cancel_point
from exprd_compiler.backends.llvm.layout import OK
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.text import FunctionText, ModuleText

# Multiplications of one call: about 20 ms on a core of its own (gemv waits for memory).
LIMIT: Final = {"gemm": 1 << 29, "gemv": 1 << 25}
# A tile is no narrower than this, since packing its operands would take longer than multiplying.
LEAST: Final = {"gemm": 256, "gemv": 1}
DEPTH: Final = LIMIT["gemm"] // LEAST["gemm"] ** 2  # of the smallest tile within the limit
_BLOCK: Final = 16  # lines that the library's inner loops take together

_PARAMETERS: Final = {
    "gemm": (
        "order",
        "ta",
        "tb",
        "m",
        "n",
        "k",
        "alpha",
        *("a", "lda", "b", "ldb", "beta", "c", "ldc"),
    ),
    "gemv": ("order", "ta", "m", "n", "alpha", "a", "lda", "x", "incx", "beta", "y", "incy"),
}
_POINTERS: Final = ("context", "a", "b", "c", "x", "y")
_SCALES: Final = ("alpha", "beta")


def panels(module: ModuleText, symbol: str, routine: str, dtype: str, scale: str) -> str:
    """The name of the function that calls a routine in panels, defined on first use.

    Args:
        module: where it is defined.
        symbol: the routine's symbol.
        routine: "gemm" or "gemv".
        dtype: of the elements.
        scale: of the factors as they are passed, "ptr" if by address.
    """
    name = f"exprd.panels.{symbol}"
    module.define_once(name, lambda: _Writer(module, name, symbol, routine, dtype, scale).write())
    return name


class _Writer:
    def __init__(
        self, module: ModuleText, name: str, symbol: str, routine: str, dtype: str, scale: str
    ) -> None:
        self.symbol, self.routine, self.dtype = symbol, routine, dtype
        self.given = {
            name: Value(f"%{name}", _parameter(name, scale), 1)
            for name in ("context", *_PARAMETERS[routine])
        }
        self.function: FunctionText = module.function(
            name, list(self.given.values()), result="i32", linkage="internal"
        )
        self.k = LLVMBuilder(self.function, 1)
        kinds = [self.given[name].type for name in _PARAMETERS[routine]]
        module.declare(symbol, "void", kinds)

    def write(self) -> None:
        """The whole function."""
        cancel_point(self.function, self.given["context"])
        k, limit = self.k, self._constant(LIMIT[self.routine])
        sizes = [self._wide(name) for name in ("m", "n", "k") if name in self.given]
        work = k.const(1.0, "float64")
        for size in sizes:
            work = k.mul(work, k.cast(size, "float64"))
        whole, cut = self.function.label("whole"), self.function.label("cut")
        self.function.branch(k.compare("le", work, k.cast(limit, "float64")), whole, cut)
        self.function.begin(whole)
        self._call({})
        self.function.line(f"ret i32 {OK}")
        self.function.begin(cut)
        if self.routine == "gemm":
            self._tiles(*sizes)
        else:
            self._strips(*sizes)
        self.function.line(f"ret i32 {OK}")

    def _tiles(self, m: Value, n: Value, inner: Value) -> None:
        """Whole rows as long as many of them make a call, else squares: both packs least."""
        k = self.k
        depth = k.minimum(inner, self._even(inner, self._constant(DEPTH)))
        rows = self._even(m, k.maximum(self._fit(k.mul(n, depth)), self._side(depth)))
        columns = self._even(n, self._fit(k.mul(rows, depth)))
        flags = [self._transposed("ta"), self._transposed("tb")]
        lda, ldb, ldc = (self._wide(name) for name in ("lda", "ldb", "ldc"))
        whole = k.const(1.0, self.dtype)

        def tile(i: Value, height: Value, j: Value, width: Value) -> None:
            c = self._shifted("c", k.add(k.mul(i, ldc), j))

            def part(p: Value, size: Value) -> None:
                cancel_point(self.function, self.given["context"])
                a = self._shifted("a", self._at(i, p, lda, turned=flags[0]))
                b = self._shifted("b", self._at(p, j, ldb, turned=flags[1]))
                beta = k.select(k.compare("eq", p, self._constant(0)), self.given["beta"], whole)
                sizes = {"m": height, "n": width, "k": size}
                self._call({**sizes, "a": a, "b": b, "c": c, "beta": beta})

            self._each(inner, depth, part)

        def row(i: Value, height: Value) -> None:
            self._each(n, columns, lambda j, width: tile(i, height, j, width))

        self._each(m, rows, row)

    def _at(self, row: Value, column: Value, lead: Value, *, turned: Value) -> Value:
        """The offset of an element of a matrix that may be stored transposed."""
        k = self.k
        first, second = k.select(turned, column, row), k.select(turned, row, column)
        return k.add(k.mul(first, lead), second)

    def _strips(self, m: Value, n: Value) -> None:
        """Strips of the result; for a transposed matrix they are columns of what is stored."""
        k = self.k
        turned = self._transposed("ta")
        lda, step, one = self._wide("lda"), self._wide("incy"), self._constant(1)
        length, inner = k.select(turned, n, m), k.select(turned, m, n)

        def strip(i: Value, size: Value) -> None:
            cancel_point(self.function, self.given["context"])
            a = self._shifted("a", k.mul(i, k.select(turned, one, lda)))
            y = self._shifted("y", k.mul(i, step))
            changed = {"m": k.select(turned, m, size), "n": k.select(turned, size, n)}
            self._call({**changed, "a": a, "y": y})

        self._each(length, self._even(length, self._fit(inner)), strip)

    # ---- pieces
    def _each(self, extent: Value, part: Value, body: Callable[[Value, Value], None]) -> None:
        """`body(start, size)` for each part of an extent."""
        k = self.k
        parts = self._up(extent, part)

        def one(index: Value, _: Sequence[Value]) -> Sequence[Value]:
            start = k.mul(index, part)
            body(start, k.minimum(part, k.sub(extent, start)))
            return ()

        counted(self.function, parts, 1, (), one)

    def _fit(self, each: Value) -> Value:
        """How many lines of so many multiplications each make one call."""
        return self.k.div(self._constant(LIMIT[self.routine]), each)

    def _side(self, inner: Value) -> Value:
        """The side of a square of results that makes one call."""
        limit = self.k.const(float(LIMIT[self.routine]), "float64")
        area = self.k.div(limit, self.k.cast(inner, "float64"))
        return self.k.cast(self.k.sqrt(area), "int64")

    def _even(self, extent: Value, most: Value) -> Value:
        """The size of equal parts of an extent, of about so many lines, in whole blocks."""
        k = self.k
        most = k.maximum(most, self._constant(LEAST[self.routine]))
        parts = self._up(extent, most)
        blocks = self._up(self._up(extent, parts), self._constant(_BLOCK))
        return k.mul(blocks, self._constant(_BLOCK))

    def _up(self, a: Value, b: Value) -> Value:
        """The quotient, rounded up."""
        return self.k.div(self.k.sub(self.k.add(a, b), self._constant(1)), b)

    def _call(self, changed: dict[str, Value]) -> None:
        arguments: list[str] = []
        for name in _PARAMETERS[self.routine]:
            value = changed.get(name, self.given[name])
            short = value.dtype == "int64"
            arguments.append((self.k.convert("trunc", value, "int32") if short else value).typed)
        self.function.line(f"call void @{self.symbol}({', '.join(arguments)})")

    def _transposed(self, name: str) -> Value:
        return self.k.compare("eq", self.given[name], constant(TRANSPOSE, "int32"))

    def _shifted(self, name: str, offset: Value) -> Value:
        return memory.element_pointer(self.k, self.given[name], self.dtype, offset)

    def _wide(self, name: str) -> Value:
        return self.k.cast(self.given[name], "int64")

    def _constant(self, value: int) -> Value:
        return constant(value, "int64")


def _parameter(name: str, scale: str) -> str:
    if name in _POINTERS:
        return "ptr"
    return scale if name in _SCALES else "int32"
