"""Interpret: a graph run node by node with the numpy meanings of its ops.

The oracle of the tests, the reference backend, and the constant folder. It keeps Theano's rule that
numpy does not know, that only axes that are statically 1 broadcast; it never warns and never
changes what it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import (
    CallError,
    CompilerBug,
    ExprdError,
    LimitExceeded,
    MissingInput,
    ShapeError,
)
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.graph import Graph, toposort
from exprd_compiler.ir.lowering import Assign, Gather, Leaf, Library, Scalar, Scatter
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ir.origin import blame
from exprd_compiler.ir.type import Extent, TensorType
from exprd_compiler.ops.choice import choose
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.diagonals import diagonal
from exprd_compiler.ops.einsum import einsum
from exprd_compiler.ops.events import events_met
from exprd_compiler.ops.index import assign, numpy_index
from exprd_compiler.ops.leaves import constant
from exprd_compiler.ops.mixed import index_arrays, pick, put
from exprd_compiler.ops.movement import filled
from exprd_compiler.ops.products import matmul


def evaluate(
    graph: Graph,
    inputs: Sequence[Any],
    shared: Sequence[Any] = (),
    met: list[EventCount] | None = None,
) -> tuple[list[Array], list[Array]]:
    """The outputs of a call, and the new values of the updated variables in order of the updates.

    Args:
        graph: what to run.
        inputs: one array per input.
        shared: the value of each shared variable.
        met: where the events that nodes meet are noted.

    Raises:
        CallError: a value does not fit its leaf.
    """
    for what, leaves, values in (
        ("inputs", graph.inputs, inputs),
        ("shared variables", graph.shared, shared),
    ):
        if len(leaves) != len(values):
            raise CallError(f"{len(values)} values for {len(leaves)} {what}")
    given = dict(zip(graph.leaves, (*inputs, *shared), strict=True))
    values = evaluate_nodes(graph.roots, given, met)
    count = len(graph.outputs)
    return values[:count], values[count:]


def evaluate_nodes(
    nodes: Sequence[Node], given: Mapping[Node, Any], met: list[EventCount] | None = None
) -> list[Array]:
    """The values of nodes as new arrays.

    Args:
        nodes: what to compute.
        given: values of leaves, or of any other nodes, which are then not computed.
        met: where the events that nodes meet are noted.

    Raises:
        CallError: a given value does not fit its node.
        MissingInput: a leaf has no value.
        ExprdError: a node failed; `op` says which, `nodes` or a note says where it was built.
    """
    order = toposort(nodes, stop=lambda node: node in given)
    uses = Counter([*nodes, *(x for node in order if node not in given for x in node.inputs)])
    values: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node in given:
                values[node] = _fitting(node, given[node])
                continue
            arrays = [values[x] for x in node.inputs]
            values[node] = _run(node, arrays)
            if met is not None:
                met += events_met(node, arrays)
            for x in node.inputs:  # a value is dropped after its last use
                uses[x] -= 1
                if not uses[x]:
                    del values[x]
    return [np.array(values[node], order="C") for node in nodes]


def _fitting(node: Node, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype == node.dtype and node.type.accepts(TensorType(node.dtype, array.shape)):
        return array
    name = node.name or f"the {node.op.name}"
    raise CallError(
        f"{name} is {node.type}, got {array.dtype.name}{list(array.shape)}",
        hint="convert the value, or build the graph with another type",
    )


def _run(node: Node, arrays: list[Array]) -> Array:
    """The value of one node, errors told where it was built."""
    try:
        return _value(node, arrays)
    except ExprdError as error:
        blame(error, node)
        raise
    except MemoryError as error:
        raise blame(LimitExceeded(f"not enough memory for {node.type}"), node) from error
    except Exception as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise blame(CompilerBug(f"failed on shapes {shapes}: {error}"), node) from error


def _value(node: Node, arrays: list[Array]) -> Array:
    if isinstance(node.op.lowering, Leaf) and node.op is not constant:
        hint = "make it an input, or give it a value"
        raise MissingInput(f"{node!r} has no value", hint=hint)
    _check_broadcast(node, arrays)
    value = np.asarray(node.op.numpy(*arrays, **node.attributes))
    if value.dtype != node.dtype or not node.type.accepts(TensorType(node.dtype, value.shape)):
        got = f"{value.dtype.name}{list(value.shape)}"
        raise CompilerBug(f"the numpy meaning of {node.type} gave {got}", op=node.op.name)
    return value


# ---- the broadcast rule: an axis that is not statically 1 may be 1, but must not broadcast
def _check_broadcast(node: Node, arrays: list[Array]) -> None:
    match node.op.lowering:
        case Scalar():
            _check_agree(node.inputs, arrays)
        case Gather():
            _check_agree(node.inputs[1:], arrays[1:])
        case Scatter():
            _check_agree(node.inputs[2:], arrays[2:])
            leading = np.broadcast_shapes(*[array.shape for array in arrays[2:]])
            _check_fits(node, 1, arrays, leading + arrays[0].shape[len(arrays) - 2 :])
        case Assign():
            with suppress(IndexError):  # the meaning tells of it
                _check_fits(node, 1, arrays, _written(node, arrays).shape)
        case Library():
            _check_batch(node, arrays)
            if len(arrays) > 2:
                _check_fits(node, 2, arrays, _product_shape(arrays[0].shape, arrays[1].shape))
        case _ if node.op in _CHECKED:
            _CHECKED[node.op](node, arrays)
        case _:
            pass


def _product_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a matrix product over batch axes."""
    return (*np.broadcast_shapes(a[:-2], b[:-2]), *a[-2:-1], *b[1:][-1:])


