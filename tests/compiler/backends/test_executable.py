"""Calling native code: what it takes, what it gives back, who owns the memory, many at a time."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.backends.addresses import data_address
from exprd_compiler.backends.executable import Executable
from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import CallError, Cancelled, IndexOutOfRange, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, sub
from exprd_compiler.ops.index import gather, subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.options import CompileOptions
from tests.compiler.native import leaf, native, numpys


def added() -> Executable:
    x, y = leaf(1), leaf(1)
    return native([x, y], add(x, y))


# ---- arguments
def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    raw = np.empty(a.nbytes + 1, "uint8")
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def strided(a: np.ndarray) -> np.ndarray:
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": np.copy,
    "transposed": lambda a: np.asfortranarray(a),
    "strided": strided,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read only": read_only,
    "unaligned": unaligned,
    "big endian copy": lambda a: a.astype(">f8").astype("float64"),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (0, 4), (4, 0), (33, 65)])
def test_an_argument_may_lie_in_memory_in_any_way(
    form: str, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    x, y = leaf(2), leaf(2)
    outputs = [add(mul(x, y), const(1.0)), dot(dimshuffle(x, order=(1, 0)), y), sum_(x, axes=(0,))]
    function = native([x, y], *outputs)
    values = [FORMS[form](rng.normal(size=shape)) for _ in range(2)]
    kept = [v.copy() for v in values]
    for got, want in zip(function(values), numpys([x, y], outputs, values), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    for value, before in zip(values, kept, strict=True):
        np.testing.assert_array_equal(value, before)


def test_one_array_may_be_passed_twice() -> None:
    a = np.arange(5.0)
    (got,) = added()([a, a])
    np.testing.assert_array_equal(got, a + a)


def test_scalars_are_arrays_of_rank_0() -> None:
    x, y = leaf(0), leaf(1)
    function = native([x, y], exp(x), add(x, y))
    one, many = function([np.array(2.0), np.arange(3.0)])
    assert one.shape == ()
    assert one == pytest.approx(np.exp(2))
    np.testing.assert_array_equal(many, [2, 3, 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "takes 2 arguments, got 0"),
        ([np.zeros(2)], "takes 2 arguments, got 1"),
        ([np.zeros(2), np.zeros(2, "float32")], "argument 1 is float32[2], expected float64[?]"),
        ([np.zeros((2, 1)), np.zeros(2)], "argument 0 is float64[2, 1], expected float64[?]"),
        ([np.zeros(2, ">f8"), np.zeros(2)], "argument 0 is >f8[2], expected float64[?]"),
    ],
)
def test_an_argument_of_another_type_is_refused(arguments: list[np.ndarray], message: str) -> None:
    with pytest.raises(CallError) as caught:
        added()(arguments)
    assert caught.value.message == message


def test_an_extent_that_is_known_is_checked() -> None:
    x = input_(type=TensorType("float64", (3, None)))
    x.name = "x"
    function = native([x], exp(x))
    with pytest.raises(ShapeError, match=r"argument 0 \('x'\) is float64\[2, 2\]"):
        function([np.zeros((2, 2))])


# ---- results
def test_results_outlive_the_function_and_own_their_memory() -> None:
    function = added()
    a = np.arange(1000.0)
    (result,) = function([a, a])
    view = result[10:20]
    del function, result
    gc.collect()
    np.testing.assert_array_equal(view, 2 * a[10:20])
    view += 1
    np.testing.assert_array_equal(view, 2 * a[10:20] + 1)


def test_every_output_is_memory_of_its_own() -> None:
    x = leaf(1)
    x.name = "x"
    y = exp(x)
    fixed = const(np.arange(3.0))
    outputs = [x, y, y, subtensor(x, index=(("slice", 1, None, None),)), fixed, fixed]
    value = np.arange(4.0)
    got = native([x], *outputs)([value])
    for array, want in zip(got, numpys([x], outputs, [value]), strict=True):
        np.testing.assert_allclose(array, want, rtol=1e-14)
    for array in got:
        array[...] = -1
    np.testing.assert_array_equal(value, np.arange(4.0))
    for array, want in zip(
        native([x], *outputs)([value]), numpys([x], outputs, [value]), strict=True
    ):
        np.testing.assert_allclose(array, want, rtol=1e-14)


def test_a_function_may_give_nothing() -> None:
    x = leaf(1)
    assert native([x])([np.zeros(3)]) == []


def test_new_values_come_behind_the_outputs() -> None:
    w, x = shared(type=TensorType("float64", (None,))), leaf(1)
    graph = Graph((x,), (sum_(x, axes=(0,)),), (w,), ((0, sub(w, x)),))
    function = compile_graph(graph, CompileOptions()).executable
    total, new = function([np.arange(3.0), np.ones(3)])
    assert total == 3
    np.testing.assert_array_equal(new, [1, 0, -1])


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_memory_does_not_grow_with_calls_that_fail_or_succeed(rng: np.random.Generator) -> None:
    x, y, index = leaf(2), leaf(2), leaf(1, "int64")
    product = dot(exp(x), y)
    function = native([x, y, index], product, gather(product, index))
    a, b = rng.normal(size=(2, 50, 50))
    good, bad = np.arange(50), np.arange(50) + 1

    def calls(count: int) -> None:
        for _ in range(count):
            function([a, b, good])
            with pytest.raises(IndexOutOfRange):
                function([a, b, bad])
            with pytest.raises(ShapeError):
                function([a, b[:3], good])

    calls(300)
    before = resident_kib()
    calls(3000)
    assert resident_kib() - before < 2000


# ---- at the same time
def test_many_threads_may_call_one_function(rng: np.random.Generator) -> None:
    x, y = leaf(2), leaf(2)
    function = native([x, y], sum_(exp(dot(x, y)), axes=(1,)))
    sizes = [1, 7, 33, 64]
    values = [[rng.normal(size=(n, n)) / n for _ in range(2)] for n in sizes]
    wanted = [np.exp(a @ b).sum(1) for a, b in values]
    start = threading.Barrier(8)

    def work(first: int) -> None:
        start.wait()
        for i in range(200):
            k = (first + i) % len(sizes)
            np.testing.assert_allclose(function(values[k])[0], wanted[k], rtol=1e-12)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, first) for first in range(8)]:
            future.result()


def test_a_call_that_is_cancelled_stops_between_steps() -> None:
    x = leaf(1)
    function = native([x], exp(x), sum_(x, axes=(0,)))
    function([np.zeros(3)])
    context = function._idle[-1]
    context.cancel()
    with pytest.raises(Cancelled):
        function([np.zeros(3)])
    assert context not in function._idle  # its flag stays set, so it must not run again
    assert function([np.zeros(3)])[1] == 0


def test_an_address_is_the_one_that_numpy_announces(rng: np.random.Generator) -> None:
    base = rng.normal(size=(4, 5, 6))
    frozen = read_only(base)
    for array in (base, base[1:], base[::-1, ::2], base.T, frozen, np.zeros(()), base[:0]):
        assert data_address(array) == array.__array_interface__["data"][0]


def test_a_subclass_and_a_scalar_of_numpy_are_arrays_too() -> None:
    x, y = leaf(2), leaf(0)
    masked = np.ma.masked_array(np.ones((2, 2)), mask=True)
    (got,) = native([x, y], add(x, y))([masked, np.float64(1.5)])
    np.testing.assert_array_equal(got, np.full((2, 2), 2.5))
