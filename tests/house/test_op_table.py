"""Every op declares all of its facts in one record: nothing is left for another file to add."""

from __future__ import annotations

import typing

import pytest

from exprd_compiler.ir import lowering
from exprd_compiler.ir.node import NO_GRAD, NO_PATH, THROUGH_EXPANSION, ZERO_GRAD, Op
from exprd_compiler.ops.table import OPS

ALL_OPS = tuple(OPS.values())
GRADIENTS = (NO_GRAD, ZERO_GRAD, NO_PATH, THROUGH_EXPANSION)


def test_the_table_is_keyed_by_wire_name() -> None:
    assert ALL_OPS
    assert {name: op.name for name, op in OPS.items()} == {name: name for name in OPS}


@pytest.mark.parametrize("op", ALL_OPS, ids=lambda op: op.name)
def test_an_op_declares_type_meaning_gradient_and_one_lowering(op: Op) -> None:
    assert callable(op.type)
    assert callable(op.numpy)
    assert any(op.grad is kind for kind in GRADIENTS) or callable(op.grad)
    assert type(op.lowering) in typing.get_args(lowering.Lowering)
    assert op.since >= 1


@pytest.mark.parametrize("op", ALL_OPS, ids=lambda op: op.name)
def test_an_op_says_what_it_is_and_how_to_test_it(op: Op) -> None:
    assert op.doc.endswith("."), "one sentence for the docs page"
    assert isinstance(op.lowering, lowering.Leaf) or op.examples, "no generated test"
