"""Programs: random graphs with inputs, state and calls, as hypothesis draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from exprd_compiler.ir.dtype import is_complex
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ops.arithmetic import add, cast, second
from exprd_compiler.ops.movement import reshape
from exprd_compiler.ops.reduce import max_
from tests.random_graphs.choices import Choices
from tests.random_graphs.pool import EXTENTS, Leaf, Pool
from tests.random_graphs.steps import STEPS
from tests.random_graphs.values import laid_out

LEVELS: Final = ("FAST_RUN", "FAST_COMPILE", "NONE")
MOST_STEPS: Final = 16
MOST_OUTPUTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A graph, first values of its shared variables, and the arguments of a few calls."""

    graph: Graph
    state: tuple[Array, ...]
    calls: tuple[tuple[Any, ...], ...]
    mode: str


# ---- updates
def _update(pool: Pool, leaf: Leaf) -> Node | None:
    """A new value for a shared variable, of its type."""
    target = leaf.node
    fits = pool.pick(lambda node: node is not target and target.type.accepts(node.type))
    if fits is not None and pool.choices.chance(70):
        return fits
    source = pool.pick(lambda node: node is not target and not is_complex(node.dtype))
    if source is None or (target.dtype == "bool" and source.dtype != "bool"):
        return None
    one = _first(pool, source)
    new = one and second(target, cast(one, dtype=target.dtype))
    if new is not None and pool.choices.chance(50):
        new = add(target, new)
    return new if new is not None and pool.keep(new) else None


def _first(pool: Pool, node: Node) -> Node | None:
    """A 0-d value that follows from another."""
    if node.ndim == 0:
        return node
    return max_(node, axes=tuple(range(node.ndim))) if pool.value(node).size else None


def _updates(pool: Pool) -> tuple[tuple[int, Node], ...]:
    found = [
        (slot, _update(pool, leaf))
        for slot, leaf in enumerate(pool.shared)
        if not pool.choices.chance(25)
    ]
    return tuple((slot, new) for slot, new in found if new is not None)


# ---- outputs
def _outputs(pool: Pool, updates: Sequence[tuple[int, Node]]) -> tuple[Node, ...]:
    """The last value, some others: inputs, state and new state among them, some twice."""
    used = {x for node in pool.seen for x in node.inputs}
    ends = [node for node in pool.values if node not in used and node.inputs]
    outputs = ends[-MOST_OUTPUTS:] or pool.values[-1:]
    for _ in range(pool.choices.below(3)):
        outputs.append(pool.choices.pick(pool.values))
    if updates and pool.choices.chance(30):
        outputs.append(pool.choices.pick(updates)[1])
    if pool.choices.chance(15):
        outputs.append(reshape(outputs[-1], shape=(-1,)))
    return tuple(outputs) if pool.failing is None else (pool.failing, *outputs)


# ---- calls
def _resized(pool: Pool) -> Mapping[int, int]:
    return {extent: pool.choices.weighed(EXTENTS) for extent in set(pool.extents)}


def _argument(pool: Pool, leaf: Leaf, sizes: Mapping[int, int]) -> Array:
    """Another value for an input; of another size where its type and `sizes` allow it."""
    if leaf.fill is None:
        return _index(pool, leaf.value) if leaf.value.dtype.kind in "iu" else leaf.value
    pairs = zip(leaf.node.type.shape, leaf.value.shape, strict=True)
    shape = tuple(e if known is not None else sizes.get(e, e) for known, e in pairs)
    if np.prod(shape, dtype=float) > 20_000:
        return leaf.value
    return leaf.fill(pool.choices.rng(), shape, leaf.value.dtype.name)


def _index(pool: Pool, value: Array) -> Array:
    """An index now and then moved, perhaps out of range."""
    if not value.size or not pool.choices.chance(25) or int(np.abs(value).max()) > 100:
        return value
    moved = np.asarray(value.astype("int64") + pool.choices.pick([1, -1, 9, -9]))
    return moved.astype(value.dtype)


def _passed(pool: Pool, leaf: Leaf, value: Array) -> Any:
    """What the call is given: an array in some layout, or a Python number."""
    if not leaf.node.ndim and value.dtype.name in ("float64", "int64", "bool"):
        return value.item() if pool.choices.chance(50) else value
    return laid_out(pool.choices, value)


def _calls(pool: Pool) -> tuple[tuple[Any, ...], ...]:
    first = [leaf.value for leaf in pool.inputs]
    calls = [first]
    for _ in range(pool.choices.below(3)):
        sizes = _resized(pool) if pool.choices.chance(40) else {}
        odd = pool.choices.below(len(first)) if first and pool.choices.chance(15) else -1
        calls.append(
            [
                _argument(pool, leaf, _resized(pool) if place == odd else sizes)
                for place, leaf in enumerate(pool.inputs)
            ]
        )
    return tuple(
        tuple(_passed(pool, leaf, value) for leaf, value in zip(pool.inputs, call, strict=True))
        for call in calls
    )


def draw_program(choices: Choices) -> Program:
    """A program out of choices."""
    pool = Pool(choices)
    for _ in range(1 + choices.below(3)):
        pool.another_leaf()
    for _ in range(1 + choices.below(MOST_STEPS)):
        choices.weighed(STEPS)(pool)
    updates = _updates(pool)
    graph = Graph(
        inputs=tuple(leaf.node for leaf in pool.inputs),
        outputs=_outputs(pool, updates),
        shared=tuple(leaf.node for leaf in pool.shared),
        updates=updates,
    )
    return Program(
        graph=graph,
        state=tuple(leaf.value for leaf in pool.shared),
        calls=_calls(pool),
        mode=choices.pick(LEVELS),
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Random programs."""
    return draw_program(Choices(draw))
