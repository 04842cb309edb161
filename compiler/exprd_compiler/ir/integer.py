"""IntExpr: the small symbolic integers of which extents, strides and offsets are made.

Hash-consed and folded as built, so equal expressions are the same object and known extents are
plain constants. Values are int64 with wrap-around; nothing here knows of tensors or of machines.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final, TypeAlias

IntLike: TypeAlias = "IntExpr | int"

_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "min": min,
    "max": max,
    "lt": lambda a, b: int(a < b),
    "eq": lambda a, b: int(a == b),
}
_COMMUTATIVE: Final = frozenset(("add", "mul", "min", "max", "eq"))


class IntExpr:
    """One interned integer expression: a constant, a leaf, or an operation on expressions.

    Leaves are ("extent", input, axis), an extent of an entry argument, and ("value", number), an
    integer that the entry reads from a buffer at run time.
    """

    __slots__ = ("__weakref__", "args", "kind", "order")
    dtype: Final = "int64"  # what a scalar body may ask of its operands
    kind: str
    args: tuple[IntExpr | int, ...]
    order: int

    def __add__(self, other: IntLike) -> IntExpr:
        return binary("add", self, other)

    def __radd__(self, other: int) -> IntExpr:
        return binary("add", other, self)

    def __sub__(self, other: IntLike) -> IntExpr:
        return binary("sub", self, other)

    def __rsub__(self, other: int) -> IntExpr:
        return binary("sub", other, self)

    def __mul__(self, other: IntLike) -> IntExpr:
        return binary("mul", self, other)

    def __rmul__(self, other: int) -> IntExpr:
        return binary("mul", other, self)

    def __floordiv__(self, other: IntLike) -> IntExpr:
        return binary("floordiv", self, other)

    @property
    def known(self) -> int | None:
        """The value, if it is a constant."""
        first = self.args[0]
        return first if self.kind == "const" and isinstance(first, int) else None

    def __repr__(self) -> str:
        if self.kind == "const":
            return str(self.args[0])
        if self.kind == "extent":
            return f"n{self.args[0]}.{self.args[1]}"
        return f"{self.kind}({', '.join(map(repr, self.args))})"


# Operands of commutative operations are in an order that depends on what they are, not on when they
# were made, so that equal graphs become equal text whatever was compiled before.
_KINDS: Final = MappingProxyType({kind: 2 + place for place, kind in enumerate(sorted(_BINARY))})

_POOL: Final[weakref.WeakValueDictionary[tuple[object, ...], IntExpr]] = (
    weakref.WeakValueDictionary()
)


def _order(kind: str, args: tuple[IntExpr | int, ...]) -> tuple[int, int]:
    """Constants first, then extents by argument and axis, fetched integers, and operations."""
    if kind in _LEAVES:
        numbers = [x for x in args if isinstance(x, int)]
        return _LEAVES.index(kind), hash(tuple(numbers)) if kind == "extent" else numbers[0]
    parts = [x.order if isinstance(x, IntExpr) else x for x in args]
    return len(_LEAVES), hash((_KINDS.get(kind, 1), *parts))


def _make(kind: str, *args: IntExpr | int) -> IntExpr:
    key = (kind, *args)
    found = _POOL.get(key)
    if found is None:
        found = object.__new__(IntExpr)
        found.kind, found.args, found.order = kind, args, next(_ORDER)
        found = _POOL.setdefault(key, found)
    return found


def const(value: int) -> IntExpr:
    """The constant expression of a value."""
    return _make("const", value)


def as_expr(value: IntLike) -> IntExpr:
    """An expression: itself, or the constant of a python int."""
    return value if isinstance(value, IntExpr) else const(value)


def extent(argument: int, axis: int) -> IntExpr:
    """The run-time extent of one axis of an entry argument."""
    return _make("extent", argument, axis)


def value(number: int) -> IntExpr:
    """An integer that the entry loads from the buffer of this number."""
    return _make("value", number)


def binary(kind: str, a: IntLike, b: IntLike) -> IntExpr:
    """A folded binary operation; `floordiv` rounds down and wants a positive divisor."""
    left, right = as_expr(a), as_expr(b)
    if kind in _COMMUTATIVE and left.order > right.order:
        left, right = right, left
    x, y = left.known, right.known
    if x is not None and y is not None:
        return const(_BINARY[kind](x, y))
    return _simplify(kind, left, right) or _make(kind, left, right)


def nonnegative(expr: IntExpr) -> bool:
    """Whether an expression is provably not negative; extents never are."""
    if expr.known is not None:
        return expr.known >= 0
    parts = [nonnegative(x) for x in expr.args if isinstance(x, IntExpr)]
    match expr.kind:
        case "extent" | "lt" | "eq":
            return True
        case "max":
            return any(parts)
        case "mul" | "add" | "min":
            return all(parts)
        case _:
            return False


def _simplify(kind: str, left: IntExpr, right: IntExpr) -> IntExpr | None:
    if left is right and kind in ("sub", "min", "max", "eq", "lt"):
        return {"sub": const(0), "eq": const(1), "lt": const(0)}.get(kind, left)
    for this, other in ((left, right), (right, left)):
        neutral = {"add": 0, "mul": 1}.get(kind)
        if neutral is not None and this.known == neutral:
            return other
        if this.known == 0 and kind in ("mul", "max"):
            return const(0) if kind == "mul" else other if nonnegative(other) else None
    if (kind == "sub" and right.known == 0) or (kind == "floordiv" and right.known == 1):
        return left
    return _against_zero(kind, left, right)


def _against_zero(kind: str, left: IntExpr, right: IntExpr) -> IntExpr | None:
    """Comparisons with 0 of what cannot be negative."""
    for this, other in ((left, right), (right, left)):
        if kind in ("min", "max") and other.known == 0 and _natural(this):
            return this if kind == "max" else other
    return const(0) if kind == "lt" and right.known == 0 and _natural(left) else None


def _natural(expr: IntExpr) -> bool:
    """Whether an expression cannot be negative; sums and products wrap around, so they can."""
    if expr.known is not None:
        return expr.known >= 0
    if expr.kind in ("extent", "lt", "eq"):
        return True
    known = [x.known for x in expr.args if isinstance(x, IntExpr)]
    return expr.kind == "max" and any(x is not None and x >= 0 for x in known)


def minimum(a: IntLike, b: IntLike) -> IntExpr:
    """The smaller of two."""
    return binary("min", a, b)


def maximum(a: IntLike, b: IntLike) -> IntExpr:
    """The larger of two."""
    return binary("max", a, b)


def less(a: IntLike, b: IntLike) -> IntExpr:
    """1 if a < b, else 0."""
    return binary("lt", a, b)


def equal(a: IntLike, b: IntLike) -> IntExpr:
    """1 if a == b, else 0."""
    return binary("eq", a, b)


def select(condition: IntExpr, a: IntLike, b: IntLike) -> IntExpr:
    """The first where the condition is not 0, else the second."""
    left, right = as_expr(a), as_expr(b)
    if condition.known is not None:
        return left if condition.known else right
    return left if left is right else _make("select", condition, left, right)


def product(factors: tuple[IntExpr, ...]) -> IntExpr:
    """The product; 1 when empty."""
    out = const(1)
    for factor in factors:
        out = out * factor
    return out
