"""The judge itself: it sees a wrong value and a wrong error, and knows what it cannot judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exprd.session import Session
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, sub, true_div
from exprd_compiler.ops.index import gather
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.logic import gt
from exprd_compiler.ops.rounding import floor
from exprd_compiler.ops.transcendental import exp, tanh
from tests.random_graphs.draws import BATCH, each_of
from tests.random_graphs.judge import judge
from tests.random_graphs.noise import outcome
from tests.random_graphs.program import LEVELS, Program

VALUES = np.random.default_rng(5).normal(size=40).astype("float32")


def vector(dtype: str = "float32") -> Node:
    return input_(type=TensorType(dtype, (None,)))


def of_one_input(x: Node, out: Node, value: np.ndarray) -> Program:
    return Program(graph=Graph((x,), (out,)), state=(), calls=((value,),), mode=LEVELS[0])


@pytest.mark.parametrize("off", [0.0, 1e-4])
def test_a_wrong_value_is_seen(off: float, here: Session, there: Session) -> None:
    """The meaning of this sum is a little off, which is as if native code were."""
    bent = replace(add, numpy=lambda a, b: np.asarray(a + b + off, a.dtype))
    x = vector("float64")
    program = of_one_input(x, bent(x, const(1.0)), VALUES.astype("float64"))
    if not off:
        judge(program, here, there)
        return
    with pytest.raises(AssertionError, match="output 0 is float64"):
        judge(program, here, there)


def test_an_error_that_numpy_does_not_know_is_seen(here: Session, there: Session) -> None:
    lenient = replace(gather, numpy=lambda x, i: np.take(x, i, mode="clip"))
    places = vector("int64")
    out = lenient(const(VALUES), places)
    with pytest.raises(AssertionError, match="numpy has a value, got IndexOutOfRange"):
        judge(of_one_input(places, out, np.array([1, 99])), here, there)


def is_sound(x: Node, out: Node) -> bool:
    return outcome([out], {x: VALUES}).sound


def test_what_rounding_carries_far_is_not_judged() -> None:
    x = vector()
    large = const(1e6, "float32")
    assert is_sound(x, tanh(mul(x, x)))
    assert not is_sound(x, sub(add(x, large), large))
    assert not is_sound(x, exp(exp(exp(add(x, const(3.0, "float32"))))))
    assert is_sound(x, gt(x, const(0.5, "float32")))
    assert not is_sound(x, floor(true_div(mul(x, x), mul(x, x))))
    third = true_div(x, const(3.0, "float32"))
    assert not is_sound(x, gt(add(third, add(third, third)), x))


def test_a_batch_is_always_the_same() -> None:
    """The statistics and a failure's number mean something only then."""

    def shape(program: Program) -> tuple[int, int]:
        return len(program.graph.nodes()), len(program.calls)

    first: list[tuple[int, int]] = []
    again: list[tuple[int, int]] = []
    each_of(3, lambda program: first.append(shape(program)))
    each_of(3, lambda program: again.append(shape(program)))
    assert first == again
    assert len(first) == BATCH
