"""Recipes: which calls of LAPACK make one item of each packed result.

The operands, temporaries and failures of a recipe are stated by the lowering of its op.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from exprd_compiler.backends.llvm.blas import NO_TRANSPOSE, ROW_MAJOR, TRANSPOSE
from exprd_compiler.backends.llvm.lapack_item import BY_COLUMNS, Item, letter
from exprd_compiler.backends.llvm.loops import counted
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.ops.matrix_functions import MOST

_LEFT, _UPPER, _LOWER, _NON_UNIT, _UNIT = 141, 121, 122, 131, 132
_ONE: Final = constant(1, "int64")


def _below(it: Item, n: Value, row: Value) -> Value:
    """How many elements of a row lie behind its diagonal."""
    return it.k.sub(it.k.sub(n, row), _ONE)


def _factor(it: Item, n: Value, a: Value, pivots: Value) -> Value:
    """LU factors of a matrix in its place; the code tells of a pivot that is 0."""
    m = it.short(n)
    return it.call("getrf", BY_COLUMNS, m, m, a.typed, it.lead(n), pivots.typed)


def _cholesky(it: Item) -> None:
    (n,) = it.sizes
    upper = letter("L" if it.attrs["upper"] else "U")  # by columns it is the other triangle
    it.check(it.call("potrf", BY_COLUMNS, upper, it.short(n), it.out.typed, it.lead(n)))

    def row(i: Value) -> None:
        start = it.k.mul(i, n)
        if it.attrs["upper"]:
            it.clear(it.at(it.out, start), i)
        else:
            it.clear(it.at(it.out, start, i, 1), _below(it, n, i))

    it.each(n, row)


def _inverse(it: Item) -> None:
    (n,), ((pivots, _), (work, length)) = it.sizes, it.scratch
    it.check(_factor(it, n, it.out, pivots))
    m, lead = it.short(n), it.lead(n)
    where = (work.typed, it.short(length))
    it.check(it.call("getri", BY_COLUMNS, m, it.out.typed, lead, pivots.typed, *where))


def _triangle(it: Item, flags: tuple[int, int, int], a: Value, n: Value, k: Value) -> None:
    """Solve with a triangle by rows, in place of the right side; flags say which, and how."""
    one = constant(1.0, it.dtype).typed
    shape = (it.short(n), it.short(k), one, a.typed, it.lead(n), it.out.typed, it.lead(k))
    it.apply("trsm", *(f"i32 {flag}" for flag in (ROW_MAJOR, _LEFT, *flags)), *shape)


def _solve(it: Item) -> None:
    """With the factors P L U of the transpose, a x = b is U' L' P' x = b."""
    (n, k), (a, _), ((pivots, _),) = it.sizes, it.operands, it.scratch
    it.check(_factor(it, n, a, pivots))
    single = it.k.compare("eq", k, _ONE)
    it.when(single, lambda: _solve_one(it, n, a, pivots))
    it.when(it.k.not_(single), lambda: _solve_many(it, n, k, a, pivots))


def _solve_one(it: Item, n: Value, a: Value, pivots: Value) -> None:
    """A vector lies by columns as by rows, so LAPACK takes it."""
    factors = (it.short(n), "i32 1", a.typed, it.lead(n), pivots.typed)
    code = it.call("getrs", BY_COLUMNS, letter("T"), *factors, it.out.typed, it.lead(n))
    it.check(code)


def _solve_many(it: Item, n: Value, k: Value, a: Value, pivots: Value) -> None:
    _triangle(it, (_LOWER, NO_TRANSPOSE, _NON_UNIT), a, n, k)
    _triangle(it, (_UPPER, NO_TRANSPOSE, _UNIT), a, n, k)

    def swap(i: Value) -> None:
        row = it.k.sub(it.k.sub(n, i), _ONE)
        pivot = it.k.cast(it.load(it.at(pivots, row, dtype="int32"), "int32"), "int64")
        other = it.at(it.out, it.k.mul(it.k.sub(pivot, _ONE), k))
        mine = it.at(it.out, it.k.mul(row, k))
        it.apply("swap", it.short(k), mine.typed, "i32 1", other.typed, "i32 1")

    it.each(n, swap)


