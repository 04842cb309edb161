"""Patterns: terms with wildcards that look like the expressions they match.

Terms are built with ordinary operators and with `P.name(...)` for the op of that name; they carry
no types, so nothing is promoted or inferred while one is written. A wildcard that occurs twice
must match the same node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.leaves import const, constant, constant_value, scalar_value
from exprd_compiler.ops.table import OPS
from exprd_compiler.rewrite.intern import COMMUTATIVE

Number: TypeAlias = float | int
Binding: TypeAlias = dict[str, Any]


class Term:
    """Anything that can stand in a pattern; the operators build applications."""

    __slots__ = ()

    def __add__(self, other: Term | Number) -> Apply:
        return apply("add", self, other)

    def __radd__(self, other: Number) -> Apply:
        return apply("add", other, self)

    def __sub__(self, other: Term | Number) -> Apply:
        return apply("sub", self, other)

    def __rsub__(self, other: Number) -> Apply:
        return apply("sub", other, self)

    def __mul__(self, other: Term | Number) -> Apply:
        return apply("mul", self, other)

    def __rmul__(self, other: Number) -> Apply:
        return apply("mul", other, self)

    def __truediv__(self, other: Term | Number) -> Apply:
        return apply("true_div", self, other)

    def __rtruediv__(self, other: Number) -> Apply:
        return apply("true_div", other, self)

    def __pow__(self, other: Term | Number) -> Apply:
        return apply("pow", self, other)

    def __neg__(self) -> Apply:
        return apply("neg", self)


@dataclass(frozen=True, slots=True)
class Wild(Term):
    """A wildcard: any node, or any constant; as an attribute, any value."""

    name: str
    constant: bool = False

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Literal(Term):
    """A constant all of whose elements are this number, of any dtype and rank."""

    value: Number

    def __repr__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True, slots=True)
class Apply(Term):
    """An op applied to terms; attributes are values or wildcards."""

    op: Op
    args: tuple[Term, ...]
    attrs: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        sign = _SIGNS.get(self.op.name)
        if sign is None:
            parts = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.attrs)]
            return f"{self.op.name}({', '.join(parts)})"
        args = [f"({a!r})" if _is_infix(a) else repr(a) for a in self.args]
        return f"-{args[0]}" if len(args) == 1 else f" {sign} ".join(args)


_SIGNS: Final = MappingProxyType(
    {"add": "+", "sub": "-", "mul": "*", "true_div": "/", "pow": "**", "neg": "-"}
)


def _is_infix(term: Term) -> bool:
    negative = isinstance(term, Literal) and term.value < 0
    return negative or (isinstance(term, Apply) and term.op.name in _SIGNS)


def apply(name: str, *args: Term | Number, **attrs: Any) -> Apply:
    """The op of this name applied to terms."""
    terms = tuple(arg if isinstance(arg, Term) else Literal(arg) for arg in args)
    return Apply(OPS[name], terms, tuple(sorted(attrs.items())))


class _Ops:
    """The ops as attributes: `P.log(x)` is a term."""

    def __getattr__(self, name: str) -> Callable[..., Apply]:
        if name not in OPS:
            raise AttributeError(name)
        return lambda *args, **attrs: apply(name, *args, **attrs)


P: Final = _Ops()


def wild(names: str) -> tuple[Wild, ...]:
    """Wildcards of these names, which are separated by spaces."""
    return tuple(map(Wild, names.split()))


def constants(names: str) -> tuple[Wild, ...]:
    """Wildcards that match constants only."""
    return tuple(Wild(name, constant=True) for name in names.split())


def wildcards(term: Term) -> set[str]:
    """The names of the wildcards of a term, attributes included."""
    if isinstance(term, Wild):
        return {term.name}
    if not isinstance(term, Apply):
        return set()
    names = {value.name for _, value in term.attrs if isinstance(value, Wild)}
    for arg in term.args:
        names |= wildcards(arg)
    return names


def root_op(term: Term) -> Op | None:
    """The op that a node must have to match, if there is just one."""
    if isinstance(term, Apply):
        return term.op
    fixed = isinstance(term, Literal) or (isinstance(term, Wild) and term.constant)
    return constant if fixed else None


def variants(term: Term) -> Iterator[Term]:
    """The term with the operands of commutative ops in every order, itself first."""
    if not isinstance(term, Apply):
        yield term
        return
    seen: set[tuple[Term, ...]] = set()
    for args in product(*map(tuple, map(variants, term.args))):
        orders = (args, args[::-1]) if term.op in COMMUTATIVE else (args,)
        for order in orders:
            if order not in seen:
                seen.add(order)
                yield Apply(term.op, order, term.attrs)


def match(term: Term, node: Node, bound: Binding) -> bool:
    """Whether the node has the form of the term; the wildcards are added to `bound`."""
    if isinstance(term, Apply):
        return (
            node.op is term.op
            and len(node.inputs) == len(term.args)
            and all(_bind_attr(node, name, value, bound) for name, value in term.attrs)
            and all(match(a, x, bound) for a, x in zip(term.args, node.inputs, strict=True))
        )
    if isinstance(term, Literal):
        return _is_number(node, term.value)
    assert isinstance(term, Wild)
    if term.constant and node.op is not constant:
        return False
    return bound.setdefault(term.name, node) is node


def _is_number(node: Node, value: Number) -> bool:
    array = constant_value(node)
    # the first element alone refuses nearly every large constant
    if array is None or array.size == 0 or array.reshape(-1)[0] != value:
        return False
    return scalar_value(node) == value


def _bind_attr(node: Node, name: str, value: Any, bound: Binding) -> bool:
    have = node[name]
    want = bound.setdefault(value.name, have) if isinstance(value, Wild) else value
    return bool(want == have)


def instantiate(term: Term, bound: Mapping[str, Any], dtype: str) -> Node:
    """The term as nodes; numbers take the given dtype."""
    if isinstance(term, Wild):
        node: Node = bound[term.name]
        return node
    if isinstance(term, Literal):
        return const(term.value, dtype)
    assert isinstance(term, Apply)
    attrs = {n: bound[v.name] if isinstance(v, Wild) else v for n, v in term.attrs}
    return term.op(*[instantiate(arg, bound, dtype) for arg in term.args], **attrs)
