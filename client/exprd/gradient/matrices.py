"""Whole matrices of derivatives: `jacobian` and `hessian`.

The backward sweep from one row is written over all rows at once, as a batch of unit vectors; so an
extent need not be known, and there is no loop. An op that carries no batch axis is written out row
by row where the extent is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd.config import config
from exprd.convert import as_node, node_of
from exprd.gradient.derive import derivatives, differentiate, like, listed
from exprd.origin import mark
from exprd.variable import Variable, variable_of
from exprd_compiler.errors import ArgumentError, DTypeError, NotVectorizable
from exprd_compiler.grad import Null, zeros_like
from exprd_compiler.ir.dtype import is_complex, is_discrete
from exprd_compiler.ir.graph import substitute
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.diagonals import eye
from exprd_compiler.ops.joining import stack
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.movement import shape_i
from exprd_compiler.vectorize import vectorize

__all__ = ["hessian", "jacobian"]


def jacobian(
    expression: Any,
    wrt: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The derivatives of every element of a vector by variables.

    Args:
        expression: a vector; of a scalar, the result is its gradient.
        wrt: one variable or several; a list gives a list, a tuple a tuple.
        consider_constant: see `grad`.
        disconnected_inputs: see `grad`.

    Returns:
        Per variable, an expression with the axis of the vector before the axes of the variable.

    Raises:
        ArgumentError: the expression is no variable, or has more than one axis.
        DTypeError: the expression is complex.
        NotVectorizable: an op carries no batch axis, and the extent of the vector is not known.
    """
    rows = _variable("jacobian", expression)
    if is_complex(rows.dtype):
        hint = "take real(x) and imag(x) of it, one after the other"
        raise DTypeError(f"takes real values, got {rows.type}", op="jacobian", hint=hint)
    if rows.ndim > 1:
        hint = "flatten it"
        raise ArgumentError(f"takes a vector, got {rows.type}", op="jacobian", hint=hint)
    if not rows.ndim:
        return differentiate(
            expression,
            wrt,
            consider_constant=consider_constant,
            disconnected_inputs=disconnected_inputs,
        )
    targets = [_variable("jacobian", x) for x in listed(wrt)]
    held = [_variable("jacobian", x) for x in consider_constant or ()]
    return like(wrt, _shown(_matrices(rows, targets, held, disconnected_inputs)))


def hessian(
    cost: Any,
    wrt: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The second derivatives of a scalar cost by vectors.

    Args:
        cost: a 0-d expression.
        wrt: one vector or several; a list gives a list, a tuple a tuple.
        consider_constant: see `grad`.
        disconnected_inputs: see `grad`.

    Returns:
        Per vector, a square matrix.

    Raises:
        ArgumentError: the cost is no scalar, or a variable no vector.
        NotVectorizable: an op carries no batch axis, and the extent of a vector is not known.
    """
    if _variable("hessian", cost).ndim:
        raise ArgumentError(f"takes a scalar cost, got {as_node(cost).type}", op="hessian")
    targets = [_variable("hessian", x) for x in listed(wrt)]
    held = [_variable("hessian", x) for x in consider_constant or ()]
    out: list[Node] = []
    for target in targets:
        if target.ndim != 1:
            raise ArgumentError(f"takes vectors as wrt, got {target.type}", op="hessian")
        slope = differentiate(
            cost,
            variable_of(target),
            consider_constant=consider_constant,
            disconnected_inputs=disconnected_inputs,
        )
        # a slope that is constant has derivatives of zero, which is no error
        out += _matrices(slope.node, [target], held, "ignore")
    return like(wrt, _shown(out))


def _variable(name: str, value: object) -> Node:
    node = node_of(value)
    if node is None:
        raise ArgumentError(f"expected a variable, got {value!r}", op=name)
    return node


def _shown(found: list[Node]) -> list[Variable]:
    mark(found)
    return [variable_of(node) for node in found]


def _matrices(
    rows: Node, targets: Sequence[Node], held: Sequence[Node], disconnected: str
) -> list[Node]:
    dtype = config.floatX if is_discrete(rows.dtype) else rows.dtype
    one = input_(type=TensorType(dtype, rows.type.shape))
    found = derivatives(
        None,
        targets,
        consider_constant=held,
        disconnected_inputs=disconnected,
        known_grads={rows: one},
    )
    slopes: list[Node] = []
    for target, part in zip(targets, found, strict=True):
        if isinstance(part, Null):
            raise part.error()
        slopes.append(zeros_like(target, config.floatX) if part is None else part)
    return _over_rows(slopes, rows, one)


def _over_rows(slopes: Sequence[Node], rows: Node, one: Node) -> list[Node]:
    """What is linear in a vector, for every unit vector."""
    extent = rows.type.shape[0]
    length = [shape_i(rows, axis=0)] if extent is None else []
    units = eye(*length * 2, shape=(extent, extent), offset=0, dtype=one.dtype)
    try:
        return vectorize(slopes, {one: units})
    except NotVectorizable:
        if not extent:
            raise
    every = [substitute(slopes, {one: const(unit, one.dtype)}) for unit in np.eye(extent)]
    return [stack(*column, axis=0) for column in zip(*every, strict=True)]
