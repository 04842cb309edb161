"""The plans of a dozen graphs as text, and what must hold of them whatever the text says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from exprd_compiler.driver import llvm_ir
from exprd_compiler.kernel.form import Blas, Buffer, Kernel, Plan
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.kernel.slots import buffers_of
from exprd_compiler.kernel.text import print_plan
from exprd_compiler.options import CompileOptions
from exprd_compiler.passes.levels import optimize
from tests.compiler.kernel.graphs import GRAPHS

# kernels and BLAS calls of each graph, at most: what fusion is worth
COUNTS = {
    "fused_elementwise": (1, 0),
    "row_and_column": (1, 0),
    "softmax_of_rows": (1, 0),
    "softmax_of_columns": (1, 0),
    "layernorm": (1, 0),
    "sums": (3, 0),
    "argmax_of_rows": (1, 0),
    "label_loss": (2, 0),
    "gather_gradient": (3, 0),
    "minibatch": (1, 0),
    "slice_at_computed_bound": (2, 0),
    "dot_of_transpose": (1, 1),
    "logistic_regression": (3, 2),
    "two_layer_network": (12, 5),
}


def plan_of(name: str) -> Plan:
    return make_plan(optimize(GRAPHS[name]()))


@pytest.mark.parametrize("name", GRAPHS)
def test_the_text_of_a_plan(name: str, golden: Callable[..., None]) -> None:
    golden(print_plan(plan_of(name)))


@pytest.mark.parametrize(
    "name", ["fused_elementwise", "softmax_of_rows", "slice_at_computed_bound"]
)
def test_the_code_of_a_graph(name: str, golden: Callable[..., None]) -> None:
    golden(llvm_ir(GRAPHS[name](), CompileOptions()))


@pytest.mark.parametrize("name", GRAPHS)
def test_equal_graphs_become_equal_text(name: str) -> None:
    first = plan_of(name)
    kept = [plan_of(other) for other in reversed(GRAPHS)]  # whatever was compiled in between
    assert print_plan(plan_of(name)) == print_plan(first)
    del kept


@pytest.mark.parametrize("name", GRAPHS)
def test_no_more_kernels_than_fusion_leaves(name: str) -> None:
    kinds = Counter(type(step) for step in plan_of(name).steps)
    kernels, calls = COUNTS[name]
    assert kinds[Kernel] <= kernels
    assert kinds[Blas] <= calls


@pytest.mark.parametrize("name", GRAPHS)
def test_temporaries_in_one_slot_are_never_alive_together(name: str) -> None:
    plan = plan_of(name)
    alive: dict[int, list[int]] = {}
    for place, step in enumerate(plan.steps):
        for buffer in buffers_of(step):
            alive.setdefault(buffer.number, []).append(place)
    spans = [
        (plan.slot_of[number], min(places), max(places))
        for number, places in alive.items()
        if number in plan.slot_of
    ]
    for slot, first, last in spans:
        others = [s for s in spans if s[0] == slot and s != (slot, first, last)]
        assert all(last < begin or end < first for _, begin, end in others)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_buffer_is_used_and_outputs_are_written(name: str) -> None:
    plan = plan_of(name)
    used: set[Buffer] = {buffer for step in plan.steps for buffer in buffers_of(step)}
    assert set(plan.outputs) <= used
    assert set(plan.buffers) == used
