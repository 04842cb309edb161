"""For every rule, graphs to which it applies: what the generated tests of the rules run on.

A rule with a pattern is instantiated as it stands; entries here supply constants and attributes.
A rule whose left side is only a set of ops has its examples written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import FLOATS
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, cast, mul, neg, second, sub, true_div
from exprd_compiler.ops.creation import alloc, iota, make_vector, shape
from exprd_compiler.ops.index import NEXT, assign, gather, scatter, subtensor
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.linalg import dot, gemm
from exprd_compiler.ops.logic import lt, neq, switch
from exprd_compiler.ops.masks import flatnonzero, nonzero
from exprd_compiler.ops.movement import dimshuffle, reshape, shape_i
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.products import tensordot
from exprd_compiler.ops.reduce import expand_axes, mean, sum_
from exprd_compiler.ops.transcendental import exp, log, sigmoid
from exprd_compiler.rewrite.pattern import Apply, Literal, Term, Wild
from exprd_compiler.rewrite.rules import Rule

SHAPE: Final = (3, 4)  # of matrices; vectors have the length of a row
DTYPES: Final = ("float64", "float32", "float16", "int32", "uint8", "bool", "complex64")


def leaf(dtype: str, rank: int = 2) -> Node:
    """An input whose extents are known only at run time."""
    return input_(type=TensorType(dtype, (None,) * rank))


# ---- what patterns leave open
CONSTANTS: Final[Mapping[str, float]] = {
    "times minus one": -1,
    "a choice with a constant condition": True,
    "over a power of two": 0.25,
}
ATTRIBUTES: Final[Mapping[str, Any]] = {"axes": (1,), "axis": 1, "order": (1, 0)}


def instances(rule: Rule) -> Iterator[Node]:
    """The left side of a rule over inputs, for every dtype for which it exists."""
    if rule.name in WRITTEN:
        for dtype in rule.dtypes:
            if dtype in WRITTEN_DTYPES.get(rule.name, FLOATS):
                yield WRITTEN[rule.name](dtype)
        return
    assert isinstance(rule.left, Apply), f"no example of rule {rule.name!r}"
    for dtype in rule.dtypes:
        if dtype in DTYPES:
            try:
                node = _node(rule, rule.left, dtype, {})
            except GraphError:
                continue  # an op of the pattern does not exist for this dtype
            if node.dtype == dtype or rule.mixed:
                yield node


def _node(rule: Rule, term: Term, dtype: str, leaves: dict[str, Node]) -> Node:
    match term:
        case Wild(name, constant=True):
            return leaves.setdefault(name, const(CONSTANTS.get(rule.name, 3), dtype))
        case Wild(name):
            return leaves.setdefault(name, leaf(dtype))
        case Literal(value):
            return const(value, dtype)
        case Apply(op, args, attrs):
            values = {n: ATTRIBUTES[n] if isinstance(v, Wild) else v for n, v in attrs}
            return op(*[_node(rule, arg, dtype, leaves) for arg in args], **values)
    raise AssertionError(term)


# ---- rules whose left side is a function, or whose attributes depend on the dtype
def _integer(value: int) -> Node:
    return const(value, "int64")


def _filled(dtype: str, value: float = 2) -> Node:
    x = leaf(dtype)
    return alloc(const(value, dtype), shape_i(x, axis=0), shape_i(x, axis=1), shape=(None, None))


def _row(dtype: str) -> Node:
    return dimshuffle(leaf(dtype, 1), order=(-1, 0))


def _written_softmax(dtype: str) -> Node:
    e = exp(leaf(dtype))
    return true_div(e, expand_axes(sum_(e, axes=(1,)), (1,)))


def _written_vector_softmax(dtype: str) -> Node:
    e = exp(leaf(dtype, 1))
    return true_div(e, sum_(e, axes=(0,)))


def _saturating(dtype: str) -> Node:
    x = leaf(dtype)
    p, q = sigmoid(x), sigmoid(neg(x))
    return mul(mul(sub(true_div(leaf(dtype), q), true_div(leaf(dtype), p)), p), q)


def _cancelling(dtype: str) -> Node:
    p = softmax(leaf(dtype), axis=1)
    return mul(true_div(leaf(dtype), p), p)


def _over_one_plus_exp(dtype: str) -> Node:
    return true_div(leaf(dtype), add(const(1, dtype), exp(neg(leaf(dtype)))))


def _sigmoid_times_exp(dtype: str) -> Node:
    x = leaf(dtype)
    return mul(mul(leaf(dtype), sigmoid(neg(x))), exp(x))


def _indexed_twice(dtype: str) -> Node:
    first = subtensor(leaf(dtype), _integer(1), index=(("at", NEXT),))
    return subtensor(first, index=(("slice", 1, None, None),))


def _product(dtype: str) -> Node:
    return gemm(leaf(dtype), dimshuffle(leaf(dtype), order=(1, 0)), alpha=1.5, beta=0.0)


def _with_summand(dtype: str) -> Node:
    x = leaf(dtype)
    x_square = gemm(x, dimshuffle(x, order=(1, 0)), alpha=1.0, beta=0.0)
    added = dot(x, dimshuffle(x, order=(1, 0)))
    return sub(mul(const(0.5, dtype), added), x_square)


def _by_mask(dtype: str) -> Node:
    x = leaf(dtype)
    mask = neq(x, const(0, dtype))
    return gather(x, nonzero(mask, axis=0), nonzero(mask, axis=1))


def _by_flat_mask(dtype: str) -> Node:
    x = leaf(dtype, 1)
    return gather(x, flatnonzero(neq(x, const(0, dtype))))


def _write(op: Any, *rest: Node, **attrs: Any) -> Callable[[str], Node]:
    return lambda d: op(leaf(d), _filled_row(d), *rest, **attrs)


def _filled_row(dtype: str) -> Node:
    return alloc(const(2, dtype), shape_i(leaf(dtype, 1), axis=0), shape=(None,))


def _one_hot(dtype: str) -> Node:
    labels, values = input_(type=TensorType("bool", (None,))), leaf(dtype, 1)
    columns, n = cast(labels, dtype="int64"), shape_i(labels, axis=0)
    zeros = alloc(const(0, dtype), n, _integer(3), shape=(None, None))
    entries = scatter(zeros, values, iota(n), columns, mode="inc")
    return sub(entries, expand_axes(sum_(entries, axes=(1,)), (1,)))


WRITTEN: Final[Mapping[str, Callable[[str], Node]]] = {
    "constants are computed once": lambda d: add(const([[1, 2]], d), const(3, d)),
    "expand": lambda d: softmax(leaf(d), axis=1),
    # casts
    "casts of operands are visible": lambda d: add(leaf(d), leaf("int8")),
    "a cast to the same dtype does nothing": lambda d: cast(leaf(d), dtype=d),
    "a cast after a lossless cast": lambda d: cast(cast(leaf("int16"), dtype="float64"), dtype=d),
    "a choice with a constant condition": lambda d: switch(const(True), leaf(d), leaf(d)),
    "a choice between equals": lambda d: (lambda x, y: switch(lt(x, y), x, x))(leaf(d), leaf(d)),
    # movement
    "axes left where they are": lambda d: dimshuffle(leaf(d), order=(0, 1)),
    "axes that broadcasting adds by itself": lambda d: add(leaf(d), _row(d)),
    "extents come from the leaves": lambda d: shape_i(add(leaf(d), leaf(d)), axis=1),
    "a shape is its extents": lambda d: shape(leaf(d)),
    "a mean is a sum over a count": lambda d: mean(leaf(d), axes=(0,)),
    "known extents are static": lambda d: reshape(
        leaf(d), _integer(6), _integer(2), shape=(None, None)
    ),
    "a known length is static": lambda _: iota(_integer(5)),
    "known bounds are static": lambda d: subtensor(
        leaf(d), _integer(-1), _integer(1), index=(("at", NEXT), ("slice", NEXT, None, None))
    ),
    "reshaped twice": lambda d: reshape(reshape(leaf(d), shape=(-1,)), shape=(2, 6)),
    "reshaped to its own shape": lambda d: reshape(leaf(d, 1), shape=(-1,)),
    "a fill is a broadcast": lambda d: second(leaf(d), const(2, d)),
    "broadcast to its own shape": lambda d: (
        lambda x: alloc(x, shape_i(x, axis=0), shape_i(x, axis=1), shape=(None, None))
    )(leaf(d)),
    "broadcast twice": lambda d: (
        lambda x: alloc(
            alloc(const(2, d), shape_i(x, axis=1), shape=(None,)),
            *[shape_i(x, axis=i) for i in (0, 1)],
            shape=(None, None),
        )
    )(leaf(d)),
    "elementwise before broadcast": lambda d: exp(_filled(d)),
    "axes before broadcast": lambda d: dimshuffle(_filled(d), order=(1, -1, 0)),
    "the sum of a broadcast scalar": lambda d: sum_(_filled(d, 2.5), axes=(0,)),
    "writing a broadcast value": _write(assign, index=(("at", 1),), mode="inc"),
    "whole axes need no slice": lambda d: subtensor(
        leaf(d), index=(("slice", 0, 2, 1), ("slice", 0, None, 1))
    ),
    "an entry of a vector made of scalars": lambda d: subtensor(
        make_vector(leaf(d, 0), const(7, d)), index=(("at", -2),)
    ),
    "positions after positions": _indexed_twice,
    "row sums of scattered entries": _one_hot,
    "positions of a mask as row-major numbers": _by_mask,
    "elements at a mask": _by_flat_mask,
    # stability
    "log of what was moved": lambda d: log(
        gather(dimshuffle(softmax(leaf(d), axis=1), order=(1, 0)), const([1, 0, 3]))
    ),
    "exp over its sum is softmax": _written_softmax,
    "exp over its sum is softmax, of a vector": _written_vector_softmax,
    "a positive factor cancels": _cancelling,
    "a factor over 1 + exp is a sigmoid": _over_one_plus_exp,
    "sigmoid(-x) exp(x) is a sigmoid": _sigmoid_times_exp,
    "a value less its sigmoid part": lambda d: (lambda x, p: sub(x, mul(x, p)))(
        leaf(d), sigmoid(leaf(d))
    ),
    "factors that cancel in a sum go into it": _saturating,
    # BLAS
    "the transpose of a product": lambda d: dimshuffle(
        dot(leaf(d), dimshuffle(leaf(d), order=(1, 0))), order=(1, 0)
    ),
    "a product of tensors is one of matrices": lambda d: tensordot(
        leaf(d), leaf(d), left=(1,), right=(1,)
    ),
    "a product is a BLAS call": lambda d: dot(leaf(d), leaf(d, 1)),
    "a factor goes into alpha": lambda d: neg(mul(const(0.5, d), _product(d))),
    "a summand goes into beta": _with_summand,
}
_ANY_DTYPE: Final = (
    "a cast to the same dtype does nothing",
    "axes left where they are",
    "extents come from the leaves",
    "known extents are static",
    "reshaped twice",
    "a fill is a broadcast",
    "axes before broadcast",
    "writing a broadcast value",
    "whole axes need no slice",
    "positions of a mask as row-major numbers",
    "elements at a mask",
)
WRITTEN_DTYPES: Final = dict.fromkeys(_ANY_DTYPE, DTYPES)
