"""Matrix products: dot as BLAS calls, with factors and summands folded into them.

A product with other users is computed once and left alone. Transposes are dimshuffles, which the
calls read as views.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from exprd_compiler.ir.dtype import COMPLEX, EVERY, FLOATS, WIDE_FLOATS
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import add, mul, neg, sub
from exprd_compiler.ops.contraction import batched_gemm
from exprd_compiler.ops.einsum import einsum
from exprd_compiler.ops.leaves import scalar_value
from exprd_compiler.ops.linalg import dot, gemm, gemv, transpose
from exprd_compiler.ops.movement import dimshuffle
from exprd_compiler.ops.products import matmul, tensordot
from exprd_compiler.rewrite.rules import Match, Rule
from exprd_compiler.rules.expansion import expand

_CALLS: Final = (gemv, gemm, batched_gemm)


def _transposed(m: Match) -> Node | None:
    product = m.root.inputs[0]
    if product.op is not dot or m.root["order"] != (1, 0) or not m.context.single(product):
        return None
    a, b = product.inputs
    return dot(transpose(b), transpose(a)) if a.ndim == b.ndim == 2 else None


def _is_call(m: Match, node: Node) -> bool:
    return node.op in _CALLS and m.context.single(node)


def _factor(node: Node) -> tuple[float, Node]:
    """The constant factors of a node multiplied together, and the rest."""
    factor = 1.0
    while True:
        if node.op is neg:
            factor, node = -factor, node.inputs[0]
            continue
        found = _split(node)
        if found is None:
            return factor, node
        factor, node = factor * found[0], found[1]


def _split(node: Node) -> tuple[float, Node] | None:
    if node.op is not mul:
        return None
    for number, other in (node.inputs, node.inputs[::-1]):
        value = scalar_value(number)
        # BLAS does not read what is multiplied by 0, and would miss its NaN
        if value and isfinite(value) and number.ndim == 0:
            return float(value), other
    return None


def _into_alpha(m: Match) -> Node | None:
    factor, call = _factor(m.root)
    if call is m.root or not _is_call(m, call):
        return None
    alpha, beta = factor * call["alpha"], factor * call["beta"]
    return call.op(*call.inputs, alpha=alpha, beta=beta)


def _scaled(call: Node, sign: float, added: Node, weight: float) -> Node:
    """sign * call + weight * added."""
    factor, summand = _factor(added)
    return call.op(*call.inputs, summand, alpha=sign * call["alpha"], beta=weight * factor)


def _into_beta(m: Match) -> Node | None:
    left, right = m.root.inputs
    m.context.extents.of(m.root)  # both operands have the shape of the sum, unless they broadcast
    minus = -1.0 if m.root.op is sub else 1.0
    for call, added, sign, weight in ((left, right, 1.0, minus), (right, left, minus, 1.0)):
        if not _is_call(m, call) or len(call.inputs) != 2:
            continue
        _, summand = _factor(added)
        if summand is not call and m.context.extents.equal(call, summand):
            return _scaled(call, sign, added, weight)
    return None


TRANSPOSES: Final = (
    Rule(
        name="the transpose of a product",
        theano="local_lift_transpose_through_dot",
        left=(dimshuffle,),
        right=_transposed,
        over=(dot,),
        why="Transposed operands are views, a transposed result is a copy.",
    ),
)

CALLS: Final = (
    Rule(
        name="a product of tensors is one of matrices",
        theano="local_batched_dot",
        left=(matmul, tensordot, einsum),
        right=expand,
        dtypes=EVERY,
        same_shape=True,
        why="Matrices are what BLAS takes.",
    ),
    Rule(
        name="a product is a BLAS call",
        theano="local_dot_to_dot22",
        left=(dot,),
        right=expand,
        dtypes=FLOATS + COMPLEX,
        same_shape=True,
        why="BLAS is faster than any loop of ours.",
    ),
    Rule(
        name="a factor goes into alpha",
        theano="local_dot22_to_dot22scalar",
        left=(mul, neg),
        right=_into_alpha,
        dtypes=WIDE_FLOATS,
        why="BLAS scales anyway; the result is rounded once less.",
    ),
    Rule(
        name="a summand goes into beta",
        theano="GemmOptimizer",
        left=(add, sub),
        right=_into_beta,
        dtypes=WIDE_FLOATS,
        why="BLAS adds anyway.",
    ),
)
