"""Indexing: slices that take everything, entries at hand, positions that combine.

Values never change, and an index that is out of range is refused as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.creation import alloc, make_vector
from exprd_compiler.ops.index import gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.logic import neq
from exprd_compiler.ops.masks import flatnonzero, nonzero, true_elements
from exprd_compiler.ops.movement import reshape
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.rewrite.pattern import P, wild
from exprd_compiler.rewrite.rules import Match, Rule

x, a = wild("x a")


def _is_whole(entry: Any) -> bool:
    return (
        entry[0] == "slice" and entry[1] in (None, 0) and entry[2] is None and entry[3] in (None, 1)
    )


def _shorter_index(m: Match) -> Node | None:
    index = m.root["index"]
    used = len(index)
    while used and _is_whole(index[used - 1]):
        used -= 1
    if not used:
        return m.root.inputs[0]
    return None if used == len(index) else subtensor(*m.root.inputs, index=index[:used])


def _vector_entry(m: Match) -> Node | None:
    vector, index = m.root.inputs[0], m.root["index"]
    if vector.op is not make_vector or len(index) != 1 or index[0][0] != "at":
        return None
    place: Any = index[0][1]
    return vector.inputs[place] if isinstance(place, int) else None


def _index_once(m: Match) -> Node | None:
    inner = m.root.inputs[0]
    if inner.op is not subtensor or any(entry[0] != "at" for entry in inner["index"]):
        return None
    index = (*inner["index"], *m.root["index"])
    return subtensor(*inner.inputs, *m.root.inputs[1:], index=index)


LAWS: Final = (
    Rule(
        name="whole axes need no slice",
        theano="local_useless_subtensor",
        left=(subtensor,),
        right=_shorter_index,
        same_shape=True,
        dtypes=EVERY,
        why="A slice without bounds takes everything.",
    ),
    Rule(
        name="an entry of a vector made of scalars",
        theano="local_subtensor_make_vector",
        left=(subtensor,),
        right=_vector_entry,
        over=(make_vector,),
        dtypes=EVERY,
        why="The entry is at hand.",
    ),
    Rule(
        name="positions after positions",
        theano="local_subtensor_merge",
        left=(subtensor,),
        right=_index_once,
        over=(subtensor,),
        same_shape=True,
        dtypes=EVERY,
        why="x[i][j] is x[i, j].",
    ),
)


# ---- masks
def _by_flat_mask(m: Match) -> Node | None:
    """An index by all positions of a mask, as one by their row-major numbers."""
    x, *places = m.root.inputs
    if any(place.op is not nonzero for place in places):
        return None
    mask, *others = {place.inputs[0] for place in places}
    if others:
        return None
    extents = m.context.extents
    if [place["axis"] for place in places] != list(range(mask.ndim)):
        return None
    if not _same(extents.of(mask), extents.of(x)[: mask.ndim]):
        return None
    flat = x if mask.ndim == 1 else _flattened(x, extents.of(x)[mask.ndim :])
    if flat is None:
        return None
    alone = all(m.context.single(place) for place in places)
    return _picked(flat, mask) if alone and flat.ndim == 1 else gather(flat, flatnonzero(mask))


def _flattened(x: Node, rest: Sequence[Any]) -> Node | None:
    """x with all axes but the last ones as one."""
    spec = (-1, *[extent if isinstance(extent, int) else None for extent in rest])
    if 0 in spec:
        return None  # nobody could infer the first
    return reshape(x, *[extent for extent in rest if isinstance(extent, Node)], shape=spec)


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return all(x is y or (isinstance(x, int) and x == y) for x, y in zip(a, b, strict=True))


def _elements_at_mask(m: Match) -> Node | None:
    """Elements at the positions of a mask, which nobody else needs."""
    x, mask = m["x"], m["a"]
    extents = m.context.extents
    known = x.ndim == mask.ndim == 1 and _same(extents.of(mask), extents.of(x))
    return _picked(x, mask) if known and m.context.single(m.root.inputs[1]) else None


def _picked(x: Node, mask: Node) -> Node:
    """The elements of a vector where those of a mask, in row-major order, are not zero."""
    flat = mask if mask.ndim == 1 else reshape(mask, shape=(-1,))
    chosen = flat if mask.dtype == "bool" else neq(flat, const(0, mask.dtype))
    return true_elements(x, chosen, sum_(chosen, axes=(0,)))


MASKS: Final = (
    Rule(
        name="positions of a mask as row-major numbers",
        left=(gather,),
        right=_by_flat_mask,
        over=(nonzero,),
        same_shape=True,
        dtypes=EVERY,
        why="Numbers are taken apart into positions only to be put together again.",
    ),
    Rule(
        name="elements at a mask",
        left=P.gather(x, P.flatnonzero(a)),
        right=_elements_at_mask,
        mixed=True,
        same_shape=True,
        dtypes=EVERY,
        why="Elements can be moved without writing down where they are.",
    ),
)


# ---- sums of scattered entries
def _scatter_sums(m: Match) -> Node | None:
    """The row sums of a matrix of zeros with some entries: the entries scattered over the rows."""
    entries = m.root.inputs[0]
    if m.root["axes"] != (1,) or entries.ndim != 2 or len(entries.inputs) != 4:
        return None
    zeros, value, rows, columns = entries.inputs
    # the columns must be checked by somebody else: an index out of range is always refused
    if m.context.clients.get(entries, 0) < 2:
        return None
    blank = zeros.op is alloc and scalar_value(zeros.inputs[0]) == 0 and zeros.inputs[0].ndim == 0
    if not blank or entries["mode"] != "inc" or m.root.dtype != entries.dtype:
        return None
    one_each = rows.ndim == columns.ndim == 1 and rows.type.shape != (1,)
    if not one_each or value.ndim > 1:
        return None
    spec, dims = m.context.extents.spec(m.root)
    return scatter(alloc(zeros.inputs[0], *dims, shape=spec), value, rows, mode="inc")


SUMS: Final = (
    Rule(
        name="row sums of scattered entries",
        theano="local_crossentropy_to_crossentropy_with_softmax_with_bias",
        left=(sum_,),
        right=_scatter_sums,
        over=(scatter,),
        why="Zeros add nothing; the gradient of a cross-entropy with labels is full of them.",
    ),
)
