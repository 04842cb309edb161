"""Random graphs with inputs: every form of step, over extents 0, 1, primes and vector widths.

A graph is made from one seed, and always the same. Only graphs that numpy can run are made, so a
difference between numpy and native code is a bug of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exprd_compiler.errors import ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import abs_, add, cast, mul, neg, second, sign, sqr, sub
from exprd_compiler.ops.creation import alloc, iota
from exprd_compiler.ops.index import assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.logic import eq, lt, maximum, minimum
from exprd_compiler.ops.movement import dimshuffle, reshape, shape_i
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import argmax, expand_axes, max_, mean, sum_
from exprd_compiler.ops.transcendental import sigmoid, softplus, tanh

EXTENTS = (0, 1, 2, 3, 5, 7, 16, 17, 33, 64, 67)
DTYPES = ("float64", "float64", "float32", "int64", "int32", "bool")
NUMERIC_ONLY = (neg, abs_, sqr, sign)
UNARY = (*NUMERIC_ONLY, tanh, sigmoid, softplus)
BINARY = (add, mul, sub, maximum, minimum, lt, eq, second)
FOLDS = (sum_, sum_, max_, mean, argmax)


@dataclass
class RandomGraph:
    """A graph in the making: a pool of nodes with the shapes they have at run time."""

    rng: np.random.Generator
    inputs: list[Node] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    pool: list[tuple[Node, tuple[int, ...]]] = field(default_factory=list)

    # ---- choices
    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def keep(self, node: Node, shape: tuple[int, ...]) -> None:
        self.pool.append((node, shape))

    def number(self, node: Node) -> Node:
        return cast(node, dtype="float64") if node.dtype == "bool" else node

    # ---- leaves
    def add_input(self, shape: tuple[int, ...], dtype: str) -> None:
        known = self.chance(0.3)
        static = tuple(e if known or e == 1 else None for e in shape)
        node = input_(type=TensorType(dtype, static))
        self.inputs.append(node)
        self.values.append(self.array(shape, dtype))
        self.keep(node, shape)

    def array(self, shape: tuple[int, ...], dtype: str) -> Array:
        if dtype == "bool":
            return self.rng.integers(0, 2, shape).astype(bool)
        if dtype.startswith("int"):
            return self.rng.integers(-4, 5, shape).astype(dtype)
        array = np.asarray(self.rng.normal(size=shape)).astype(dtype)
        return array if self.chance(0.7) else np.asarray(array[..., ::-1] if shape else array)

    # ---- one more node
    def unary(self, node: Node, shape: tuple[int, ...]) -> None:
        op = self.pick(UNARY)
        self.keep(op(self.number(node) if op in NUMERIC_ONLY else node), shape)

    def binary(self, node: Node, shape: tuple[int, ...]) -> None:
        fitting = [
            (other, have)
            for other, have in self.pool
            if have == shape[len(shape) - len(have) :] and len(have) <= len(shape)
        ]
        other, _ = self.pick(fitting)
        op: Op = self.pick(BINARY)
        a, b = (node, other) if self.chance(0.5) else (other, node)
        if op is sub:
            a, b = self.number(a), self.number(b)
        self.keep(op(a, b), shape)

    def fold(self, node: Node, shape: tuple[int, ...]) -> None:
        if not shape:
            return
        count = int(self.rng.integers(1, len(shape) + 1))
        axes = tuple(sorted(self.rng.choice(len(shape), count, replace=False).tolist()))
        op = self.pick(FOLDS)
        axes = axes[:1] if op is argmax else axes
        if op in (max_, argmax) and any(shape[axis] == 0 for axis in axes):
            return
        folded = op(node, axes=axes)
        self.keep(folded, tuple(e for axis, e in enumerate(shape) if axis not in axes))
        if self.chance(0.7):
            back = expand_axes(folded, axes)
            self.keep(sub(self.number(node), self.number(back)), shape)

    def transpose(self, node: Node, shape: tuple[int, ...]) -> None:
        order = tuple(int(axis) for axis in self.rng.permutation(len(shape)))
        self.keep(dimshuffle(node, order=order), tuple(shape[axis] for axis in order))

    def slice(self, node: Node, shape: tuple[int, ...]) -> None:
        if not shape:
            return
        step, start, stop = (
            self.pick((1, 1, 2, -1, -2)),
            self.pick(range(-3, 4)),
            self.pick((None, -3, 2, 8)),
        )
        entry: tuple[Any, ...] = ("slice", start, stop, step)
        bounds: tuple[Node, ...] = ()
        if self.chance(0.4):
            entry, bounds = ("slice", "next", stop, step), (const(start, "int64"),)
        node = subtensor(node, *bounds, index=(entry,))
        self.keep(node, (len(range(shape[0])[start:stop:step]), *shape[1:]))

    def slice_at_computed(self, node: Node, shape: tuple[int, ...]) -> None:
        """A slice whose bound comes out of a computation, so that the entry must fetch it."""
        whole = [(n, s) for n, s in self.pool if n.dtype == "int64" and s == ()]
        if shape and whole:
            bound, _ = self.pick(whole)
            self.keep_checked(subtensor(node, bound, index=(("slice", None, "next", None),)))

    def keep_checked(self, node: Node) -> None:
        """Keep a node whose run-time shape only running tells."""
        from exprd_compiler.interpret import evaluate_nodes

        given = dict(zip(self.inputs, self.values, strict=True))
        self.keep(node, evaluate_nodes([node], given)[0].shape)

    def flatten(self, node: Node, shape: tuple[int, ...]) -> None:
        if 0 not in shape:
            self.keep(reshape(node, shape=(-1,)), (int(np.prod(shape)),))

    def indexes(self, extent: int) -> Node:
        count = self.pick((1, 4, 33))
        return const(self.rng.integers(-extent, extent, count), "int64")

    def take(self, node: Node, shape: tuple[int, ...]) -> None:
        if shape and shape[0]:
            index = self.indexes(shape[0])
            self.keep(gather(node, index), (index.type.shape[0] or 0, *shape[1:]))

    def put(self, node: Node, shape: tuple[int, ...]) -> None:
        if shape and shape[0] and node.dtype != "bool":
            two = const(2, node.dtype if node.dtype in ("int32", "int64") else "int8")
            mode = self.pick(("set", "inc"))
            if self.chance(0.5):
                self.keep(scatter(node, two, self.indexes(shape[0]), mode=mode), shape)
            else:
                where = (("slice", self.pick((0, 1, -1)), None, self.pick((1, 2, -1))),)
                self.keep(assign(node, two, index=where, mode=mode), shape)

    def product(self, node: Node, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or node.dtype == "bool":
            return
        right = [(n, s) for n, s in self.pool if s[:1] == shape[1:] and len(s) in (1, 2)]
        right = [(n, s) for n, s in right if n.dtype != "bool"]
        if right:
            other, have = self.pick(right)
            self.keep(dot(node, other), (shape[0], *have[1:]))

    def count(self, node: Node, shape: tuple[int, ...]) -> None:
        if shape:
            self.keep(iota(shape_i(node, axis=0)), shape[:1])

    def extent(self, node: Node, shape: tuple[int, ...]) -> None:
        """An extent as a value, seen through a view."""
        if shape:
            axis = self.pick(range(len(shape)))
            views = (dimshuffle(shape_i(node, axis=axis), order=(-1,)), shape_i(node, axis=axis))
            seen = reshape(self.pick(views), shape=(1, 1))
            self.keep(seen, (1, 1))

    def normalize(self, node: Node, shape: tuple[int, ...]) -> None:
        """Several stages over one axis: what is expensive is kept from one to the next."""
        if shape and 0 not in shape:
            axis = self.pick(range(len(shape)))
            op = self.pick((softmax, log_softmax))
            self.keep(op(cast(tanh(node), dtype="float64"), axis=axis), shape)

    def repeat(self, node: Node, shape: tuple[int, ...]) -> None:
        self.keep(alloc(node, shape=(3, *shape)), (3, *shape))


STEPS: tuple[Callable[[RandomGraph, Node, tuple[int, ...]], None], ...] = (
    *[RandomGraph.unary] * 4,
    *[RandomGraph.binary] * 5,
    *[RandomGraph.fold] * 4,
    RandomGraph.transpose,
    RandomGraph.slice,
    RandomGraph.slice_at_computed,
    RandomGraph.flatten,
    RandomGraph.take,
    RandomGraph.put,
    RandomGraph.product,
    RandomGraph.count,
    RandomGraph.extent,
    *[RandomGraph.normalize] * 2,
    RandomGraph.repeat,
)


def random_graph(seed: int) -> tuple[Graph, list[Array]]:
    """The graph of a seed and values for its inputs."""
    made = RandomGraph(np.random.default_rng(seed))
    extents = [made.pick(EXTENTS) for _ in range(3)]
    for _ in range(3):
        rank = int(made.rng.integers(0, 4))
        made.add_input(tuple(made.pick(extents) for _ in range(rank)), made.pick(DTYPES))
    for _ in range(int(made.rng.integers(3, 25))):
        node, shape = made.pick(made.pool)
        if len(shape) > 4 or int(np.prod(shape)) > 100_000:
            continue
        try:
            made.pick(STEPS)(made, node, shape)
        except ShapeError:  # equal at run time, but statically 1 on one side only
            continue
    outputs = [made.pick(made.pool)[0] for _ in range(int(made.rng.integers(1, 5)))]
    return Graph(tuple(made.inputs), (*outputs, made.pool[-1][0])), made.values
