"""Steps: the ways in which a random program gets one more value. Any op of the table may come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from exprd.elementwise import apply
from exprd_compiler.errors import DTypeError, ExprdError, GraphError, NotDifferentiable
from exprd_compiler.grad import grad
from exprd_compiler.ir.dtype import INTEGERS, is_float
from exprd_compiler.ir.lowering import Leaf as LeafLowering
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import Example, Node, Op
from exprd_compiler.ops.arithmetic import cast
from exprd_compiler.ops.index import NEXT, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.movement import reshape
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.table import OPS
from tests.random_graphs.pool import DTYPES, Kind, Pool
from tests.random_graphs.values import fills, python_scalar

Step: TypeAlias = Callable[[Pool], None]

# Every op but the one that writes to the terminal.
ALL: Final = tuple(
    op for op in OPS.values() if not isinstance(op.lowering, LeafLowering) and op.name != "print"
)
ELEMENTWISE: Final = tuple(op for op in ALL if isinstance(op.lowering, Scalar))
WITH_EXAMPLES: Final = tuple(op for op in ALL if not isinstance(op.lowering, Scalar))
NAMES: Final = tuple(dtype for _, dtype in DTYPES)
SMALL: Final = 64  # the largest integer that may mean a number of elements


def made(pool: Pool, op: Op, operands: list[Node], attrs: dict[str, Any]) -> bool:
    """Whether an op took these operands, and its value is in the pool."""
    try:
        node = op(*operands, **attrs)
    except ExprdError:  # the type rule says no
        return False
    return pool.keep(node)


def accepted(pool: Pool, node: Node, op: Op) -> Node:
    """The value in a dtype that the op takes; itself where no cast leads there."""
    if node.dtype in op.dtypes:
        return node
    try:
        return cast(node, dtype=pool.choices.pick(_dtypes(op)))
    except DTypeError:
        return node


def _dtypes(op: Op) -> list[str]:
    return [dtype for dtype in NAMES if dtype in op.dtypes]


# ---- elementwise
def elementwise(pool: Pool) -> None:
    """An elementwise op over values whose shapes broadcast, or nearly."""
    op = pool.choices.pick(ELEMENTWISE)
    example = pool.choices.pick(op.examples)
    first = pool.pick()
    if first is None:
        return
    operands = [first, *[_companion(pool, first) for _ in example.shapes[1:]]]
    turned = operands[::-1] if pool.choices.chance(30) else operands
    attrs = dict(example.attrs)
    if op is cast:
        attrs["dtype"] = pool.choices.pick(NAMES)
    made(pool, op, [accepted(pool, node, op) for node in turned], attrs)


def _companion(pool: Pool, node: Node) -> Node:
    """A value that broadcasts with another; now and then any value."""
    if pool.choices.chance(20):
        return pool.pick() or node
    shape = pool.value(node).shape
    return pool.pick(lambda other: pool.value(other).shape in (shape, shape[1:], ())) or node


def with_number(pool: Pool) -> None:
    """An elementwise op with a Python number, converted by the client's rules."""
    op = pool.choices.pick([op for op in ELEMENTWISE if len(op.examples[0].shapes) == 2])
    node = pool.pick()
    if node is None:
        return
    pair = [node, python_scalar(pool.choices, node.dtype)]
    try:
        result = apply(op, *(pair[::-1] if pool.choices.chance(30) else pair))
    except GraphError:
        return
    pool.keep(result)


# ---- everything else, by its examples
def _kind(pool: Pool) -> Kind:
    return pool.choices.weighed(((2, "constant"), (3, "input"), (1, "shared")))


def _integers(pool: Pool, value: Any) -> Node:
    """The index or extent of an example as a leaf."""
    dtype = pool.choices.weighed(((4, "int64"), (1, "int32")))
    try:
        array = np.array(value, dtype)
    except OverflowError:
        array = np.array(value, "int64")
    return pool.leaf(array, None, _kind(pool))


def _counts(pool: Pool, node: Node) -> bool:
    """Whether a value may be taken for numbers of elements without filling the memory."""
    value = pool.value(node)
    return value.dtype.kind not in "iu" or not value.size or int(np.abs(value).max()) <= SMALL


def _of_rank(pool: Pool, rank: int, dtype: str) -> Node | None:
    """A value of a rank that may mean counts, of this dtype unless that is ""."""
    return pool.pick(
        lambda node: node.ndim == rank and dtype in ("", node.dtype) and _counts(pool, node)
    )


def transplanted(pool: Pool) -> None:
    """An op with the attributes of an example, on values of the same ranks."""
    op = pool.choices.pick(WITH_EXAMPLES)
    example = pool.choices.pick(op.examples)
    operands: list[Node] = []
    for place, shape in enumerate(example.shapes):
        if place in example.integers:
            operands.append(_integers(pool, example.integers[place]))
            continue
        like = operands[0].dtype if operands and pool.choices.chance(60) else ""
        found = _of_rank(pool, len(shape), like)
        if found is None:
            found = pool.new_leaf(len(shape), pool.choices.pick(_dtypes(op)))
        operands.append(accepted(pool, found, op))
    made(pool, op, operands, dict(example.attrs))


