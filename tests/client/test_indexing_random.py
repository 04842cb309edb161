"""Random indexes mean what numpy means by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import exprd.tensor as T
from exprd.errors import GraphError
from exprd_compiler.interpret import evaluate_nodes

CUBE = np.arange(60.0).reshape(3, 4, 5)


def bounds(extent: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(-extent - 2, extent + 2)


def entries(extent: int, arrays: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    steps = st.none() | st.sampled_from([1, 2, 3, -1, -2])
    slices = st.builds(slice, bounds(extent), bounds(extent), steps)
    positions = st.integers(-extent, extent - 1)
    return st.one_of(slices, positions, arrays.map(lambda a: a % extent - extent * (a % 2)))


@st.composite
def indexes(draw: st.DrawFn) -> tuple[Any, ...]:
    # arrays of one index must broadcast together, so all have one shape or lengths of 1
    shape = draw(st.sampled_from([(2,), (1,), (2, 3), (0,)]))
    arrays = st.integers(0, 1000).map(
        lambda seed: np.random.default_rng(seed).integers(0, 100, shape)
    )
    count = draw(st.integers(0, 3))
    index = [draw(entries(extent, arrays)) for extent in CUBE.shape[:count]]
    if draw(st.booleans()) and count < 3:
        index.append(Ellipsis)
    if not any(isinstance(entry, np.ndarray) for entry in index):
        for _ in range(draw(st.integers(0, 2))):
            index.insert(draw(st.integers(0, len(index))), None)
    return tuple(index)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(index=indexes(), symbolic=st.booleans())
def test_getitem(index: tuple[Any, ...], symbolic: bool) -> None:
    x = T.tensor3("x")
    feed: dict[Any, Any] = {x.node: CUBE}

    def hidden(value: Any) -> Any:
        """A variable in the place of a number that is known now."""
        if not symbolic or value is None or isinstance(value, slice):
            return value
        v = T.tensor(dtype="int64", shape=(None,) * np.ndim(value))
        feed[v.node] = np.asarray(value, "int64")
        return v

    key = tuple(
        slice(hidden(e.start), hidden(e.stop), e.step)
        if isinstance(e, slice)
        else (e if e is Ellipsis else hidden(e))
        for e in index
    )
    out = x[key]
    (got,) = evaluate_nodes([out.node], feed)
    np.testing.assert_array_equal(got, CUBE[index])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(index=indexes(), increase=st.booleans())
def test_writing_to_what_an_index_shows(index: tuple[Any, ...], increase: bool) -> None:
    x = T.tensor3("x")
    view = x[index]
    write = T.inc_subtensor if increase else T.set_subtensor
    try:
        out = write(view, 7.0)
    except GraphError:  # through slices and arrays at once, which is refused; or the index is ()
        return
    wanted = CUBE.copy()
    basic = tuple(e for e in index if e is not None)
    if increase:
        np.add.at(wanted, basic, 7.0)
    else:
        wanted[basic] = 7.0
    (got,) = evaluate_nodes([out.node], {x.node: CUBE})
    np.testing.assert_array_equal(got, wanted)
