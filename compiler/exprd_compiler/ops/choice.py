"""Choices: one of several values, element by element, by number.

A number that names no choice is refused; here negative ones do not count back, as in numpy.
"""

from __future__ import annotations

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, IndexOutOfRange
from exprd_compiler.ir.dtype import EVERY, INTEGERS, promote
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import THROUGH_EXPANSION, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType, broadcast_shape
from exprd_compiler.ops.arithmetic import cast, sub
from exprd_compiler.ops.index import gather
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import eq, lt, switch
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, shape_i
from exprd_compiler.ops.positions import iota
from exprd_compiler.ops.reduce import expand_axes


def along(x: Node, axis: int) -> Node:
    """The positions along an axis of x, broadcastable against x."""
    length = x.type.shape[axis]
    count = iota(shape_i(x, axis=axis)) if length is None else iota(length=length)
    order = [NEW_AXIS] * x.ndim
    order[axis] = 0
    return count if x.ndim == 1 else dimshuffle(count, order=tuple(order))


def from_rows(number: Node, rows: Node) -> Node:
    """For each element, the element at its place in the row of that number."""
    count = shape_i(rows, axis=0)
    wide = cast(number, dtype="int64")
    strict = switch(lt(wide, const(0, "int64")), sub(wide, count), wide)
    if rows.ndim == 1:
        return gather(rows, strict)
    places = [along(rows, axis) for axis in range(1, rows.ndim)]
    inner = [dimshuffle(place, order=tuple(range(1, rows.ndim))) for place in places]
    return gather(rows, strict, *inner)


# ---- choose
def _choose_type(a: TensorType, *choices: TensorType) -> TensorType:
    if not choices:
        raise GraphError("there is nothing to choose from", op="choose")
    if a.dtype not in INTEGERS:
        raise DTypeError(f"choices are numbered by integers, got {a}", op="choose")
    shape = broadcast_shape([a.shape, *[c.shape for c in choices]], "choose")
    return TensorType(promote(*[c.dtype for c in choices]), shape)


def _choose_numpy(a: Array, *choices: Array) -> Array:
    if a.size and not (a.min() >= 0 and a.max() < len(choices)):
        wrong = a[(a < 0) | (a >= len(choices))].flat[0]
        raise IndexOutOfRange(f"there is no choice {wrong} among {len(choices)}", op="choose")
    out = np.asarray(choices[0], promote(*[c.dtype.name for c in choices]))
    for number, choice in enumerate(choices[1:], 1):
        out = np.where(a == number, choice.astype(out.dtype), out)
    return np.array(np.broadcast_arrays(out, a)[0])


def _choose_expand(a: Node, *choices: Node) -> Node:
    if len(choices) == 1:
        return from_rows(a, expand_axes(choices[0], (0,)))
    number = from_rows(a, iota(length=len(choices)))  # itself, and checked
    out = cast(choices[0], dtype=promote(*[c.dtype for c in choices]))
    for place, choice in enumerate(choices[1:], 1):
        out = switch(eq(number, const(place, "int64")), choice, out)
    return out


choose: Op = Op(
    name="choose",
    type=_choose_type,
    numpy=_choose_numpy,
    grad=THROUGH_EXPANSION,
    lowering=Expand(_choose_expand),
    dtypes=EVERY,
    examples=(
        Example(shapes=((4,), (4,), (4,), (4,)), integers={0: [2, 0, 1, 2]}),
        Example(shapes=((), (3, 5), (5,)), integers={0: 1}),
        Example(shapes=((2, 3), (), (3,)), integers={0: [[0, 1, 1], [1, 0, 0]]}),
        Example(shapes=((4,), (4,)), integers={0: [0, 0, 0, 0]}),
        Example(shapes=((2, 1), (1, 3)), integers={0: [[0], [0]]}),
        Example(shapes=((0,), (0,), (0,)), integers={0: []}),
    ),
    theano="Choose",
    doc="Of several values, element by element, the one of a number; other numbers are refused.",
)
