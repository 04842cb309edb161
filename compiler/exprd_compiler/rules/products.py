"""Products seen whole: factors that cancel, sigmoids in pieces, sums that factors cancel against.

These are what makes the gradient of a cross-entropy finite: p/p of a saturated p is 0/0 as
written. Only factors that cannot be 0 or infinite but by rounding cancel (exp, sigmoid, softmax
and the like), so x / x keeps its NaN at 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exprd_compiler.ir.dtype import FLOATS
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.arithmetic import add, mul, neg, sqr, sub, true_div
from exprd_compiler.ops.leaves import const, scalar_value
from exprd_compiler.ops.nnet import softmax
from exprd_compiler.ops.transcendental import exp, pow_, sigmoid, softplus
from exprd_compiler.rewrite.rules import Match, Rule

MOST_FACTORS: Final = 16  # of one product; a longer chain is seen in part
MOST_POWER: Final = 4  # a higher power is one factor
MOST_TERMS: Final = 8  # of one sum; what is left of it is one term
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
    """The factors of a node, seen through products, quotients, signs and small integer powers."""
    above: list[Node] = []
    below: list[Node] = []
    negative = False
    stack = [(node, False)]
    room = MOST_FACTORS
    while stack:
        top, inverted = stack.pop()
        parts = _parts(top) if room else None
        if parts is None:
            (below if inverted else above).append(top)
            continue
        room -= 1
        negative ^= top.op is neg
        stack += [(part, inverted != turned) for part, turned in reversed(parts)]
    return Product(tuple(above), tuple(below), negative)


def _parts(node: Node) -> list[tuple[Node, bool]] | None:
    """The factors of one node, each with whether it is below the fraction bar."""
    if node.op in (neg, mul):
        return [(x, False) for x in node.inputs]
    if node.op is true_div:
        return [(node.inputs[0], False), (node.inputs[1], True)]
    if node.op is sqr:
        return [(node.inputs[0], False)] * 2
    exponent = scalar_value(node.inputs[1]) if node.op is pow_ else None
    if exponent is None or int(exponent) != exponent or not 0 < abs(exponent) <= MOST_POWER:
        return None
    return [(node.inputs[0], exponent < 0)] * int(abs(exponent))


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
    """The terms of a sum as products with their signs; at most so many, the rest stays a sum."""
    out: list[Product] = []
    stack = [Product((node,))]
    while stack:
        top = stack.pop()
        total = top.above[0]
        alone = len(top.above) == 1 and not top.below and total.op in (add, sub)
        if not alone or len(stack) + len(out) >= MOST_TERMS:
            out.append(top)
            continue
        left, right = map(factors, total.inputs)
        right = _minus(right) if total.op is sub else right
        stack += [_minus(x) if top.negative else x for x in (right, left)]
    return out


def _minus(product: Product) -> Product:
    return Product(product.above, product.below, not product.negative)


def _spread(total: Node, seen: Product, dtype: str) -> Node | None:
    """The product with the factors that cancel in the sum `total` moved into its terms."""
    others = _dropped(seen.above, [total])
    terms = _terms(total)
    moved: list[Node] = []
    for term in terms:
        moved += [x for x in common(others, term.below) if x not in moved]
    if not moved:
        return None
    whole: Node | None = None
    for term in terms:
        node = Product((*term.above, *moved), term.below, term.negative).node(dtype)
        whole = node if whole is None else add(whole, node)
    assert whole is not None
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


# ---- x - x * sigmoid(u)
def _surplus(more: Product, less: Product) -> Node | None:
    """The sigmoid by which the first product exceeds the second, if that is all."""
    if more.negative != less.negative or len(more.above) != len(less.above) + 1:
        return None
    if Counter(more.below) != Counter(less.below):
        return None
    extra = list((Counter(more.above) - Counter(less.above)).elements())
    return extra[0] if len(extra) == 1 and extra[0].op is sigmoid else None


def _rest_of_sigmoid(m: Match) -> Node | None:
    whole, part = m.root.inputs
    left, right = factors(whole), factors(part)
    if extra := _surplus(right, left):
        return mul(whole, sigmoid(neg(extra.inputs[0])))
    if extra := _surplus(left, right):
        return neg(mul(part, sigmoid(neg(extra.inputs[0]))))
    return None


PRODUCTS: Final = (mul, true_div)

FACTORS: Final = (
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
        name="a value less its sigmoid part",
        theano="local_1msigmoid",
        left=(sub,),
        right=_rest_of_sigmoid,
        over=(mul,),
        dtypes=FLOATS,
        why="1 - sigmoid(u) is sigmoid(-u), without the loss of digits.",
    ),
)

# Sums are opened last, when every product has been seen whole.
DISTRIBUTION: Final = (
    *FACTORS,
    Rule(
        name="factors that cancel in a sum go into it",
        theano="local_greedy_distributor",
        left=PRODUCTS,
        right=_distribute,
        dtypes=FLOATS,
        why="(a/s + b/t) s t is a t + b s, which is finite where s or t underflows.",
    ),
)
