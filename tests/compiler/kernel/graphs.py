"""The graphs whose plans are pinned: one for each form that a kernel can take.

Extents are unknown unless the name says otherwise; every value is float32 unless it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from exprd_compiler.grad import grad
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, mul, neg, sqr, sqrt, sub, true_div
from exprd_compiler.ops.creation import iota
from exprd_compiler.ops.index import NEXT, gather, subtensor
from exprd_compiler.ops.leaves import const, input_, shared
from exprd_compiler.ops.linalg import dot, transpose
from exprd_compiler.ops.logic import gt
from exprd_compiler.ops.movement import dimshuffle, shape_i
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import argmax, expand_axes, mean, sum_
from exprd_compiler.ops.transcendental import exp, log, log1p, tanh


def tensor(rank: int, dtype: str = "float32") -> Node:
    """An input of unknown extents."""
    return input_(type=TensorType(dtype, (None,) * rank))


def variable(rank: int, dtype: str = "float32") -> Node:
    """A shared variable of unknown extents."""
    return shared(type=TensorType(dtype, (None,) * rank))


def number(value: float) -> Node:
    """A constant."""
    return const(value, "float32")


def fused_elementwise() -> Graph:
    a, b, c, d = (tensor(1) for _ in range(4))
    return Graph((a, b, c, d), (add(mul(a, exp(neg(b))), mul(c, log1p(d))),))


def row_and_column() -> Graph:
    x, row, column = tensor(2), tensor(1), tensor(1)
    shifted = sub(x, dimshuffle(row, order=(-1, 0)))
    return Graph((x, row, column), (mul(shifted, dimshuffle(column, order=(0, -1))),))


def softmax_of_rows() -> Graph:
    x = tensor(2)
    return Graph((x,), (softmax(x, axis=1),))


def softmax_of_columns() -> Graph:
    x = tensor(2)
    return Graph((x,), (softmax(x, axis=0),))


def layernorm() -> Graph:
    x, scale, shift = tensor(2), tensor(1), tensor(1)
    centred = sub(x, expand_axes(mean(x, axes=(1,)), (1,)))
    variance = expand_axes(mean(sqr(centred), axes=(1,)), (1,))
    normal = true_div(centred, sqrt(add(variance, number(1e-5))))
    return Graph((x, scale, shift), (add(mul(normal, scale), shift),))


def sums() -> Graph:
    x = tensor(2)
    return Graph((x,), (sum_(x, axes=(0,)), sum_(x, axes=(1,)), sum_(x, axes=(0, 1))))


def argmax_of_rows() -> Graph:
    x = tensor(2)
    return Graph((x,), (argmax(x, axes=(1,)),))


def _log_likelihood(x: Node, labels: Node) -> Node:
    rows = iota(shape_i(labels, axis=0))
    return neg(mean(gather(log_softmax(x, axis=1), rows, labels), axes=(0,)))


def label_loss() -> Graph:
    x, labels = tensor(2), tensor(1, "int64")
    return Graph((x, labels), (_log_likelihood(x, labels),))


def gather_gradient() -> Graph:
    table, index = tensor(2), tensor(1, "int64")
    cost = sum_(sqr(gather(table, index)), axes=(0, 1))
    return Graph((table, index), (grad(cost, [table])[0],))


def minibatch() -> Graph:
    data, number_ = variable(2), input_(type=TensorType("int64", ()))
    first = mul(number_, const(32, "int64"))
    rows = subtensor(
        data, first, add(first, const(32, "int64")), index=(("slice", NEXT, NEXT, None),)
    )
    return Graph((number_,), (mean(rows, axes=(0,)),), (data,))


def slice_at_computed_bound() -> Graph:
    x, count = tensor(1), tensor(1, "int64")
    bound = sum_(count, axes=(0,))
    return Graph((x, count), (exp(subtensor(x, bound, index=(("slice", None, NEXT, None),))),))


def dot_of_transpose() -> Graph:
    a, b = tensor(2), tensor(2)
    return Graph((a, b), (tanh(dot(transpose(a), b)),))


def _step(parameters: Sequence[Node], cost: Node) -> tuple[tuple[int, Node], ...]:
    slopes = grad(cost, parameters)
    rate = number(0.1)
    news = [sub(p, mul(rate, g)) for p, g in zip(parameters, slopes, strict=True)]
    return tuple(enumerate(news))


def logistic_regression() -> Graph:
    x, y, w, b = tensor(2), tensor(1), variable(1), variable(0)
    one = number(1)
    p = true_div(one, add(one, exp(sub(neg(dot(x, w)), b))))
    xent = sub(mul(neg(y), log(p)), mul(sub(one, y), log(sub(one, p))))
    cost = add(mean(xent, axes=(0,)), mul(number(0.01), sum_(sqr(w), axes=(0,))))
    return Graph((x, y), (gt(p, number(0.5)), xent), (w, b), _step((w, b), cost))


def two_layer_network() -> Graph:
    x, labels = tensor(2), tensor(1, "int64")
    w1, b1, w2, b2 = variable(2), variable(1), variable(2), variable(1)
    hidden = tanh(add(dot(x, w1), b1))
    cost = _log_likelihood(add(dot(hidden, w2), b2), labels)
    parameters = (w1, b1, w2, b2)
    return Graph((x, labels), (cost,), parameters, _step(parameters, cost))


GRAPHS: dict[str, Callable[[], Graph]] = {
    make.__name__: make
    for make in (
        fused_elementwise,
        row_and_column,
        softmax_of_rows,
        softmax_of_columns,
        layernorm,
        sums,
        argmax_of_rows,
        label_loss,
        gather_gradient,
        minibatch,
        slice_at_computed_bound,
        dot_of_transpose,
        logistic_regression,
        two_layer_network,
    )
}