def _solve_triangular(it: Item) -> None:
    (n, k), (a, _) = it.sizes, it.operands
    unit = bool(it.attrs["unit_diagonal"])
    if not unit:
        zero = constant(0.0, it.dtype)

        def diagonal(i: Value) -> None:
            value = it.load(it.at(a, it.k.mul(i, it.k.add(n, _ONE))))
            code = it.k.cast(it.k.add(i, _ONE), "int32")
            it.fail_if(it.k.compare("eq", value, zero), 0, code)

        it.each(n, diagonal)
    flags = (
        _LOWER if it.attrs["lower"] else _UPPER,
        TRANSPOSE if it.attrs["trans"] else NO_TRANSPOSE,
        _UNIT if unit else _NON_UNIT,
    )
    _triangle(it, flags, a, n, k)


def _slogdet(it: Item) -> None:
    (n,), (a,), ((pivots, _),) = it.sizes, it.operands, it.scratch
    k = it.k
    _factor(it, n, a, pivots)
    zero, one = constant(0.0, it.dtype), constant(1.0, it.dtype)

    def step(i: Value, carried: Sequence[Value]) -> Sequence[Value]:
        value = it.load(it.at(a, k.mul(i, k.add(n, _ONE))))
        pivot = k.cast(it.load(it.at(pivots, i, dtype="int32"), "int32"), "int64")
        straight = k.compare("eq", pivot, k.add(i, _ONE))
        negative = k.xor(k.compare("lt", value, zero), k.not_(straight))
        sign = k.select(negative, k.neg(carried[0]), carried[0])
        sign = k.select(k.compare("eq", value, zero), k.mul(sign, zero), sign)
        return (sign, k.add(carried[1], k.call("log", k.abs(value))))

    sign, total = counted(it.function, n, 1, (one, zero), step)
    it.store(k.add(sign, zero), it.out)  # 0 rather than -0
    it.store(total, it.at(it.out, 1))


def _qr_factor(it: Item) -> None:
    """A = Q R by rows is A' = R' Q' by columns, which is what gelqf finds."""
    (m, n), (a,), ((work, length),) = it.sizes, it.operands, it.scratch
    size = it.k.mul(m, n)
    it.copy(it.out, a, size)
    tau = it.at(it.out, size)
    it.clear(tau, n)

    def factor() -> None:
        shape = (it.short(n), it.short(m), it.out.typed, it.lead(n))
        where = (tau.typed, work.typed, it.short(length))
        it.check(it.call("gelqf", BY_COLUMNS, *shape, *where))

    it.when(it.some(m, n), factor)


def _householder(it: Item) -> None:
    (m, n, columns), (packed,), ((work, length),) = it.sizes, it.operands, it.scratch
    taken = it.k.minimum(n, columns)

    def row(i: Value) -> None:
        it.copy(it.at(it.out, it.k.mul(i, columns)), it.at(packed, it.k.mul(i, n)), taken)

    def form() -> None:
        it.each(m, row)
        tau = it.at(packed, it.k.mul(m, n))
        count = it.short(it.k.minimum(m, n))
        shape = (it.short(columns), it.short(m), count, it.out.typed, it.lead(columns))
        where = (tau.typed, work.typed, it.short(length))
        it.check(it.call("orglq", BY_COLUMNS, *shape, *where))

    it.when(it.some(m, columns), form)


_SVD_JOB: Final = {"values": "N", "reduced": "S", "complete": "A"}


def _svd(it: Item) -> None:
    """Rows of the result: the values; the left vectors; the right vectors as columns."""
    (m, n), (a,) = it.sizes, it.operands
    (work, length), (places, _) = it.scratch
    mode, least, widest = it.attrs["mode"], it.k.minimum(m, n), it.k.maximum(m, n)
    left, right = it.out, it.out
    if mode != "values":
        rows = it.k.add(it.k.add(_ONE, m if mode == "complete" else least), n)
        it.clear(it.out, it.k.mul(rows, widest))
        left = it.at(it.out, widest)
        right = it.at(left, it.k.mul(m if mode == "complete" else least, widest))
    it.check_finite(_ONE, lambda _: (a, it.k.mul(m, n)))

    def decompose() -> None:
        shape = (it.short(m), it.short(n), a.typed, it.lead(m), it.out.typed)
        vectors = (left.typed, it.lead(widest), right.typed, it.lead(widest))
        where = (work.typed, it.short(length), places.typed)
        job = letter(_SVD_JOB[mode])
        it.check(it.call("gesdd", BY_COLUMNS, job, *shape, *vectors, *where))

    it.when(it.some(m, n), decompose)
    if mode == "complete":
        it.when(it.k.not_(it.some(m, n)), lambda: _identities(it, left, right, widest))


