"""Products seen whole: factors that cancel, sigmoids in pieces, sums that factors cancel against.

These are what makes the gradient of a cross-entropy finite: p/p of a saturated p is 0/0 as
written. Only factors that cannot be 0 or infinite but by rounding cancel (exp, sigmoid, softmax
and the like), so x / x keeps its NaN at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exprd_compiler.ir.dtype import FLOATS
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.arithmetic import add, mul, neg, sub, true_div
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.transcendental import exp, sigmoid, softplus
from exprd_compiler.rewrite.rules import Match, Rule

MOST_FACTORS: Final = 16  # of one product; a longer chain is seen in part
_POSITIVE: Final = frozenset((exp, sigmoid, softmax, softplus))


@dataclass(frozen=True, slots=True)
class Product:
    """A value as factors above and below a fraction bar, with a sign."""

    above: tuple[Node, ...]
    below: tuple[Node, ...] = ()
    negative: bool = False

    def node(self, dtype: str) -> Node:
        """The product as a node."""
        top = _times(self.above) if self.above else const(1, dtype)
        out = true_div(top, _times(self.below)) if self.below else top
        return neg(out) if self.negative else out


def _times(factors: Sequence[Node]) -> Node:
    out = factors[0]
    for factor in factors[1:]:
        out = mul(out, factor)
    return out


def factors(node: Node) -> Product:
    """The factors of a node, seen through products, quotients and signs."""
    above: list[Node] = []
    below: list[Node] = []
    negative = False
    stack = [(node, False)]
    room = MOST_FACTORS
    while stack:
        top, inverted = stack.pop()
        if room and top.op is neg:
            negative = not negative
            stack.append((top.inputs[0], inverted))
        elif room and top.op in (mul, true_div):
            room -= 1
            second = inverted != (top.op is true_div)
            stack += [(top.inputs[1], second), (top.inputs[0], inverted)]
        else:
            (below if inverted else above).append(top)
    return Product(tuple(above), tuple(below), negative)


def is_positive(node: Node) -> bool:
    """Whether only rounding can make the value 0 or infinite."""
    if node.op is add:
        return all(x.op in _POSITIVE or (scalar_value(x) or 0) > 0 for x in node.inputs)
    return node.op in _POSITIVE


def are_opposite(u: Node, v: Node) -> bool:
    """Whether u = -v can be seen from their forms."""
    if u.op is neg or v.op is neg:
        return (u.op is neg and u.inputs[0] is v) or (v.op is neg and v.inputs[0] is u)
    if u.op is not v.op or u.op not in (sub, mul, true_div):
        return False
    (a, b), (p, q) = u.inputs, v.inputs
    if u.op is sub:
        return a is q and b is p
    return (a is p and _opposite_numbers(b, q)) or (b is q and _opposite_numbers(a, p))


def _opposite_numbers(a: Node, b: Node) -> bool:
    x, y = scalar_value(a), scalar_value(b)
    return x is not None and y is not None and x == -y


def _dropped(nodes: Sequence[Node], gone: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes without one occurrence of each of the others."""
    rest = list(nodes)
    for node in gone:
        rest.remove(node)
    return tuple(rest)


def common(above: Sequence[Node], below: Sequence[Node]) -> list[Node]:
    """The positive factors that occur on both sides of a fraction bar, with multiplicity."""
    rest, out = list(below), list[Node]()
    for factor in above:
        if factor in rest and is_positive(factor):
            rest.remove(factor)
            out.append(factor)
    return out


# ---- right sides
def _seen(m: Match) -> Product:
    key = (factors, m.root)
    found: Product = m.context.notes.get(key) or factors(m.root)
    m.context.notes[key] = found
    return found


def _cancel(m: Match) -> Node | None:
    seen = _seen(m)
    if not seen.below:
        return None
    gone = common(seen.above, seen.below)
    if not gone:
        return None
    above, below = _dropped(seen.above, gone), _dropped(seen.below, gone)
    return Product(above, below, seen.negative).node(m.root.dtype)