def as_declared(pool: Pool) -> None:
    """An op on the very shapes of an example, cut out of values of the pool or drawn anew."""
    op = pool.choices.pick(WITH_EXAMPLES if pool.choices.chance(75) else ELEMENTWISE)
    example = pool.choices.pick(op.examples)
    dtype = pool.choices.pick(_dtypes(op))
    operands: list[Node] = []
    for place, shape in enumerate(example.shapes):
        if place in example.integers:
            operands.append(_integers(pool, example.integers[place]))
        elif (cut := _cut(pool, shape, dtype)) is not None:
            operands.append(cut)
        else:
            operands.append(_drawn(pool, shape, dtype, example))
    made(pool, op, operands, dict(example.attrs))


def _cut(pool: Pool, shape: tuple[int, ...], dtype: str) -> Node | None:
    """A value of the pool brought to a shape and dtype, or nothing."""
    exact = pool.pick(lambda node: pool.value(node).shape == shape and node.dtype == dtype)
    if exact is not None and pool.choices.chance(50):
        return exact
    source = pool.pick(lambda node: node.dtype == dtype and pool.value(node).size > 0)
    count = int(np.prod(shape))
    if source is None or not count or pool.choices.chance(60):
        return None
    flat = reshape(source, shape=(-1,))
    places = const(np.arange(count) % pool.value(source).size, "int64")
    out = reshape(gather(flat, places), shape=shape)
    return out if pool.keep(out) else None


def _drawn(pool: Pool, shape: tuple[int, ...], dtype: str, example: Example) -> Node:
    """A new leaf for an operand of an example, in the range that it names."""
    fill = pool.choices.weighed(fills(dtype))
    value = fill(pool.choices.rng(), shape, dtype)
    if is_float(dtype) and pool.choices.chance(70):
        rng = pool.choices.rng()
        value = np.asarray(rng.uniform(example.low, example.high, shape), dtype)
    known = None if pool.choices.chance(20) else tuple(1 if e == 1 else None for e in shape)
    return pool.leaf(value, None, _kind(pool), static=known)


# ---- indexes known at run time
def sliced(pool: Pool) -> None:
    """A slice or position whose bounds come with the call."""
    node = pool.pick(lambda node: node.ndim > 0)
    if node is None:
        return
    bound = pool.choices.pick([0, 1, 2, -1, -2, 5, 40, -40])
    if pool.choices.chance(60):
        entry: tuple[Any, ...] = ("slice", *_bounds(pool), pool.choices.pick([None, 1, 2, -1, -3]))
    else:
        entry = ("at", NEXT)
    integers = [_integers(pool, bound) for part in entry[1:] if part == NEXT]
    made(pool, subtensor, [node, *integers], {"index": (entry,)})


def _bounds(pool: Pool) -> tuple[Any, Any]:
    return pool.choices.pick([(NEXT, None), (None, NEXT), (NEXT, NEXT), (NEXT, -1), (1, NEXT)])


def _places(pool: Pool, node: Node) -> Node:
    """Positions along the first axis of a value, now and then one outside."""
    extent = pool.value(node).shape[0]
    reach = extent + (1 if pool.choices.chance(10) else 0)
    count = pool.choices.pick([1, 3, 8, 33])
    drawn = pool.choices.rng().integers(-reach, max(reach, 1 - reach), count)
    dtype = pool.choices.pick(["int64", "int32", "int8"])
    return pool.leaf(drawn.clip(-100, 100).astype(dtype), None, _kind(pool))


def taken(pool: Pool) -> None:
    """Rows by a vector of positions."""
    node = pool.pick(lambda node: node.ndim > 0)
    if node is not None:
        made(pool, gather, [node, _places(pool, node)], {})


def written(pool: Pool) -> None:
    """Rows set or increased at a vector of positions: what a sparse update is made of."""
    node = pool.pick(lambda node: node.ndim > 0)
    if node is None:
        return
    value = pool.pick(lambda other: other.ndim == 0) or const(1, node.dtype)
    if value.dtype != node.dtype:
        value = const(1, node.dtype)
    mode = pool.choices.pick(["inc", "set"])
    made(pool, scatter, [node, value, _places(pool, node)], {"mode": mode})


# ---- gradients
def derived(pool: Pool) -> None:
    """The gradient of the sum of a value by one or two others."""
    value = pool.pick(lambda node: is_float(node.dtype))
    if value is None:
        return
    cost = sum_(value, axes=tuple(range(value.ndim))) if value.ndim else value
    wrt = [pool.pick(lambda node: is_float(node.dtype)) for _ in range(1 + pool.choices.below(2))]
    try:
        found = grad(cost, [node for node in wrt if node is not None], disconnected="ignore")
    except NotDifferentiable:
        return
    for node in found:
        pool.keep(node)


def leaf(pool: Pool) -> None:
    """One more leaf."""
    pool.another_leaf()


STEPS: Final[tuple[tuple[int, Step], ...]] = (
    (30, elementwise),
    (30, transplanted),
    (14, as_declared),
    (5, with_number),
    (4, sliced),
    (4, taken),
    (4, written),
    (5, derived),
    (4, leaf),
)
assert set(NAMES) >= set(INTEGERS)
