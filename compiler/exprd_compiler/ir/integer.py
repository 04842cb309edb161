"""IntExpr: the small symbolic integers of which extents, strides and offsets are made.

Hash-consed and folded as built, so equal expressions are the same object and known extents are
plain constants. Values are int64 with wrap-around; nothing here knows of tensors or of machines.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

IntLike: TypeAlias = "IntExpr | int"

_BINARY: Final[Mapping[str, Callable[[int, int], int]]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "min": min,
    "max": max,
    "lt": lambda a, b: int(a < b),
    "eq": lambda a, b: int(a == b),
}
# What the operations on two integers give, but for wrap-around; `select` takes three.
OPERATIONS: Final = MappingProxyType(_BINARY)
_COMMUTATIVE: Final = frozenset(("add", "mul", "min", "max", "eq"))


class IntExpr:
    """One interned integer expression: a constant, a leaf, or an operation on expressions.

    Attributes:
        kind: "const", a leaf, or an operation.
        args: expressions; integers for constants and leaves.
        order: what operands of commutative operations are sorted by.
        natural: whether it is provably not negative, as long as nothing wraps around.
        numbers: the numbers of the fetched integers that it contains.

    Leaves are ("extent", input, axis), an extent of an entry argument, and ("value", number), an
    integer that the entry reads from a buffer at run time.
    """

    __slots__ = ("__weakref__", "args", "kind", "natural", "numbers", "order")
    dtype: Final = "int64"  # what a scalar body may ask of its operands
    kind: str
    args: tuple[IntExpr | int, ...]
    order: tuple[int, ...]
    natural: bool
    numbers: frozenset[int]

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
    def parts(self) -> tuple[IntExpr, ...]:
        """The expressions that it is made of; none for leaves."""
        return tuple([x for x in self.args if isinstance(x, IntExpr)])

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
        # one level, because what is shared would be repeated without end
        parts = [repr(x) if isinstance(x, int) or not x.parts else "..." for x in self.args]
        return f"{self.kind}({', '.join(parts)})"


# Operands of commutative operations are in an order that depends on what they are, not on when they
# were made, so that equal graphs become equal text whatever was compiled before.
_LEAVES: Final = ("const", "extent", "value")
_NUMBER: Final = MappingProxyType({kind: i for i, kind in enumerate((*_BINARY, "select"))})

_POOL: Final[weakref.WeakValueDictionary[tuple[object, ...], IntExpr]] = (
    weakref.WeakValueDictionary()
)


def _order(kind: str, args: tuple[IntExpr | int, ...]) -> tuple[int, ...]:
    """Constants first, then extents, fetched integers, and operations by a hash of their parts."""
    if kind in _LEAVES:
        return (_LEAVES.index(kind), *[x for x in args if isinstance(x, int)])
    parts = [x.order for x in args if isinstance(x, IntExpr)]
    return (len(_LEAVES), hash((_NUMBER[kind], *parts)))


def _numbers(kind: str, args: tuple[IntExpr | int, ...]) -> frozenset[int]:
    if kind == "value":
        return frozenset(x for x in args if isinstance(x, int))
    return frozenset[int]().union(*(x.numbers for x in args if isinstance(x, IntExpr)))


def _make(kind: str, *args: IntExpr | int) -> IntExpr:
    key = (kind, *args)
    found = _POOL.get(key)
    if found is None:
        found = object.__new__(IntExpr)
        found.kind, found.args = kind, args
        found.order, found.natural = _order(kind, args), _natural(kind, args)
        found.numbers = _numbers(kind, args)
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
    """Whether an expression is provably not negative, as long as nothing wraps around."""
    return expr.natural


def _natural(kind: str, args: tuple[IntExpr | int, ...]) -> bool:
    if kind == "const":
        return isinstance(args[0], int) and args[0] >= 0
    parts = [x.natural for x in args if isinstance(x, IntExpr)]
    match kind:
        case "extent" | "lt" | "eq":
            return True
        case "max":
            return any(parts)
        case "mul" | "add" | "min" | "floordiv":
            return all(parts)
        case "select":
            return all(parts[1:])
        case _:
            return False


def _simplify(kind: str, left: IntExpr, right: IntExpr) -> IntExpr | None:
    if left is right and kind in ("sub", "min", "max", "eq", "lt"):
        return {"sub": const(0), "eq": const(1), "lt": const(0)}.get(kind, left)
    for this, other in ((left, right), (right, left)):
        neutral = {"add": 0, "mul": 1}.get(kind)
        if neutral is not None and this.known == neutral:
            return other
        if this.known == 0 and kind == "mul":
            return this
    if (kind == "sub" and right.known == 0) or (kind == "floordiv" and right.known == 1):
        return left
    return _against_zero(kind, left, right)


def _against_zero(kind: str, left: IntExpr, right: IntExpr) -> IntExpr | None:
    """Comparisons with 0 of what cannot be negative."""
    for this, other in ((left, right), (right, left)):
        if kind in ("min", "max") and other.known == 0 and this.natural:
            return this if kind == "max" else other
    return const(0) if kind == "lt" and right.known == 0 and left.natural else None


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
