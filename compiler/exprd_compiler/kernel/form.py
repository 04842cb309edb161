"""The kernel form and the plan: what a graph has become when all that is left is emission.

    Plan   = buffers, steps in order, error sites
    Step   = Check | Fetch | Kernel | Blas | RoutineCall | LapackCall
    Kernel = for grid axes: scalar values, then per stage: for row axes: values, folds, stores

A kernel's values are in SSA form, a reference is a position in `values`. Extents, strides and
offsets are `IntExpr`s of the entry; the vector axis is one of the loop axes. Nothing here is
machine-dependent, and every record prints (see `kernel.text`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import ArgReduce, Reduce
from exprd_compiler.ir.node import Array, Attrs, Op

Place: TypeAlias = Literal["argument", "constant", "output", "temporary"]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """C-contiguous storage of one value.

    Attributes:
        number: its position in `Plan.buffers`.
        dtype: element type.
        extents: its extents.
        place: where the storage comes from; `index` counts within the place.
        op: what computes the value, for messages; "" for what serves one step alone.
        origin: the node that the value stems from, or -1.
    """

    number: int
    dtype: str
    extents: tuple[IntExpr, ...]
    place: Place
    index: int
    op: str = ""
    origin: int = -1


# ---- values of a kernel
@dataclass(frozen=True, slots=True)
class Index:
    """An integer value that selects along an axis: element stride and extent of that axis."""

    ref: int
    stride: IntExpr
    extent: IntExpr


@dataclass(frozen=True, slots=True)
class Access:
    """Elements of a buffer: offset, one stride per loop axis, and gathered axes."""

    buffer: Buffer
    offset: IntExpr
    strides: tuple[IntExpr, ...]
    indexes: tuple[Index, ...] = ()
    site: int = -1


@dataclass(frozen=True, slots=True)
class Load:
    """The element of a buffer at the current position."""

    access: Access
    dtype: str


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: complex
    dtype: str


@dataclass(frozen=True, slots=True)
class Param:
    """An integer of the entry, as int64."""

    expr: IntExpr
    dtype: str = "int64"


@dataclass(frozen=True, slots=True)
class Position:
    """The current position on a loop axis, as int64."""

    axis: int
    dtype: str = "int64"


@dataclass(frozen=True, slots=True)
class Apply:
    """A scalar body on values cast to the given dtypes.

    `counters` number the events that the op can meet, in order; they count elements over the loop
    axes in `domain`.
    """

    op: Op
    attrs: Attrs
    refs: tuple[int, ...]
    operands: tuple[str, ...]
    dtype: str
    counters: tuple[int, ...] = ()
    domain: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Make:
    """A generator body on positions and further values."""

    op: Op
    attrs: Attrs
    positions: tuple[int, ...]
    refs: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Fold:
    """The fold of a value over all row axes; for ArgReduce, `position` is the place on the axis."""

    rule: Reduce | ArgReduce
    ref: int
    source: str
    dtype: str
    position: int = -1


Value: TypeAlias = Load | Number | Param | Position | Apply | Make | Fold


@dataclass(frozen=True, slots=True)
class Store:
    """A value written to, or added to, the element of a buffer at the current position."""

    ref: int
    access: Access
    mode: Literal["set", "inc"] = "set"


def references(value: Value) -> tuple[int, ...]:
    """The values that a value is made of."""
    match value:
        case Apply():
            return value.refs
        case Make():
            return (*value.positions, *value.refs)
        case Fold():
            return (value.ref,)
        case Load():
            return tuple(index.ref for index in value.access.indexes)
        case _:
            return ()


# ---- steps
@dataclass(frozen=True, slots=True)
class Kernel:
    """Loops over elements.

    Attributes:
        axes: extents of the loop axes, outermost first; the first `grid` are grid axes, the
            others row axes over which folds run.
        vector: the loop axis in vectors, the last grid or the last row axis, or -1.
        values: in SSA order.
        stores: in program order.
        label: op names, for people.
    """

    axes: tuple[IntExpr, ...]
    grid: int
    vector: int
    values: tuple[Value, ...]
    stores: tuple[Store, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Check:
    """Fail with a site's error when the condition is 0."""

    condition: IntExpr
    site: int
    values: tuple[IntExpr, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read the integer of this number from one element of a buffer."""

    number: int
    buffer: Buffer
    offset: IntExpr


@dataclass(frozen=True, slots=True)
class Operand:
    """A vector or matrix for BLAS: one unit stride, the other as leading dimension.

    `batch` has a stride for each batch axis of the product, 0 where the operand is repeated.
    """

    buffer: Buffer
    offset: IntExpr
    step: IntExpr
    transposed: bool = False
    batch: tuple[IntExpr, ...] = ()


@dataclass(frozen=True, slots=True)
class Blas:
    """out = alpha * a @ b, or added to out, of extents (m, k) @ (k, n); n is None for a vector.

    With `batch` extents there are as many such products, one per batch position.
    """

    routine: str
    dtype: str
    a: Operand
    b: Operand
    out: Buffer
    m: IntExpr
    k: IntExpr
    n: IntExpr | None
    alpha: float
    add: bool
    batch: tuple[IntExpr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineCall:
    """One call of a function of our own on whole buffers.

    Attributes:
        routine: its name.
        attrs: those of the op.
        operands: buffers with the offset of the first element.
        out: what it fills.
        scratch: temporaries of this step alone.
        sizes: the integers it takes.
        site: the error site with which it may fail.
    """

    routine: str
    attrs: Attrs
    operands: tuple[tuple[Buffer, IntExpr], ...]
    out: Buffer
    scratch: tuple[Buffer, ...]
    sizes: tuple[IntExpr, ...]
    site: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LapackCall:
    """A routine of LAPACK on each item of a stack.

    Attributes:
        routine: the recipe, by name.
        attrs: those of the op.
        operands: per input the buffer with the offset of its first element.
        out: the packed results.
        scratch: temporaries, used by one item after the other.
        stack: the number of items.
        lengths: elements of one item of the result, then of each operand.
        sizes: the integers that the recipe takes.
        sites: the error sites with which it may fail.
    """

    routine: str
    attrs: Attrs
    operands: tuple[tuple[Buffer, IntExpr], ...]
    out: Buffer
    scratch: tuple[Buffer, ...]
    stack: IntExpr
    lengths: tuple[IntExpr, ...]
    sizes: tuple[IntExpr, ...]
    sites: tuple[int, ...]


Step: TypeAlias = Check | Fetch | Kernel | Blas | RoutineCall | LapackCall


@dataclass(frozen=True, slots=True)
class Site:
    """A place where a call can fail: error class, text with one {} per value, op and node."""

    kind: str
    message: str
    op: str
    origin: int


@dataclass(frozen=True, slots=True)
class Counter:
    """What one counter of a call counts: kind of event, op and node."""

    kind: str
    op: str
    origin: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph before emission.

    Attributes:
        arguments: ranks of the entry's arguments: inputs, then shared variables.
        buffers: all storage.
        steps: in order of execution.
        sites: error sites, referred to by position.
        counters: what a call counts, referred to by position.
        outputs: the buffer of each root.
        slots: number of temporary slots; `slot_of` maps buffer numbers to slots.
        constants: the arrays of the constant buffers, passed behind the arguments.
    """

    arguments: tuple[int, ...]
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    sites: tuple[Site, ...]
    outputs: tuple[Buffer, ...]
    slots: int
    slot_of: dict[int, int]
    constants: tuple[Array, ...]
    counters: tuple[Counter, ...] = ()
