"""Which operations share a kernel, and which must not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.form import Access, Fold, Kernel, Load, Plan
from exprd_compiler.kernel.group import SIZE_LIMIT
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.ops.arithmetic import add, mul, sqr, sub
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.linalg import dot
from exprd_compiler.ops.logic import maximum
from exprd_compiler.ops.reduce import expand_axes, max_, sum_
from exprd_compiler.ops.transcendental import exp, log, tanh
from exprd_compiler.passes.levels import optimize
from tests.compiler.native import leaf, native


def plan_of(inputs: Sequence[Node], *outputs: Node) -> Plan:
    return make_plan(optimize(Graph(tuple(inputs), outputs)))


def kernels(inputs: Sequence[Node], *outputs: Node) -> list[Kernel]:
    return [step for step in plan_of(inputs, *outputs).steps if isinstance(step, Kernel)]


def over_rows(x: Node) -> Node:
    return expand_axes(x, (1,))


# ---- one kernel
def test_halves_that_share_no_input_become_one() -> None:
    a, b = leaf(2), leaf(2)
    assert len(kernels([a, b], add(exp(a), log(b)))) == 1


def test_a_fold_and_a_column_of_its_rows_become_one() -> None:
    x, column = leaf(2), leaf(1)
    (kernel,) = kernels([x, column], mul(sum_(exp(x), axes=(1,)), tanh(column)))
    assert kernel.grid == 1
    assert len(kernel.axes) == 2


def test_one_pass_over_the_data_serves_two_results() -> None:
    x = leaf(2)
    (kernel,) = kernels([x], sum_(x, axes=(1,)), max_(x, axes=(1,)), exp(x))
    assert sum(isinstance(value, Load) for value in kernel.values) == 1
    assert sum(isinstance(value, Fold) for value in kernel.values) == 2


def test_what_is_cheap_is_not_stored() -> None:
    x, w = leaf(2), leaf(2)
    hidden = tanh(x)
    slope = sub(const(1.0), sqr(hidden))
    plan = plan_of([x, w], mul(dot(hidden, w), slope))
    stored = [b for b in plan.buffers if b.place == "temporary"]
    assert len(stored) == 2  # tanh(x), which BLAS reads, and the product; not the slope


# ---- more than one
def test_a_row_is_not_computed_again_for_every_row() -> None:
    x, row = leaf(2), leaf(1)
    assert len(kernels([x, row], mul(exp(x), tanh(row)))) == 2


def test_folds_over_different_axes_are_apart() -> None:
    x = leaf(2)
    assert len(kernels([x], sum_(x, axes=(0,)), sum_(x, axes=(1,)))) == 2


def test_a_whole_sum_is_done_before_it_is_used() -> None:
    x = leaf(1)
    y = exp(x)
    (first,) = kernels([x], sub(y, expand_axes(sum_(y, axes=(0,)), (0,))))
    assert len({store.ref for store in first.stores}) == 2  # kept, then the result
    a = leaf(2)
    total = sum_(sum_(exp(a), axes=(1,)), axes=(0,))
    assert len(kernels([a], add(total, const(1.0)))) <= 2


def test_a_kernel_ends_where_it_is_large_enough(rng: np.random.Generator) -> None:
    x = leaf(1)
    y = x
    for _ in range(2 * SIZE_LIMIT):
        y = tanh(y)
    assert len(kernels([x], y)) >= 2
    value = rng.normal(size=5)
    (want,), _ = evaluate(Graph((x,), (y,)), [value])
    np.testing.assert_allclose(native([x], y)([value])[0], want, rtol=1e-12)


def test_what_waits_for_a_product_is_computed_after_it() -> None:
    x, a, b = leaf(2), leaf(2), leaf(2)
    steps = [type(step).__name__ for step in plan_of([x, a, b], maximum(exp(x), dot(a, b))).steps]
    assert [name for name in steps if name != "Check"] == ["Blas", "Kernel"]


def test_what_a_product_needs_is_computed_before_it() -> None:
    x, a = leaf(2), leaf(2)
    y = exp(x)
    steps = [type(step).__name__ for step in plan_of([x, a], maximum(y, dot(y, a))).steps]
    assert [name for name in steps if name != "Check"] == ["Kernel", "Blas", "Kernel"]


# ---- loops
def test_loops_in_step_are_one_loop() -> None:
    x = leaf(3)
    (kernel,) = kernels([x], exp(x))
    assert (len(kernel.axes), kernel.vector) == (1, 0)


def test_vectors_run_along_memory() -> None:
    x = leaf(2)
    for axis in (0, 1):
        (kernel,) = kernels([x], sum_(x, axes=(axis,)))
        (load,) = [value for value in kernel.values if isinstance(value, Load)]
        assert load.access.strides[kernel.vector].known == 1


def test_a_broadcast_steps_by_zero() -> None:
    x, row = leaf(2), leaf(1)
    (kernel,) = kernels([x, row], add(x, row))
    strides = [v.access.strides[0].known for v in kernel.values if isinstance(v, Load)]
    assert 0 in strides


# ---- keeping
def places(kernel: Kernel) -> list[Access]:
    return [store.access for store in kernel.stores]


def test_an_exponential_waits_where_the_result_will_be() -> None:
    x = leaf(2, "float32")
    e = exp(x)
    (kernel,) = kernels([x], mul(e, over_rows(sum_(e, axes=(1,)))))
    first, last = places(kernel)
    assert first == last
    assert sum(isinstance(v, Load) and v.access == first for v in kernel.values) == 1


def test_nothing_waits_where_the_types_differ_or_nothing_is_costly() -> None:
    x = leaf(2, "float32")
    e = exp(x)
    wide = mul(e, over_rows(sum_(exp(leaf(2)), axes=(1,))))
    assert wide.dtype == "float64"
    (kernel,) = kernels([x], sub(x, over_rows(sum_(sqr(x), axes=(1,)))))
    assert len(places(kernel)) == 1
