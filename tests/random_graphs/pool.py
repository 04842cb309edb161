"""Pool: a random program in the making, its leaves and every value so far with its noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from exprd_compiler.errors import CompilerBug, ExprdError
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import const, input_, shared
from tests.random_graphs.choices import Choices
from tests.random_graphs.noise import Tracked, Unjudged, given, is_sound, run
from tests.random_graphs.values import Fill, fills, overlapping

DTYPES: Final = (
    (6, "float64"),
    (4, "float32"),
    (3, "int64"),
    (2, "int32"),
    (2, "bool"),
    (1, "int8"),
    (1, "uint8"),
    (1, "int16"),
    (1, "uint16"),
    (1, "uint32"),
    (1, "uint64"),
    (1, "float16"),
    (1, "bfloat16"),
    (1, "complex64"),
    (1, "complex128"),
)
EXTENTS: Final = (
    (4, 3),
    (3, 5),
    (3, 2),
    (2, 1),
    (2, 0),
    (3, 7),
    (3, 17),
    (2, 37),
    (2, 64),
    (2, 101),
)
MOST: Final = 20_000  # elements of a leaf
ERRORS: Final = 40  # percent of the errors met on the way that the program keeps
Kind: TypeAlias = Literal["input", "shared", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An input or shared variable.

    Attributes:
        node: the leaf of the graph.
        value: its first value.
        fill: where further values come from; None for indexes, which stay what they are.
    """

    node: Node
    value: Array
    fill: Fill | None


@dataclass(slots=True)
class Pool:
    """A program in the making.

    Attributes:
        choices: where everything is drawn from.
        inputs: the inputs, in order.
        shared: the shared variables, in order of their slots.
        values: the values from which further ones are made.
        seen: every value computed so far, with its noise.
        failing: a value that numpy refuses to compute, if the program is to have one.
        extents: from which the shapes of new leaves are drawn: few, so that many fit together.
    """

    choices: Choices
    inputs: list[Leaf] = field(default_factory=list)
    shared: list[Leaf] = field(default_factory=list)
    values: list[Node] = field(default_factory=list)
    seen: dict[Node, Tracked] = field(default_factory=dict)
    failing: Node | None = None
    extents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.extents = tuple(self.choices.weighed(EXTENTS) for _ in range(2))
        if self.choices.chance(8):
            self.extents += (self.choices.pick([1009, 4096, 10_007]),)

    # ---- leaves
    def dtype(self) -> str:
        """A dtype."""
        return self.choices.weighed(DTYPES)

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        """A shape of few extents and not too many elements."""
        if rank is None:
            rank = self.choices.weighed(((3, 1), (4, 2), (2, 0), (2, 3), (1, 4)))
        shape = tuple(self.choices.pick(self.extents) for _ in range(rank))
        return shape if np.prod(shape, dtype=float) <= MOST else (2,) * rank

    def leaf(
        self,
        value: Array,
        fill: Fill | None,
        kind: Kind | None = None,
        *,
        static: Sequence[int | None] | None = None,
    ) -> Node:
        """A new leaf with a value; where `static` is not given some extents are known."""
        kind = kind or self.choices.weighed(((6, "input"), (2, "shared"), (1, "constant")))
        if kind == "constant":
            node = const(value)
        elif kind == "shared":
            ones = tuple(1 if e == 1 and not self.choices.chance(20) else None for e in value.shape)
            node = shared(type=TensorType(value.dtype.name, ones))
            self.shared.append(Leaf(node=node, value=value, fill=fill))
        else:
            known = tuple(static) if static is not None else self._static(value.shape)
            node = input_(type=TensorType(value.dtype.name, known))
            self.inputs.append(Leaf(node=node, value=value, fill=fill))
        self.seen[node] = given(value)
        self.values.append(node)
        return node

    def _static(self, shape: Sequence[int]) -> tuple[int | None, ...]:
        known = self.choices.chance(25)
        one = known or not self.choices.chance(25)
        return tuple(e if known or (e == 1 and one) else None for e in shape)

    def another_leaf(self) -> Node:
        """A leaf; sometimes over the memory of another."""
        if self.inputs and self.choices.chance(20):
            twin = self.choices.pick(self.inputs)
            return self.leaf(twin.value, twin.fill, "input")
        return self.new_leaf()

    def new_leaf(self, rank: int | None = None, dtype: str = "") -> Node:
        """A leaf of any kind, of this rank and dtype where they are given."""
        dtype, shape = dtype or self.dtype(), self.shape(rank)
        fill = self.choices.weighed(fills(dtype))
        if shape and self.choices.chance(10):
            first, second = overlapping(self.choices.rng(), fill, shape, dtype)
            self.leaf(first, fill, "input")
            return self.leaf(second, fill, "input")
        return self.leaf(fill(self.choices.rng(), shape, dtype), fill)

    # ---- choosing
    def pick(self, fits: Callable[[Node], bool] = lambda _: True) -> Node | None:
        """One of the values that fit, a late one more often."""
        found = [node for node in self.values if fits(node)]
        if not found:
            return None
        if self.choices.chance(50):
            found = found[-4:]
        return self.choices.pick(found)

    def value(self, node: Node) -> Array:
        """What a node of the pool is."""
        return self.seen[node].value

    # ---- keeping
    def keep(self, node: Node) -> bool:
        """Take a value in, with all that it is made of, unless a compiler cannot be judged by it.

        Raises:
            CompilerBug: numpy does not know a meaning.
        """
        new: dict[Node, Tracked] = {}
        for item in toposort([node], stop=lambda n: n in self.seen):
            if item in self.seen:
                continue
            operands = [new[x] if x in new else self.seen[x] for x in item.inputs]
            try:
                new[item] = run(item, operands)
            except Unjudged:
                return False
            except CompilerBug:
                raise
            except ExprdError:
                if self.failing is None and self.choices.chance(ERRORS):
                    self.failing = node
                return False
            if not is_sound(new[item]):
                return False
        self.seen.update(new)
        self.values.append(node)
        return True
