"""What a call takes, told beforehand: the very bytes that native code counts, and the limit."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from exprd_compiler.backends.executable import Executable
from exprd_compiler.driver import Artifact, compile_artifact, link
from exprd_compiler.errors import LimitExceeded, ShapeError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.memory import MemoryPlan
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.masks import flatnonzero
from exprd_compiler.ops.movement import dimshuffle, reshape
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.sorting import sort
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.options import CompileOptions

MATRIX = TensorType("float64", (None, None))
COUNT = TensorType("int64", ())


def matrix():
    return input_(type=MATRIX)


def layers(x):
    """Two products with something between them: temporaries that cannot share memory."""
    return dot(exp(dot(x, dimshuffle(x, order=(1, 0)))), softmax(x, axis=1))


def linked(graph: Graph, room: int = 0) -> Executable:
    # as a server has it: from bytes
    artifact = Artifact.from_bytes(compile_artifact(graph, CompileOptions()).to_bytes())
    return link(artifact, room)


GRAPHS = {
    "elementwise": lambda x: (exp(x), add(x, x)),
    "products": lambda x: (layers(x), sum_(layers(x), axes=(0, 1))),
    "sorted": lambda x: (sort(x, descending=False),),
    "reshaped": lambda x: (reshape(dimshuffle(exp(x), order=(1, 0)), shape=(-1,)),),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("shape", [(3, 5), (40, 20)])
def test_the_need_is_what_native_code_takes_and_one_byte_less_is_too_little(name, shape, rng):
    x = matrix()
    graph = Graph((x,), tuple(GRAPHS[name](x)))
    free, value = linked(graph), rng.standard_normal(shape)
    expected = free([value])
    need = free.need(shape)
    assert free._idle[0].memory()[0] == need.nbytes > 0
    enough, little = linked(graph, need.nbytes), linked(graph, need.nbytes - 1)
    for _ in range(3):  # what slots hold already is not counted twice
        for a, b in zip(enough([value]), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(LimitExceeded) as caught:
        little([value])
    assert caught.value.fields == {
        "limit": "call_bytes",
        "estimate": str(need.nbytes),
        "allowed": str(need.nbytes - 1),
    }
    assert not little._idle  # nothing was allocated


def test_the_error_names_the_largest_value_and_what_makes_it():
    x = matrix()
    product = dot(x, dimshuffle(x, order=(1, 0)))
    product.origin = 7
    run = linked(Graph((x,), (sum_(exp(product), axes=(0, 1)),)), 1 << 20)
    with pytest.raises(LimitExceeded) as caught:
        run([np.ones((1000, 2))])
    assert "its largest value is float64[1000, 1000] of gemm" in caught.value.message
    assert "would take 8000008 bytes of memory, above the limit of 1048576" in caught.value.message
    assert (caught.value.op, caught.value.nodes) == ("gemm", (7,))
    assert run([np.ones((100, 2))])[0] > 0


def test_new_values_count():
    w, x = shared(type=MATRIX), matrix()
    run = linked(Graph((x,), (), (w,), ((0, add(w, x)),)), 799)
    with pytest.raises(LimitExceeded, match="would take 800 bytes"):
        run([np.ones((10, 10)), np.ones((10, 10))])


def test_a_size_that_comes_with_the_values_is_checked_when_it_is_known():
    n, x = input_(type=COUNT), input_(type=TensorType("float64", (None,)))
    run = linked(
        Graph((n, x), (exp(x), alloc(const(1.0, "float64"), n, n, shape=(None, None)))), 1 << 20
    )
    assert run([np.int64(10), np.ones(5)])[1].shape == (10, 10)
    with pytest.raises(LimitExceeded) as caught:
        run([np.asarray(40_000), np.ones(5)])  # 12.8 GB
    assert "had come to need 12800000040 bytes" in caught.value.message
    assert "the last of them for float64[40000, 40000] of " in caught.value.message
    assert run([np.int64(10), np.ones(5)])[1].shape == (10, 10)
    found = linked(Graph((x,), (flatnonzero(x),)), 1500)
    assert len(found([np.repeat([0.0, 1.0], 100)])[0]) == 100
    with pytest.raises(LimitExceeded, match=r"need 1\d{3} bytes"):
        found([np.ones(201)])


def test_beyond_all_memory_without_a_limit():
    n = input_(type=COUNT)
    run = linked(Graph((n,), (alloc(const(1.0, "float64"), n, n, shape=(None, None)),)))
    with pytest.raises(LimitExceeded, match=r"float64.* is larger than memory allows"):
        run([np.asarray(1 << 40)])


def test_shapes_that_do_not_fit_are_told_as_such():
    x, y = matrix(), matrix()
    run = linked(Graph((x, y), (add(x, y),)), 1 << 20)
    with pytest.raises(ShapeError):
        run([np.ones((2, 3)), np.ones((3, 3))])


def test_many_shapes_are_not_all_remembered():
    x = matrix()
    run = linked(Graph((x,), (exp(x),)), 1 << 20)
    for rows in range(1, 600):
        run([np.ones((rows, 1))])
    assert len(run._needs) < 300


@pytest.mark.parametrize(("rows", "most"), [(4, 8), (400, 2)])
def test_what_many_calls_at_a_time_have_grown_is_given_back(rows, most):
    x = matrix()
    run = linked(Graph((x,), (layers(x),)))
    value = np.ones((rows, 400))
    expected = run([value])[0]
    inside = threading.Barrier(8)

    def held_up(native, _stop):
        inside.wait(20)
        return native()

    def call(_number):
        return run.run([value], held_up)[0][0]

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(call, range(8)):
            np.testing.assert_array_equal(found, expected)
    assert len(run._idle) == most


def test_a_plan_survives_its_json():
    x = matrix()
    plan = compile_artifact(Graph((x,), (layers(x),)), CompileOptions()).interface.memory
    assert MemoryPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
