"""Lowerings: the closed set of ways in which an op becomes native code.

An op has exactly one. Bodies are written against the `ScalarBuilder` protocol, so ops know neither
LLVM nor lanes; extents and layouts are `IntExpr`s. The kernel floor decides from the class alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from exprd_compiler.ir.integer import IntExpr
    from exprd_compiler.ir.node import Node, Op

Extents: TypeAlias = "tuple[IntExpr, ...]"
Scalar_: TypeAlias = Any  # a value in the builder's own form; it has a `dtype`


class ScalarBuilder(Protocol):
    """What a backend hands to a scalar body: arithmetic on values that know their dtype.

    Both operands of an arithmetic method have the same dtype; integers wrap around; comparisons
    give "bool"; `minimum` and `maximum` propagate NaN as numpy's do. Of complex values there are
    sums, differences, products, quotients, negatives and `eq` and `ne`; `pair` makes one of parts.
    """

    def const(self, value: complex, dtype: str) -> Scalar_: ...
    def add(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def sub(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def mul(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def div(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def rem(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def neg(self, a: Scalar_) -> Scalar_: ...
    def abs(self, a: Scalar_) -> Scalar_: ...
    def fma(self, a: Scalar_, b: Scalar_, c: Scalar_) -> Scalar_: ...
    def minimum(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def maximum(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def compare(self, predicate: str, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def and_(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def or_(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def xor(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def not_(self, a: Scalar_) -> Scalar_: ...
    def shl(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def shr(self, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def select(self, condition: Scalar_, a: Scalar_, b: Scalar_) -> Scalar_: ...
    def cast(self, a: Scalar_, dtype: str) -> Scalar_: ...
    def pair(self, re: Scalar_, im: Scalar_) -> Scalar_: ...
    def real(self, z: Scalar_) -> Scalar_: ...
    def imag(self, z: Scalar_) -> Scalar_: ...
    def call(self, name: str, *args: Scalar_) -> Scalar_: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the elements of a value lie in a buffer: offset, extents and strides in elements."""

    offset: IntExpr
    extents: Extents
    strides: tuple[IntExpr, ...]


class HostContext(Protocol):
    """What a layout rule may ask of the plan under construction."""

    def require(self, condition: IntExpr, kind: str, message: str, *values: IntExpr) -> None:
        """Add a run-time check: when `condition` is 0 the call fails with an error of this kind.

        Args:
            condition: 0 when violated.
            kind: class name in `errors`.
            message: text with one `{}` per value.
            values: integers for the message.
        """


@dataclass(frozen=True, slots=True)
class Leaf:
    """Nothing to compute: an input, a shared variable or a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A case of a scalar body whose value is defined but rarely wanted; calls count its elements.

    Attributes:
        kind: its name, the same for ever.
        test: `test(k, *xs, **attrs)` says whether elements are such a case; the operands are those
            of the body.
        dtypes: operand dtypes for which it can happen.
        when: for which attributes it can happen.
        suspicion: a quicker test that is true wherever `test` is, and else seldom; best one that
            the body makes anyway.
    """

    kind: str
    test: Callable[..., Scalar_]
    dtypes: tuple[str, ...]
    when: Callable[[Mapping[str, Any]], bool] = lambda _: True
    suspicion: Callable[..., Scalar_] | None = None

    def possible(self, operands: Sequence[str], attrs: Mapping[str, Any]) -> bool:
        """Whether the body can meet it on operands of these dtypes."""
        return all(dtype in self.dtypes for dtype in operands) and self.when(attrs)


@dataclass(frozen=True, slots=True)
class Scalar:
    """Elementwise over the broadcast shape of the inputs.

    `operands(dtypes, result)` names the dtype to which each input is cast before the scalar
    `body(k, *xs, **attrs)` sees it.
    `cheap` bodies may be repeated in several kernels rather than stored; `events` are counted.
    """

    body: Callable[..., Scalar_]
    operands: Callable[[Sequence[str], str], Sequence[str]]
    cheap: bool = False
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Reduce:
    """A fold over attribute `axes` with an associative combination in a fixed tree.

    `identity(dtype)` starts the accumulator of dtype `accumulate(input dtype)`; `empty` says
    whether a fold over no elements gives the identity or an error. The name is for people.
    """

    name: str
    combine: Callable[[ScalarBuilder, Scalar_, Scalar_], Scalar_]
    identity: Callable[[str], float]
    accumulate: Callable[[str], str]
    empty: Literal["identity", "error"] = "identity"


@dataclass(frozen=True, slots=True)
class ArgReduce:
    """The position, along the one axis in attribute `axes`, of the first best element.

    `better(k, x, best)` tells whether x strictly beats the best so far; an empty axis is an error.
    """

    better: Callable[[ScalarBuilder, Scalar_, Scalar_], Scalar_]


