"""The native side of calls does what the calls through ctypes do, and leaves nothing behind."""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np
import pytest

from exprd_compiler.backends.executable import Executable, owns_memory
from exprd_compiler.backends.native_call import is_owner, native_calls
from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, neg
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.options import CompileOptions

MIB = 2**20


@pytest.fixture(scope="module")
def both() -> tuple[Executable, Executable]:
    """One function of a matrix of three columns and a vector, by either way."""
    x = input_(type=TensorType("float64", (None, 3)))
    y = input_(type=TensorType("int32", (None,)))
    graph = Graph((x, y), (neg(x), sum_(x, axes=(0, 1)), add(y, y)))
    ways = [compile_graph(graph, CompileOptions()).executable for _ in range(2)]
    native, plain = (way for way in ways if isinstance(way, Executable))
    plain._bind = None
    return native, plain


class Sub(np.ndarray):
    """A class of arrays of somebody else."""


X, Y = np.arange(6.0).reshape(2, 3), np.arange(4, dtype="int32")
ARGUMENTS: dict[str, list[Any]] = {
    "plain": [X, Y],
    "empty": [X[:0], Y[:0]],
    "strided": [X[::-1], Y[::2]],
    "of another class": [X.view(Sub), Y],
    "read only": [np.frombuffer(X.tobytes()).reshape(2, 3), Y],
    "too few": [X],
    "too many": [X, Y, Y],
    "none": [],
    "of another dtype": [X.astype("float32"), Y],
    "of the same size": [X, Y.view("uint32")],
    "of another byte order": [X, Y.astype(">i4")],
    "of another rank": [X[0], Y],
    "of other extents": [X[:, :2], Y],
}


def test_this_interpreter_has_a_native_side() -> None:
    assert native_calls() is not None


def outcome(function: Executable, arguments: list[Any]) -> tuple[Any, ...]:
    try:
        found = function(arguments)
    except ExprdError as error:
        return type(error), str(error)
    return tuple((a.dtype, a.shape, a.strides, a.tobytes(), a.flags.num) for a in found)


@pytest.mark.parametrize("which", ARGUMENTS)
def test_both_ways_agree(both: tuple[Executable, Executable], which: str) -> None:
    native, plain = both
    first = outcome(native, ARGUMENTS[which])
    assert first == outcome(plain, ARGUMENTS[which])
    assert outcome(native, ARGUMENTS["plain"]) == outcome(plain, ARGUMENTS["plain"])


def test_results_have_their_memory_to_themselves(both: tuple[Executable, Executable]) -> None:
    for function in both:
        assert all(owns_memory(array) for array in function([X, Y]))
    (result, *_) = both[0]([X, Y])
    assert is_owner(result.base)
    assert not is_owner(sys.__stdout__)
    assert not is_owner(np.zeros(1).__array_struct__)  # a capsule of somebody else


def test_nothing_is_left_behind() -> None:
    x = input_(type=TensorType("float64", (None,)))
    function = compile_graph(Graph((x,), (neg(x),)), CompileOptions()).executable
    value: Array = np.zeros(MIB)
    function([value])
    before, count = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sys.getrefcount(value)
    for _ in range(50):
        function([value])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 100 * MIB  # 400 MiB came and went
    assert sys.getrefcount(value) == count
