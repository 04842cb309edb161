"""Operators and methods of a variable: Python's syntax and numpy's method names.

Each is one line over the builders on nodes; `==` is left alone, so that variables can be keys.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from exprd import arranging, creating, extras, indexing, linear, matrix, reduction, shaping, sorting
from exprd.convert import cast_to, is_sequence
from exprd.elementwise import apply, compare, rounded
from exprd_compiler.errors import ArgumentError, DTypeError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import (
    arithmetic,
    division,
    logic,
    parts,
    reduce,
    rounding,
    statistics,
    transcendental,
)

if TYPE_CHECKING:
    from exprd.variable import TensorVariable

_Axis = reduction.Axis
_COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "neq"))


class Operators(Protocol):
    """What every tensor variable can do; needs a node and a way to show another node."""

    __slots__ = ()
    node: Node

    @abstractmethod
    def show(self, node: Node) -> TensorVariable:
        """The variable of a node built just now."""
        ...

    # ---- arithmetic
    def __add__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.add, self, other))

    def __radd__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.add, other, self))

    def __sub__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.sub, self, other))

    def __rsub__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.sub, other, self))

    def __mul__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.mul, self, other))

    def __rmul__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.mul, other, self))

    def __truediv__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.true_div, self, other))

    def __rtruediv__(self, other: object) -> TensorVariable:
        return self.show(apply(arithmetic.true_div, other, self))

    def __floordiv__(self, other: object) -> TensorVariable:
        return self.show(apply(division.int_div, self, other))

    def __rfloordiv__(self, other: object) -> TensorVariable:
        return self.show(apply(division.int_div, other, self))

    def __mod__(self, other: object) -> TensorVariable:
        return self.show(apply(division.mod, self, other))

    def __rmod__(self, other: object) -> TensorVariable:
        return self.show(apply(division.mod, other, self))

    def __pow__(self, other: object) -> TensorVariable:
        return self.show(apply(transcendental.pow_, self, other))

    def __rpow__(self, other: object) -> TensorVariable:
        return self.show(apply(transcendental.pow_, other, self))

    def __matmul__(self, other: object) -> TensorVariable:
        return self.show(linear.matmul(self, other))

    def __rmatmul__(self, other: object) -> TensorVariable:
        return self.show(linear.matmul(other, self))

    def __neg__(self) -> TensorVariable:
        return self.show(apply(arithmetic.neg, self))

    def __abs__(self) -> TensorVariable:
        return self.show(apply(arithmetic.abs_, self))

    def __divmod__(self, other: object) -> tuple[TensorVariable, TensorVariable]:
        return self // other, self % other

    def __rdivmod__(self, other: object) -> tuple[TensorVariable, TensorVariable]:
        return other // self, other % self

    def __floor__(self) -> TensorVariable:
        return self.show(apply(rounding.floor, self))

    def __ceil__(self) -> TensorVariable:
        return self.show(apply(rounding.ceil, self))

    def __trunc__(self) -> TensorVariable:
        return self.show(apply(rounding.trunc, self))

    # ---- comparison and logic
    def __lt__(self, other: object) -> TensorVariable:
        return self.show(compare("lt", self, other))

    def __le__(self, other: object) -> TensorVariable:
        return self.show(compare("le", self, other))

    def __gt__(self, other: object) -> TensorVariable:
        return self.show(compare("gt", self, other))

    def __ge__(self, other: object) -> TensorVariable:
        return self.show(compare("ge", self, other))

    def __and__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.and_, self, other))

    def __rand__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.and_, other, self))

    def __or__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.or_, self, other))

    def __ror__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.or_, other, self))

    def __xor__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.xor, self, other))

    def __rxor__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.xor, other, self))

    def __lshift__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.left_shift, self, other))

    def __rlshift__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.left_shift, other, self))

    def __rshift__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.right_shift, self, other))

    def __rrshift__(self, other: object) -> TensorVariable:
        return self.show(apply(logic.right_shift, other, self))

    def __invert__(self) -> TensorVariable:
        return self.show(apply(logic.invert, self))

    def __bool__(self) -> bool:
        # Theano: `if x:` asks whether there is a variable, but a comparison has no answer yet
        if self.node.op.name not in _COMPARISONS:
            return True
        raise DTypeError(
            "a comparison of variables has no truth value: they stand for values to come",
            hint="use T.switch for a choice",
        )

    # ---- complex numbers
    @property
    def real(self) -> TensorVariable:
        """The real part; a real tensor itself."""
        return self.show(apply(parts.real, self))

    @property
    def imag(self) -> TensorVariable:
        """The imaginary part; zeros for a real tensor."""
        return self.show(apply(parts.imag, self))

    def conj(self) -> TensorVariable:
        """The complex conjugate; a real tensor itself."""
        return self.show(apply(parts.conj, self))

    # ---- shape
    @property
    def shape(self) -> TensorVariable:
        """The extents as an int64 vector; `x.shape[0]` costs nothing."""
        return self.show(shaping.shape_of(self))

    @property
    def size(self) -> TensorVariable:
        """The number of elements."""
        return self.show(shaping.size_of(self))

    @property
    def T(self) -> TensorVariable:  # noqa: N802 - numpy's name
        """The transpose."""
        return self.show(shaping.transpose(self))

    def transpose(self, *axes: Any) -> TensorVariable:
        """The axes permuted, reversed by default."""
        order: Sequence[int] | None = axes or None
        if len(axes) == 1 and (axes[0] is None or is_sequence(axes[0])):
            order = axes[0]
        return self.show(shaping.transpose(self, order))

    def reshape(self, *shape: Any, ndim: int | None = None) -> TensorVariable:
        """The elements in row-major order under another shape, given as one value or as many."""
        target = shape[0] if len(shape) == 1 else shape
        return self.show(shaping.reshape(self, target, ndim))

    def dimshuffle(self, *pattern: Any) -> TensorVariable:
        """The axes in another order, "x" for a new one of length 1."""
        return self.show(shaping.dimshuffle(self, *pattern))

    def flatten(self, ndim: int = 1) -> TensorVariable:
        """The tensor with its trailing axes joined so that `ndim` are left."""
        return self.show(shaping.flatten(self, ndim))

    def ravel(self) -> TensorVariable:
        """The tensor as a vector."""
        return self.flatten()

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TensorVariable:
        """A view of one diagonal of two axes, as the last axis."""
        return self.show(creating.diagonal(self, offset, axis1, axis2))

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TensorVariable:
        """The sum along a diagonal of two axes."""
        return self.show(matrix.trace(self, offset, axis1, axis2))

    def repeat(self, repeats: object, axis: int | None = None) -> TensorVariable:
        """Every element so many times, one beside the other."""
        return self.show(arranging.repeat(self, repeats, axis))

    def swapaxes(self, axis1: int, axis2: int) -> TensorVariable:
        """Two axes exchanged."""
        return self.show(shaping.swapaxes(self, axis1, axis2))

    def squeeze(self) -> TensorVariable:
        """Without the axes that are statically 1."""
        return self.show(shaping.squeeze(self))

    def __getitem__(self, key: object) -> TensorVariable:
        return self.show(indexing.getitem(self, key))

    def __iter__(self) -> Iterator[TensorVariable]:
        count = self.node.type.shape[0] if self.node.ndim else None
        if count is None:
            hint = "for a sum or a maximum take T.sum or T.max, not Python's own"
            raise ArgumentError(
                f"cannot iterate over {self.node.type} of unknown length", hint=hint
            )
        return iter([self[place] for place in range(count)])

    def take(self, indices: object, axis: int | None = None, mode: str = "raise") -> TensorVariable:
        """The elements at integer positions along an axis."""
        return self.show(indexing.take(self, indices, axis, mode))

    def choose(self, choices: object, mode: str = "raise") -> TensorVariable:
        """Element by element, the choice of this number."""
        return self.show(indexing.choose(self, choices, mode))

    def nonzero(self) -> tuple[TensorVariable, ...]:
        """For each axis, the positions of the elements that are not zero."""
        return tuple(map(self.show, indexing.nonzero(self)))

    def nonzero_values(self) -> TensorVariable:
        """The elements that are not zero."""
        return self.show(indexing.nonzero_values(self))

    def compress(self, a: object, axis: int | None = None) -> TensorVariable:
        """The elements, rows or columns of a whose place in this vector is true (Theano's way)."""
        return self.show(extras.compress(self, a, axis))

    def sort(
        self, axis: int | None = -1, kind: str = "quicksort", order: object = None
    ) -> TensorVariable:
        """The elements in order along an axis."""
        return self.show(sorting.sort(self, axis, kind, order))

    def argsort(
        self, axis: int | None = -1, kind: str = "quicksort", order: object = None
    ) -> TensorVariable:
        """The positions from which the elements in order come."""
        return self.show(sorting.argsort(self, axis, kind, order))

    def searchsorted(self, v: object, side: str = "left", sorter: object = None) -> TensorVariable:
        """The places in this sorted vector where values belong."""
        return self.show(sorting.searchsorted(self, v, side, sorter))

    # ---- reductions
    def sum(
        self, axis: _Axis = None, dtype: str | None = None, keepdims: bool = False
    ) -> TensorVariable:
        """The sum over axes."""
        return self.show(reduction.sum_(self, axis, dtype, keepdims))

    def prod(
        self, axis: _Axis = None, dtype: str | None = None, keepdims: bool = False
    ) -> TensorVariable:
        """The product over axes."""
        return self.show(reduction.prod(self, axis, dtype, keepdims))

    def mean(
        self, axis: _Axis = None, dtype: str | None = None, keepdims: bool = False
    ) -> TensorVariable:
        """The mean over axes."""
        return self.show(reduction.mean(self, axis, dtype, keepdims))

    def var(self, axis: _Axis = None, ddof: int = 0, keepdims: bool = False) -> TensorVariable:
        """The variance over axes."""
        return self.show(reduction.var(self, axis, ddof, keepdims))

    def std(self, axis: _Axis = None, ddof: int = 0, keepdims: bool = False) -> TensorVariable:
        """The standard deviation over axes."""
        return self.show(reduction.std(self, axis, ddof, keepdims))

    def max(self, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:
        """The largest element over axes."""
        return self.show(reduction.fold(reduce.max_, self, axis, keepdims))

    def min(self, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:
        """The smallest element over axes."""
        return self.show(reduction.fold(reduce.min_, self, axis, keepdims))

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> TensorVariable:
        """The position of the first largest element."""
        return self.show(reduction.argmax(self, axis, keepdims))

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> TensorVariable:
        """The position of the first smallest element."""
        return self.show(reduction.argmin(self, axis, keepdims))

    def any(self, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:
        """Whether an element over axes is not zero."""
        return self.show(reduction.fold(reduce.any_, self, axis, keepdims))

    def all(self, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:
        """Whether no element over axes is zero."""
        return self.show(reduction.fold(reduce.all_, self, axis, keepdims))

    def ptp(self, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:
        """The largest less the smallest element over axes."""
        return self.show(reduction.fold(statistics.ptp, self, axis, keepdims))

    def norm(self, L: float = 2, axis: _Axis = None, keepdims: bool = False) -> TensorVariable:  # noqa: N803 - Theano's name
        """The vector norm of order L over axes."""
        return self.show(reduction.norm(self, L, axis, keepdims))

    def cumsum(self, axis: int | None = None) -> TensorVariable:
        """At each place, the sum of the elements up to it."""
        return self.show(arranging.cumsum(self, axis))

    def cumprod(self, axis: int | None = None) -> TensorVariable:
        """At each place, the product of the elements up to it."""
        return self.show(arranging.cumprod(self, axis))

    # ---- the rest of what numpy users reach for
    def copy(self, name: str | None = None) -> TensorVariable:
        """The same values as a variable of its own, with a name of its own."""
        copied = self.show(arithmetic.second(self.node, self.node))
        copied.name = name
        return copied

    def fill(self, value: object) -> TensorVariable:
        """One value in the shape and dtype of this tensor, which itself does not change."""
        return self.show(creating.full_like(self, value))

    def dot(self, other: object) -> TensorVariable:
        """The matrix product."""
        return self.show(linear.dot(self, other))

    def astype(self, dtype: str) -> TensorVariable:
        """The values in another dtype."""
        return self.show(cast_to(self.node, dtype))

    def round(self, mode: str = "half_to_even") -> TensorVariable:
        """The values rounded to integers, halves by the mode."""
        return self.show(rounded(self, mode))

    def clip(self, low: object, high: object) -> TensorVariable:
        """The values held between two bounds."""
        return self.show(apply(logic.minimum, apply(logic.maximum, self, low), high))
