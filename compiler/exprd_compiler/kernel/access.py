"""Access: how a node reads the elements of its inputs, dimension by dimension.

One walk serves grouping and lowering, so both see the same dependencies. A label stands for a
dimension of the node that is being computed; None stands for an axis of one element.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from exprd_compiler.ir.lowering import (
    ArgReduce,
    Assign,
    Gather,
    Generate,
    Join,
    Reduce,
    Scalar,
    Scan,
    Scatter,
)
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.shapes import Shapes, value_inputs

Labels: TypeAlias = tuple[int | None, ...]


def elementwise(node: Node) -> bool:
    """Whether a kernel computes the node element by element."""
    return isinstance(node.op.lowering, Scalar | Gather | Generate)


def folding(node: Node) -> bool:
    """Whether the node is a fold over axes."""
    return isinstance(node.op.lowering, Reduce | ArgReduce)


def moves_axes(node: Node) -> bool:
    """Whether the node is a view that only permutes, inserts or repeats axes."""
    return node.op.name in ("dimshuffle", "alloc", "specify_shape", "hide_extents")


def domain(node: Node, shapes: Shapes) -> Labels:
    """The labels of what a node iterates over: its own dimensions, or its input's for a fold."""
    extents = shapes[node.inputs[0]] if folding(node) else shapes[node]
    return tuple(None if e.known == 1 else i for i, e in enumerate(extents))


def operands(node: Node, labels: Labels, shapes: Shapes) -> Iterator[tuple[Node, Labels | None]]:
    """The inputs of a node under labels; None instead of labels where a whole buffer is needed.

    Args:
        node: any node.
        labels: one per entry of its domain.
        shapes: extents.
    """
    if isinstance(node.op.lowering, Assign | Scatter | Scan):
        x, *others = value_inputs(node)
        yield x, align(x, labels, shapes)
        yield from _written(others, labels, shapes)
        return
    if isinstance(node.op.lowering, Join):
        yield from _written(node.inputs, labels, shapes)
        return
    if isinstance(node.op.lowering, Gather):
        data, *indexes = node.inputs
        yield data, None
        lead = labels[: node.ndim - data.ndim + len(indexes)]
        for index in indexes:
            yield index, align(index, lead, shapes)
        return
    for child in value_inputs(node):
        if moves_axes(node) and node.op.name == "dimshuffle":
            place = {axis: labels[i] for i, axis in enumerate(node["order"]) if axis >= 0}
            yield child, tuple(place.get(axis) for axis in range(child.ndim))
        elif elementwise(node) or folding(node) or moves_axes(node):
            yield child, align(child, labels, shapes)
        else:
            yield child, None


def _written(
    nodes: Iterable[Node], labels: Labels, shapes: Shapes
) -> Iterator[tuple[Node, Labels]]:
    """What is written to parts of a node; positions in a part are dimensions of their own."""
    for child in nodes:
        yield (
            child,
            tuple(
                None if extent.known == 1 else len(labels) + axis
                for axis, extent in enumerate(reversed(shapes[child]))
            )[::-1],
        )


def align(child: Node, labels: Labels, shapes: Shapes) -> Labels:
    """Labels of a value that broadcasts, aligned on the right, to dimensions that carry labels."""
    extents = shapes[child]
    tail = labels[len(labels) - len(extents) :]
    return tuple(
        None if extent.known == 1 else label for extent, label in zip(extents, tail, strict=True)
    )
