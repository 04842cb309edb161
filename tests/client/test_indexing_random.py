"""Random indexes mean what numpy means by them, when read and when written."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import exprd.tensor as T
from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.reduce import sum_

CUBE = np.arange(60.0).reshape(3, 4, 5)
WIDE = np.arange(120.0).reshape(2, 3, 4, 5)


def bounds(extent: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(-extent - 2, extent + 2)


def slices(extent: int) -> st.SearchStrategy[slice]:
    steps = st.none() | st.sampled_from([1, 2, 3, -1, -2, -7])
    return st.builds(slice, bounds(extent), bounds(extent), steps)


def seeded(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 1000)))


@st.composite
def indexes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index with slices, positions, arrays that broadcast, or one mask, and new axes."""
    common = draw(st.sampled_from([(2,), (1,), (2, 3), (0,)]))
    masked = draw(st.booleans())
    index: list[Any] = []
    axis, count = 0, draw(st.integers(0, len(shape)))
    while axis < count:
        extent = shape[axis]
        match draw(st.sampled_from(["slice", "at", "array", "slice", "array"])):
            case "slice":
                index.append(draw(slices(extent)))
            case "at":
                index.append(draw(st.integers(-extent, extent - 1)))
            case _ if masked:
                # the other arrays of the index would have to be as long as the mask has places
                rank = draw(st.integers(1, min(2, count - axis)))
                index.append(seeded(draw).integers(0, 2, shape[axis : axis + rank]) > 0)
                axis += rank - 1
                count = 0
            case _:
                index.append(array(draw, extent, common))
        axis += 1
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), Ellipsis)
        index = index if numpy_takes(shape, index) else [e for e in index if e is not Ellipsis]
    for _ in range(draw(st.integers(0, 2))):
        index.insert(draw(st.integers(0, len(index))), None)
    return tuple(index)


def numpy_takes(shape: tuple[int, ...], index: list[Any]) -> bool:
    try:
        np.zeros(shape)[tuple(index)]
    except IndexError:
        return False
    return True


def array(draw: st.DrawFn, extent: int, shape: tuple[int, ...]) -> Any:
    return seeded(draw).integers(-extent, extent, shape)


def symbolic(index: tuple[Any, ...], feed: dict[Any, Any], *, hide: bool) -> tuple[Any, ...]:
    """The index with a variable in the place of what is known now."""

    def hidden(value: Any) -> Any:
        if not hide or value is None:
            return value
        if np.asarray(value).dtype == bool:
            v = T.tensor(dtype="bool", shape=(None,) * np.ndim(value))
            feed[v.node] = np.asarray(value)
            return v
        v = T.tensor(dtype="int64", shape=tuple(1 if n == 1 else None for n in np.shape(value)))
        feed[v.node] = np.asarray(value, "int64")
        return v

    def entry(e: Any) -> Any:
        if e is None or e is Ellipsis:
            return e
        if isinstance(e, slice):
            return slice(hidden(e.start), hidden(e.stop), hidden(e.step))
        return hidden(e)

    return tuple(map(entry, index))


def values(node: Node, feed: dict[Any, Any]) -> list[Any]:
    """What a node means, and what the ops that it is made of mean."""
    meanings = [node]
    if isinstance(node.op.lowering, Expand):
        meanings.append(node.op.lowering.body(*node.inputs, **node.attributes))
    return evaluate_nodes(meanings, feed)


def numpy_written(x: Any, index: tuple[Any, ...], value: Any, mode: str) -> Any:
    out = x.copy()
    if mode == "set":
        out[index] = value
        return out
    where = np.arange(x.size).reshape(x.shape)[index]
    np.add.at(out.reshape(-1), where, value)
    return out


@settings(max_examples=500, deadline=None, derandomize=True)
@given(data=st.data(), base=st.sampled_from([CUBE, WIDE]), hide=st.booleans())
def test_getitem(data: st.DataObject, base: Any, hide: bool) -> None:
    index = data.draw(indexes(base.shape))
    x = T.tensor(dtype="float64", shape=(None,) * base.ndim)
    feed: dict[Any, Any] = {x.node: base}
    out = x[symbolic(index, feed, hide=hide)]
    for got in values(out.node, feed):
        np.testing.assert_array_equal(got, base[index])
    assert out.ndim == base[index].ndim


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    data=st.data(),
    base=st.sampled_from([CUBE, WIDE]),
    hide=st.booleans(),
    mode=st.sampled_from(["set", "inc"]),
    scalar=st.booleans(),
)
def test_writing_to_what_an_index_shows(
    data: st.DataObject, base: Any, hide: bool, mode: str, scalar: bool
) -> None:
    index = data.draw(indexes(base.shape))
    x = T.tensor(dtype="float64", shape=(None,) * base.ndim)
    feed: dict[Any, Any] = {x.node: base}
    view = x[symbolic(index, feed, hide=hide)]
    shape = base[index].shape
    value = np.asarray(7.0) if scalar else np.arange(float(np.prod(shape))).reshape(shape)
    y = T.tensor(dtype="float64", shape=tuple(1 if n == 1 else None for n in value.shape))
    feed[y.node] = value
    write = T.inc_subtensor if mode == "inc" else T.set_subtensor
    for got in values(write(view, y).node, feed):
        np.testing.assert_array_equal(got, numpy_written(base, index, value, mode))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), hide=st.booleans(), mode=st.sampled_from(["set", "inc"]))
def test_gradients_of_reading_and_writing(data: st.DataObject, hide: bool, mode: str) -> None:
    """Both are linear, so a gradient is what the transposed matrix says."""
    index = data.draw(indexes(CUBE.shape))
    shape = CUBE[index].shape
    x, y = T.tensor3("x"), T.tensor(dtype="float64", shape=shape)
    feed: dict[Any, Any] = {x.node: CUBE, y.node: np.ones(shape)}
    view = x[symbolic(index, feed, hide=hide)]
    weights = np.random.default_rng(0).normal(size=CUBE.shape)
    numbers = np.arange(60).reshape(CUBE.shape)[index]
    axes = tuple(range(3))
    read = mul(view.node, const(weights.reshape(-1)[numbers], "float64"))
    cost = sum_(read, axes=tuple(range(len(shape))))
    (slope,) = evaluate_nodes(grad(cost, [x.node]), feed)
    wanted = np.zeros(60)
    np.add.at(wanted, numbers, weights.reshape(-1)[numbers])
    np.testing.assert_allclose(slope.reshape(-1), wanted)
    write = T.inc_subtensor if mode == "inc" else T.set_subtensor
    cost = sum_(mul(write(view, y).node, const(weights, "float64")), axes=axes)
    of_x, of_y = evaluate_nodes(grad(cost, [x.node, y.node]), feed)
    kept = weights.copy().reshape(-1)
    last = np.arange(numbers.size).reshape(numbers.shape)
    lasting = np.ones(numbers.shape, bool)
    if mode == "set":
        kept[numbers] = 0
        winner = np.zeros(60, "int64")
        winner[numbers] = last
        lasting = winner[numbers] == last
    np.testing.assert_allclose(of_x.reshape(-1), kept)
    np.testing.assert_allclose(of_y, np.where(lasting, weights.reshape(-1)[numbers], 0))
