"""Assert: values of a running function that must hold, else its call fails."""

from __future__ import annotations

from functools import reduce as fold_left
from typing import Final

from exprd.convert import as_node, cast_to
from exprd.reduction import fold
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import ArgumentError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import reduce
from exprd_compiler.ops.assertion import assert_
from exprd_compiler.ops.logic import and_

__all__ = ["Assert", "assert_op"]


class Assert:
    """An identity under conditions: `Assert("text")(x, c)` is x, and fails where c does not hold.

    A condition holds if none of its elements is 0. It is checked in every call that computes the
    value, before that is used; no optimization removes it. The gradient goes through to x.

    Args:
        msg: the message of the AssertionFailed, which is an AssertionError as well.
    """

    __slots__ = ("msg",)

    def __init__(self, msg: str = "Theano Assert failed!") -> None:
        if not isinstance(msg, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(f"the message is a text, not {msg!r}", op="assert")
        self.msg = msg

    def __call__(self, value: object, *conds: object) -> TensorVariable:
        """The variable `value`, which exists only where all conditions hold."""
        node = as_node(value)
        if not conds:
            return variable_of(node)
        whole = fold_left(and_, [_truth(cond) for cond in conds])
        return variable_of(assert_(node, cast_to(whole, "int64"), message=self.msg))

    def __repr__(self) -> str:
        return f"Assert({self.msg!r})"


def _truth(cond: object) -> Node:
    node = cast_to(as_node(cond), "bool")
    return fold(reduce.all_, node) if node.ndim else node


assert_op: Final = Assert()
