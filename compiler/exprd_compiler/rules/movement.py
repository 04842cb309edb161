"""Movement: axes, shapes and views that do nothing, that combine, or that can be said statically.

Values never change here. A shape check that concerned only a value nobody needs goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.dtype import EVERY, FLOATS
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.arithmetic import cast, mul, second
from exprd_compiler.ops.creation import alloc, iota, shape
from exprd_compiler.ops.index import NEXT, assign, scatter, subtensor
from exprd_compiler.ops.leaves import const, constant, constant_value, scalar_value
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, reshape, shape_i
from exprd_compiler.ops.reduce import mean, sum_
from exprd_compiler.rewrite.pattern import P, wild
from exprd_compiler.rewrite.rules import Match, Rule
from exprd_compiler.rules.elementwise import ELEMENTWISE
from exprd_compiler.rules.expansion import expand

x, a, b = wild("x a b")


# ---- dimshuffle
def _compose(m: Match) -> Node:
    inner, outer = m.attr("a"), m.attr("b")
    order = tuple(NEW_AXIS if axis == NEW_AXIS else inner[axis] for axis in outer)
    return dimshuffle(m["x"], order=order)


def _in_place(m: Match) -> bool:
    return bool(m.attr("a") == tuple(range(m["x"].ndim)))


def _without_lead(operand: Node, rank: int) -> Node:
    """The operand without axes of length 1 that broadcasting would put in front anyway."""
    value = constant_value(operand)
    if value is not None and value.ndim and value.size == 1 and rank:
        return const(value.reshape(()))
    if operand.op is not dimshuffle:
        return operand
    order = operand["order"]
    inner = operand.inputs[0]
    lead = len(order) - inner.ndim
    plain = order == (NEW_AXIS,) * lead + tuple(range(inner.ndim))
    return inner if lead > 0 and plain else operand


def _drop_lead(m: Match) -> Node | None:
    root = m.root
    if len(root.inputs) < 2:
        return None
    inputs = list(root.inputs)
    for place, operand in enumerate(root.inputs):
        inputs[place] = _without_lead(operand, root.ndim)
        if max(x.ndim for x in inputs) < root.ndim:
            inputs[place] = operand
    return None if tuple(inputs) == root.inputs else root.op(*inputs, **root.attributes)


DIMSHUFFLE: Final = (
    Rule(
        name="axes moved twice",
        theano="local_dimshuffle_lift",
        left=P.dimshuffle(P.dimshuffle(x, order=a), order=b),
        right=_compose,
        same_shape=True,
        dtypes=EVERY,
        why="One permutation after another is a permutation.",
    ),
    Rule(
        name="axes left where they are",
        theano="local_useless_dimshuffle",
        left=P.dimshuffle(x, order=a),
        right=x,
        when=_in_place,
        dtypes=EVERY,
        why="The identity permutation.",
    ),
    Rule(
        name="axes that broadcasting adds by itself",
        theano="local_dimshuffle_lift",
        left=ELEMENTWISE,
        right=_drop_lead,
        over=(dimshuffle, constant),
        same_shape=True,
        dtypes=EVERY,
        why="Operands of lower rank are padded in front with axes of length 1.",
    ),
)


# ---- extents
def _extent(m: Match) -> Node | None:
    axis: int = m.root["axis"]
    extent = m.context.extents.of(m.root.inputs[0])[axis]
    return const(extent, "int64") if isinstance(extent, int) else extent


def _legal(op: Op, *inputs: Node, **attrs: Any) -> Node | None:
    """The node, or None if it cannot be: then the op as written says so at run time."""
    try:
        return op(*inputs, **attrs)
    except ExprdError:
        return None


def _static_spec(m: Match) -> Node | None:
    """Reshape and alloc with constant integers written into the attribute."""
    source, *dims = m.root.inputs
    rest, kept = iter(dims), list[Node]()
    spec: list[Any] = []
    for entry in m.root["shape"]:
        dim = next(rest) if entry is None else None
        value = scalar_value(dim) if dim is not None else entry
        # a negative extent is the caller's error and is reported by the op, at run time
        if dim is not None and (value is None or value < 0):
            kept.append(dim)
            value = None
        spec.append(value if value is None else int(value))
    if len(kept) == len(dims):
        return None
    return _legal(m.root.op, source, *kept, shape=tuple(spec))


def _static_length(m: Match) -> Node | None:
    value = scalar_value(m.root.inputs[0]) if m.root.inputs else None
    return None if value is None else iota(length=max(0, int(value)))


def _entries(index: Sequence[Any], bounds: Sequence[Node], kept: list[Node]) -> Iterator[Any]:
    rest = iter(bounds)
    for entry in index:
        parts: list[Any] = []
        for part in entry[1:]:
            bound = next(rest) if part == NEXT else None
            value = scalar_value(bound) if bound is not None else None
            if bound is not None and value is None:
                kept.append(bound)
            parts.append(part if value is None else int(value))
        yield (entry[0], *parts)


def _static_index(m: Match) -> Node | None:
    places = 1 if m.root.op is subtensor else 2
    given, bounds = m.root.inputs[:places], m.root.inputs[places:]
    kept: list[Node] = []
    index = tuple(_entries(m.root["index"], bounds, kept))
    if len(kept) == len(bounds):
        return None
    return _legal(m.root.op, *given, *kept, **{**m.root.attributes, "index": index})


_STATIC = "What is known when compiling is written into the op."

EXTENTS: Final = (
    Rule(
        name="extents come from the leaves",
        theano="local_track_shape_i",
        left=(shape_i,),
        right=_extent,
        same_shape=True,
        dtypes=EVERY,
        why="The length of an axis follows from the inputs; nothing is computed for it.",
    ),
    Rule(
        name="a shape is its extents",
        theano="local_shape_to_shape_i",
        left=(shape,),
        right=expand,
        same_shape=True,
        dtypes=EVERY,
        why="Extents one by one can be known one by one.",
    ),
    Rule(
        name="a mean is a sum over a count",
        left=(mean,),
        right=expand,
        same_shape=True,
        dtypes=EVERY,
        why="The definition.",
    ),
    Rule(
        name="known extents are static",
        theano="local_useless_reshape",
        left=(reshape, alloc),
        right=_static_spec,
        over=(constant,),
        same_shape=True,
        dtypes=EVERY,
        why=_STATIC,
    ),
    Rule(
        name="a known length is static",
        left=(iota,),
        right=_static_length,
        over=(constant,),
        same_shape=True,
        dtypes=EVERY,
        why=_STATIC,
    ),
    Rule(
        name="known bounds are static",
        theano="local_useless_slice",
        left=(subtensor, assign),
        right=_static_index,
        over=(constant,),
        same_shape=True,
        dtypes=EVERY,
        why=_STATIC,
    ),
)


# ---- reshape
def _reshaped_once(m: Match) -> Node | None:
    inner = m.root.inputs[0]
    if inner.op is not reshape:
        return None
    return reshape(inner.inputs[0], *m.root.inputs[1:], shape=m.root["shape"])


def _same_extents(m: Match) -> Node | None:
    source = m.root.inputs[0]
    flat = source.ndim == 1 and m.root["shape"] == (-1,)
    return source if flat or m.context.extents.equal(source, m.root) else None


RESHAPE: Final = (
    Rule(
        name="reshaped twice",
        theano="local_reshape_chain",
        left=(reshape,),
        right=_reshaped_once,
        over=(reshape,),
        same_shape=True,
        dtypes=EVERY,
        why="Row-major order is the same whatever shape lay between.",
    ),
    Rule(
        name="reshaped to its own shape",
        theano="local_useless_reshape",
        left=(reshape,),
        right=_same_extents,
        same_shape=True,
        dtypes=EVERY,
        why="All extents are equal.",
    ),
)


# ---- alloc and second
def _filled(m: Match) -> Node:
    return m.root.inputs[1]


def _same_as_alloc(m: Match) -> Node | None:
    return m.root.inputs[0] if m.context.extents.equal(m.root.inputs[0], m.root) else None


def _alloc_once(m: Match) -> Node | None:
    inner = m.root.inputs[0]
    if inner.op is not alloc and _without_lead(inner, 1) is inner:
        return None
    source = inner.inputs[0] if inner.op is alloc else _without_lead(inner, 1)
    return alloc(source, *m.root.inputs[1:], shape=m.root["shape"])


def _sink(m: Match) -> Node | None:
    """The op on what was broadcast; the engine broadcasts the result if that is still needed."""
    if not any(operand.op is alloc for operand in m.root.inputs):
        return None
    inputs = [x.inputs[0] if x.op is alloc else x for x in m.root.inputs]
    return m.root.op(*inputs, **m.root.attributes)


def _shuffled_alloc(m: Match) -> Node | None:
    inner = m.root.inputs[0]
    if inner.op is not alloc:
        return None
    value, order = inner.inputs[0], m.root["order"]
    lead = inner.ndim - value.ndim
    gone = [axis for axis in range(lead, inner.ndim) if axis not in order]
    if any(value.type.shape[axis - lead] != 1 for axis in gone):
        return None
    moved = [NEW_AXIS if axis < lead else axis - lead for axis in order]
    return dimshuffle(value, order=tuple(moved))


def _summed_alloc(m: Match) -> Node | None:
    inner = m.root.inputs[0]
    axes: tuple[int, ...] = m.root["axes"]
    if inner.op is not alloc or inner.inputs[0].ndim or inner.dtype != m.root.dtype:
        return None
    count: Node = const(1, "int64")
    extents = m.context.extents.of(inner)
    for axis in axes:
        extent = extents[axis]
        count = mul(count, const(extent, "int64") if isinstance(extent, int) else extent)
    wide = "float64" if m.root.dtype in FLOATS else m.root.dtype
    total = mul(cast(inner.inputs[0], dtype=wide), cast(count, dtype=wide))
    return cast(total, dtype=m.root.dtype)


def _written_alloc(m: Match) -> Node | None:
    target, value, *rest = m.root.inputs
    if value.op is not alloc:
        return None
    return m.root.op(target, value.inputs[0], *rest, **m.root.attributes)


_ALLOC = "Broadcasting can be left to the op that uses the value, or done after it."

ALLOC: Final = (
    Rule(
        name="a fill is a broadcast",
        theano="local_fill_to_alloc",
        left=(second,),
        right=_filled,
        dtypes=EVERY,
        why="Only the shape of the first operand counts, and that comes from the leaves.",
    ),
    Rule(
        name="broadcast to its own shape",
        theano="local_useless_alloc",
        left=(alloc,),
        right=_same_as_alloc,
        same_shape=True,
        dtypes=EVERY,
        why="All extents are equal.",
    ),
    Rule(
        name="broadcast twice",
        theano="local_useless_alloc",
        left=(alloc,),
        right=_alloc_once,
        over=(alloc, dimshuffle, constant),
        same_shape=True,
        dtypes=EVERY,
        why="The second broadcast says it all.",
    ),
    Rule(
        name="elementwise before broadcast",
        theano="local_fill_sink",
        left=ELEMENTWISE,
        right=_sink,
        over=(alloc,),
        dtypes=EVERY,
        why=_ALLOC,
    ),
    Rule(
        name="axes before broadcast",
        theano="local_dimshuffle_alloc",
        left=(dimshuffle,),
        right=_shuffled_alloc,
        over=(alloc,),
        dtypes=EVERY,
        why=_ALLOC,
    ),
    Rule(
        name="the sum of a broadcast scalar",
        theano="local_sum_alloc",
        left=(sum_,),
        right=_summed_alloc,
        over=(alloc,),
        why="n times the value; rounded once instead of n times.",
    ),
    Rule(
        name="writing a broadcast value",
        theano="local_useless_inc_subtensor_alloc",
        left=(scatter, assign),
        right=_written_alloc,
        over=(alloc,),
        same_shape=True,
        dtypes=EVERY,
        why=_ALLOC,
    ),
)


LAWS: Final = (*DIMSHUFFLE, *EXTENTS, *RESHAPE, *ALLOC)