def _exponent_of_one_plus(node: Node) -> Node | None:
    """u if the node is 1 + exp(u)."""
    if node.op is not add:
        return None
    for one, other in (node.inputs, node.inputs[::-1]):
        if scalar_value(one) == 1 and other.op is exp:
            return other.inputs[0]
    return None


def _below_to_sigmoid(m: Match) -> Node | None:
    seen = _seen(m)
    for factor in seen.below:
        exponent = _exponent_of_one_plus(factor)
        if exponent is not None:
            above = (*seen.above, sigmoid(neg(exponent)))
            rest = _dropped(seen.below, [factor])
            return Product(above, rest, seen.negative).node(m.root.dtype)
    return None


def _pair(above: Sequence[Node], first: Op, second: Op) -> tuple[Node, Node] | None:
    firsts = [x for x in above if x.op is first]
    for x in firsts:
        for y in above:
            if y.op is second and are_opposite(x.inputs[0], y.inputs[0]):
                return x, y
    return None


def _sigmoid_times_exp(m: Match) -> Node | None:
    seen = _seen(m)
    pair = _pair(seen.above, sigmoid, exp)
    if pair is None:
        return None
    rest = _dropped(seen.above, pair)
    new = (*rest, sigmoid(pair[1].inputs[0]))
    return Product(new, seen.below, seen.negative).node(m.root.dtype)


def _terms(node: Node) -> list[Product]:
    """The terms of a sum or difference as products; none if it is neither."""
    if node.op is neg:
        return [_minus(term) for term in _terms(node.inputs[0])]
    if node.op not in (add, sub):
        return []
    left, right = map(factors, node.inputs)
    return [left, _minus(right) if node.op is sub else right]


def _minus(product: Product) -> Product:
    return Product(product.above, product.below, not product.negative)


def _spread(total: Node, seen: Product, dtype: str) -> Node | None:
    """The product with the factors that cancel in the sum `total` moved into its terms."""
    others = _dropped(seen.above, [total])
    terms = _terms(total)
    moved = list[Node]()
    for term in terms:
        fresh = common(others, term.below)
        moved += [x for x in fresh if x not in moved]
    if not moved:
        return None
    left, right = (Product((*t.above, *moved), t.below, t.negative) for t in terms)
    whole = add(left.node(dtype), right.node(dtype))
    rest = _dropped(others, moved)
    return Product((whole, *rest), seen.below, seen.negative).node(dtype)


def _distribute(m: Match) -> Node | None:
    seen = _seen(m)
    if not any(map(is_positive, seen.above)):
        return None
    for factor in seen.above:
        if factor.op in (add, sub):
            new = _spread(factor, seen, m.root.dtype)
            if new is not None:
                return new
    return None


PRODUCTS: Final = (mul, true_div)

LAWS: Final = (
    Rule(
        name="a positive factor cancels",
        theano="local_mul_canonizer",
        left=PRODUCTS,
        right=_cancel,
        dtypes=FLOATS,
        why="exp(u), sigmoid(u), softmax(u) are 0 or infinite by rounding alone.",
    ),
    Rule(
        name="a factor over 1 + exp is a sigmoid",
        theano="local_inv_1_plus_exp",
        left=PRODUCTS,
        right=_below_to_sigmoid,
        dtypes=FLOATS,
        why="exp overflows long before the whole does.",
    ),
    Rule(
        name="sigmoid(-x) exp(x) is a sigmoid",
        theano="local_sigm_times_exp",
        left=PRODUCTS,
        right=_sigmoid_times_exp,
        dtypes=FLOATS,
        why="One factor underflows where the other overflows.",
    ),
    Rule(
        name="factors that cancel in a sum go into it",
        theano="local_greedy_distributor",
        left=PRODUCTS,
        right=_distribute,
        dtypes=FLOATS,
        why="(a/s + b/t) s t is a t + b s, which is finite where s or t underflows.",
    ),
)