def _identities(it: Item, left: Value, right: Value, widest: Value) -> None:
    """Vectors of a matrix without elements."""
    one = constant(1.0, it.dtype)
    for place, count in zip((left, right), it.sizes, strict=True):

        def diagonal(i: Value, base: Value = place) -> None:
            it.store(one, it.at(base, it.k.mul(i, it.k.add(widest, _ONE))))

        it.each(count, diagonal)


def _eigh(it: Item) -> None:
    """Rows of the result: the values, then the vectors."""
    (n,), (a,) = it.sizes, it.operands
    (work, length), (places, count) = it.scratch
    lower, vectors = it.attrs["lower"], it.attrs["vectors"]

    def column(j: Value) -> tuple[Value, Value]:
        start = it.k.mul(j, n)
        if lower:
            return it.at(a, start, j), it.k.sub(n, j)
        return it.at(a, start), it.k.add(j, _ONE)

    it.check_finite(n, column)
    target = it.at(it.out, n) if vectors else a
    if vectors:
        it.copy(target, a, it.k.mul(n, n))
    flags = (letter("V" if vectors else "N"), letter("L" if lower else "U"))
    where = (work.typed, it.short(length), places.typed, it.short(count))

    def decompose() -> None:
        matrix = (it.short(n), target.typed, it.lead(n), it.out.typed)
        it.check(it.call("syevd", BY_COLUMNS, *flags, *matrix, *where))

    it.when(it.some(n), decompose)


def _eig(it: Item) -> None:
    """Rows of the result: real and imaginary parts of the values, then LAPACK's real vectors."""
    (n,), (a,), ((work, length),) = it.sizes, it.operands, it.scratch
    vectors = it.attrs["vectors"]
    it.check_finite(_ONE, lambda _: (a, it.k.mul(n, n)))
    imaginary = it.at(it.out, n)
    right = it.at(imaginary, n) if vectors else it.out

    def decompose() -> None:
        flags = (letter("N"), letter("V" if vectors else "N"))
        matrix = (it.short(n), a.typed, it.lead(n), it.out.typed, imaginary.typed)
        sides = (it.out.typed, "i32 1", right.typed, it.lead(n))
        where = (work.typed, it.short(length))
        it.check(it.call("geev", BY_COLUMNS, *flags, *matrix, *sides, *where))

    it.when(it.some(n), decompose)


def _squarings(it: Item) -> None:
    (n,), (_, times), ((product, _),) = it.sizes, it.operands, it.scratch
    size, one, zero = it.k.mul(n, n), constant(1.0, it.dtype).typed, constant(0.0, it.dtype).typed

    def square(_: Value) -> None:
        m, lead, flag = it.short(n), it.lead(n), f"i32 {NO_TRANSPOSE}"
        both = (one, it.out.typed, lead, it.out.typed, lead, zero, product.typed, lead)
        it.apply("gemm", f"i32 {ROW_MAJOR}", flag, flag, m, m, m, *both)
        it.copy(it.out, product, size)

    count = it.k.minimum(it.load(times, "int64"), constant(MOST, "int64"))
    it.when(it.some(n), lambda: it.each(count, square))


RECIPES: Final[Mapping[str, Callable[[Item], None]]] = MappingProxyType(
    {
        "cholesky": _cholesky,
        "inverse": _inverse,
        "solve": _solve,
        "solve_triangular": _solve_triangular,
        "slogdet": _slogdet,
        "qr_factor": _qr_factor,
        "householder": _householder,
        "svd": _svd,
        "eigh": _eigh,
        "eig": _eig,
        "squarings": _squarings,
    }
)