def _written(node: Node, arrays: list[Array]) -> Array:
    """The view that an assignment writes to."""
    if node.op is assign:
        return np.asarray(arrays[0][numpy_index(node["index"], arrays[2:])])
    place = {name: value for name, value in node.attrs if name != "mode"}
    return np.asarray(diagonal.numpy(arrays[0], **place))


def _check_agree(nodes: Sequence[Node], arrays: Sequence[Array]) -> None:
    """The operands have a common shape."""
    _check_shapes([x.type.shape for x in nodes], [array.shape for array in arrays])


def _check_shapes(statics: Sequence[Sequence[Extent]], shapes: Sequence[tuple[int, ...]]) -> None:
    """Shapes, of which this is known, are one but for what is statically 1."""
    common: dict[int, int] = {}
    for static, shape in zip(statics, shapes, strict=True):
        for axis in range(-len(shape), 0):
            if static[axis] == 1:
                continue
            if common.setdefault(axis, shape[axis]) != shape[axis]:
                place = axis + max(map(len, shapes))
                raise _mismatch(shapes, common[axis], shape[axis], place)


def _check_fits(node: Node, place: int, arrays: list[Array], target: Sequence[int]) -> None:
    """Operand number `place` broadcasts to a shape."""
    shape, static = arrays[place].shape, node.inputs[place].type.shape
    for axis in range(-len(shape), 0):
        if static[axis] != 1 and shape[axis] != target[axis]:
            raise _mismatch((shape, target), target[axis], shape[axis], axis + len(target))


def _check_alloc(node: Node, arrays: list[Array]) -> None:
    _check_fits(node, 0, arrays, [int(e) for e in filled(node["shape"], arrays[1:])])


def _check_indexes(node: Node, arrays: list[Array], first: int) -> None:
    """The arrays of a mixed index, whose inputs begin at number `first`, have a common shape."""
    nodes, values = (index_arrays(node["index"], all_[first:]) for all_ in (node.inputs, arrays))
    _check_agree(nodes, values)


def _check_put(node: Node, arrays: list[Array]) -> None:
    _check_indexes(node, arrays, 2)
    with suppress(IndexError):  # the meaning tells of it
        view = pick.numpy(arrays[0], *arrays[2:], index=node["index"])
        _check_fits(node, 1, arrays, view.shape)


def _check_batch(node: Node, arrays: list[Array]) -> None:
    """The axes before the last two of both factors have a common shape."""
    statics = [x.type.shape[:-2] for x in node.inputs[:2]]
    _check_shapes(statics, [array.shape[:-2] for array in arrays[:2]])


def _check_labelled(node: Node, arrays: list[Array]) -> None:
    """The axes of one label have a common extent."""
    found: dict[int, list[tuple[Extent, int]]] = {}
    for x, array, labels in zip(node.inputs, arrays, node["operands"], strict=True):
        for label, static, extent in zip(labels, x.type.shape, array.shape, strict=True):
            found.setdefault(label, []).append((static, extent))
    for pairs in found.values():
        _check_shapes([(static,) for static, _ in pairs], [(extent,) for _, extent in pairs])


# The compositions that broadcast, and how far.
_CHECKED: Final[Mapping[Op, Callable[[Node, list[Array]], None]]] = MappingProxyType(
    {
        alloc: _check_alloc,
        choose: lambda node, arrays: _check_agree(node.inputs, arrays),
        matmul: _check_batch,
        einsum: _check_labelled,
        pick: lambda node, arrays: _check_indexes(node, arrays, 1),
        put: _check_put,
    }
)


def _mismatch(shapes: Sequence[Sequence[int]], a: int, b: int, axis: int) -> ShapeError:
    written = " and ".join(str(tuple(shape)) for shape in shapes)
    return ShapeError(
        f"input dimension mis-match of shapes {written}: extents {a} and {b} on axis {axis} differ",
        hint="only axes that are statically 1 broadcast",
    )