@dataclass(frozen=True, slots=True)
class View:
    """The same elements seen through another layout; nothing is computed.

    The first input is the tensor, all others are 0-d integers known to the entry function.
    `layout(h, layout of the tensor, integers, **attrs)` gives the new layout; `contiguous` rules
    need a C-contiguous source.
    """

    layout: Callable[..., Layout]
    contiguous: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """Elements computed from their position: `body(k, positions, *scalars, **attrs)`.

    The first `hosts` inputs are 0-d integers known to the entry, from which
    `extents(integers, **attrs)` gives the shape; the others are 0-d values passed to the body.
    Positions are int64, one per axis.
    """

    body: Callable[..., Scalar_]
    extents: Callable[..., Extents]
    hosts: int


@dataclass(frozen=True, slots=True)
class Gather:
    """`x[i0, i1, ...]` with integer arrays for the leading axes; negative ones count back."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """A copy of x in which `x[i0, i1, ...]` is set to, or increased by, y in order of position."""


@dataclass(frozen=True, slots=True)
class Assign:
    """A copy of the first input in which a view of it is set to, or increased by, the second.

    Inputs are x, y, then the 0-d integers of the view rule; attribute `mode` is "set" or "inc".
    """

    layout: Callable[..., Layout]


@dataclass(frozen=True, slots=True)
class Join:
    """The inputs one after the other along attribute `axis`, each written into its part."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A running fold along attribute `axis`: each element combined with the result before it.

    `step` is the elementwise op that combines them, in the dtype of the result.
    """

    step: Op


@dataclass(frozen=True, slots=True)
class Library:
    """One call of a library routine that the kernel floor knows by name."""

    routine: str
    extents: Callable[..., Extents]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """One call of a function of our own over operands that lie whole and in order in memory.

    The first `operands` inputs are those, all others are 0-d integers known to the entry.

    Attributes:
        name: the function, as the backend knows it.
        operands: how many operands there are.
        extents: `extents(h, extents of the operands, *integers, **attrs)` gives the shape, and
            asks `h` for the checks that are due before the call.
        sizes: `sizes(extents of the operands, extents of the result)` gives the integers that the
            function takes.
        scratch: `scratch(dtypes of the operands, sizes)` gives dtype and length of temporaries.
        message: text of the IndexOutOfRange with which the function can fail, one {} per value;
            "" if it cannot.
    """

    name: str
    operands: int
    extents: Callable[..., Extents]
    sizes: Callable[[Sequence[Extents], Extents], Sequence[IntExpr]]
    scratch: Callable[[Sequence[str], Sequence[IntExpr]], Sequence[tuple[str, IntExpr]]] = (
        lambda _dtypes, _sizes: ()
    )
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapack:
    """A routine of LAPACK applied to each item of a stack; one item gives one packed result.

    The last `core` axes of each input make an item, the axes before are the stack, the same for
    all inputs.

    Attributes:
        routine: the recipe, as the backend knows it.
        core: per input, how many axes make an item.
        places: per input, what the routine does with it: "read" in place, "result" begins as a copy
            of it, "rows" and "columns" are copies in that order which the routine may overwrite.
        extents: `extents(*extents of the items, **attrs)` gives the extents of one result.
        sizes: `sizes(*extents of the items, **attrs)` gives the integers that the recipe takes.
        scratch: `scratch(*sizes)` gives dtype and length of temporaries, "real" for the result's.
        agree: `agree(*extents of the items)` gives pairs of extents that must be equal, and a text.
        failures: texts of the LinAlgErrors with which it can fail; {0} is LAPACK's code, {1} the
            number of the item, the others its sizes.
    """

    routine: str
    core: tuple[int, ...]
    places: tuple[Literal["read", "result", "rows", "columns"], ...]
    extents: Callable[..., Extents]
    sizes: Callable[..., Sequence[IntExpr]]
    scratch: Callable[..., Sequence[tuple[str, IntExpr]]] = lambda *_: ()
    agree: Callable[..., Sequence[tuple[IntExpr, IntExpr, str]]] = lambda *_: ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """A 0-d integer that follows from extents alone: `value(extents of the input, **attrs)`."""

    value: Callable[..., IntExpr]


@dataclass(frozen=True, slots=True)
class Expand:
    """A composition of other ops: `body(*nodes, **attrs)` builds it."""

    body: Callable[..., Node]


Lowering: TypeAlias = (
    Leaf
    | Scalar
    | Reduce
    | ArgReduce
    | View
    | Generate
    | Gather
    | Scatter
    | Assign
    | Join
    | Scan
    | Library
    | Lapack
    | Routine
    | Host
    | Expand
)
