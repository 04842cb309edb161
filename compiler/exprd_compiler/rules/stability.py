"""Stability: forms that lose precision or overflow, replaced by forms that do not.

On by default. They change values only where the written form was wrong beyond rounding: the
cross-entropy of a saturated classifier is finite, and so is its gradient.
"""

from __future__ import annotations

from typing import Final

from exprd_compiler.ir.dtype import FLOATS
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import mul, neg, true_div
from exprd_compiler.ops.creation import alloc
from exprd_compiler.ops.index import gather, subtensor
from exprd_compiler.ops.movement import NEW_AXIS, dimshuffle, reshape
from exprd_compiler.ops.nnet import log_softmax, softmax
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.transcendental import exp, log, sigmoid
from exprd_compiler.rewrite.pattern import P, constants, wild
from exprd_compiler.rewrite.rules import Match, Rule

x, a = wild("x a")
(c,) = constants("c")

_VIEWS: Final = (gather, subtensor, dimshuffle, reshape, alloc)
_EXP = "exp overflows long before the whole does."


# ---- log of something that was merely moved
def _moved(node: Node) -> Node:
    while node.op in _VIEWS:
        node = node.inputs[0]
    return node


def _log_first(m: Match) -> Node | None:
    """log(view(y)) as view(log(y)), where log(y) has a stable form."""
    view = m.root.inputs[0]
    if view.op not in _VIEWS or _moved(view).op not in (softmax, sigmoid, exp):
        return None
    return view.op(log(view.inputs[0]), *view.inputs[1:], **view.attributes)


# ---- softmax written out
def _written_softmax(m: Match) -> Node | None:
    """softmax(u) for exp(u) / sum(exp(u)) over one axis that is kept with length 1."""
    top, kept = m.root.inputs
    if top.op is not exp or kept.op is not dimshuffle or kept.inputs[0].op is not sum_:
        return None
    total = kept.inputs[0]
    if total.inputs[0] is not top or len(total["axes"]) != 1:
        return None
    axis = total["axes"][0]
    rest = iter(range(total.ndim))
    order = tuple(NEW_AXIS if i == axis else next(rest) for i in range(top.ndim))
    # a missing leading axis is put back by broadcasting
    fits = kept["order"] == order or (axis == 0 and kept["order"] == order[1:])
    return softmax(top.inputs[0], axis=axis) if fits else None


def _written_vector_softmax(m: Match) -> Node | None:
    top, total = m.root.inputs
    whole = total.op is sum_ and total.inputs[0] is top and total["axes"] == (0,)
    return softmax(top.inputs[0], axis=0) if top.op is exp and whole and top.ndim == 1 else None


def _log_softmax(m: Match) -> Node:
    return log_softmax(m["x"], axis=m.attr("a"))


def _scaled_sigmoid(m: Match) -> Node:
    return mul(m["c"], sigmoid(neg(m["x"])))


LOGARITHMS: Final = (
    Rule(
        name="log of 1 + exp is softplus",
        theano="log1pexp_to_softplus",
        left=P.log(1 + P.exp(x)),
        right=P.softplus(x),
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="log1p of exp is softplus",
        theano="log1pexp_to_softplus",
        left=P.log1p(P.exp(x)),
        right=P.softplus(x),
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="log of a sigmoid is a softplus",
        theano="logsigm_to_softplus",
        left=P.log(P.sigmoid(x)),
        right=-P.softplus(-x),
        dtypes=FLOATS,
        why="The sigmoid underflows to 0, its logarithm is the argument.",
    ),
    Rule(
        name="log of 1 - sigmoid is a softplus",
        theano="log1msigm_to_softplus",
        left=P.log(1 - P.sigmoid(x)),
        right=-P.softplus(x),
        dtypes=FLOATS,
        why="The sigmoid rounds to 1, the logarithm is minus the argument.",
    ),
    Rule(
        name="log of a softmax is log_softmax",
        theano="local_log_softmax",
        left=P.log(P.softmax(x, axis=a)),
        right=_log_softmax,
        dtypes=FLOATS,
        why="The softmax underflows to 0, its logarithm does not.",
    ),
    Rule(
        name="log of what was moved",
        theano="local_log_softmax",
        left=(log,),
        right=_log_first,
        over=_VIEWS,
        dtypes=FLOATS,
        why="Taking the logarithm first shows the softmax or sigmoid it is of.",
    ),
    Rule(
        name="log of exp",
        theano="local_exp_log",
        left=P.log(P.exp(x)),
        right=x,
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="log of 1 + x",
        theano="local_log1p",
        left=P.log(1 + x),
        right=P.log1p(x),
        dtypes=FLOATS,
        why="1 + x drops the digits of a small x.",
    ),
    Rule(
        name="log of 1 - x",
        theano="local_log1p",
        left=P.log(1 - x),
        right=P.log1p(-x),
        dtypes=FLOATS,
        why="1 - x drops the digits of a small x.",
    ),
)

SIGMOIDS: Final = (
    Rule(
        name="a constant over 1 + exp is a sigmoid",
        theano="local_inv_1_plus_exp",
        left=c / (1 + P.exp(x)),
        right=_scaled_sigmoid,
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="exp over 1 + exp is a sigmoid",
        theano="local_exp_over_1_plus_exp",
        left=P.exp(x) / (1 + P.exp(x)),
        right=P.sigmoid(x),
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="1 - sigmoid is a sigmoid",
        theano="local_1msigmoid",
        left=1 - P.sigmoid(x),
        right=P.sigmoid(-x),
        dtypes=FLOATS,
        why="1 - sigmoid(x) drops the digits of a small difference.",
    ),
    Rule(
        name="exp over its sum is softmax",
        theano="local_softmax",
        left=(true_div,),
        right=_written_softmax,
        over=(exp,),
        dtypes=FLOATS,
        why=_EXP,
    ),
    Rule(
        name="exp over its sum is softmax, of a vector",
        theano="local_softmax",
        left=(true_div,),
        right=_written_vector_softmax,
        over=(exp,),
        dtypes=FLOATS,
        why=_EXP,
    ),
)

LAWS: Final = (*LOGARITHMS, *SIGMOIDS)
