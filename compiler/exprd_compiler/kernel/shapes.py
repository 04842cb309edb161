"""Shapes: the run-time extents of every value, as integer expressions of the entry.

Walks a graph once, in order. Extents that must agree are checked once and then are one expression,
so that loops over them fuse. Integers that decide extents are computed by the entry itself, or
fetched from a buffer when they come out of a computation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir import integer
from exprd_compiler.ir.dtype import is_discrete
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.integer import IntExpr, const
from exprd_compiler.ir.lowering import (
    ArgReduce,
    Assign,
    Expand,
    Extents,
    Gather,
    Generate,
    Host,
    Join,
    Lapack,
    Layout,
    Leaf,
    Library,
    Reduce,
    Routine,
    Scalar,
    Scan,
    Scatter,
    View,
)
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.counting import Counters
from exprd_compiler.kernel.form import Check, Site
from exprd_compiler.ops.families import drop_axes
from exprd_compiler.ops.leaves import constant, constant_value
from exprd_compiler.ops.movement import contiguous_strides


def host_inputs(node: Node) -> tuple[Node, ...]:
    """The inputs that are integers known to the entry (extents and bounds)."""
    match node.op.lowering:
        case View():
            return node.inputs[1:]
        case Assign():
            return node.inputs[2:]
        case Generate(hosts=hosts):
            return node.inputs[:hosts]
        case Routine(operands=operands):
            return node.inputs[operands:]
        case _:
            return ()


def value_inputs(node: Node) -> tuple[Node, ...]:
    """The inputs whose elements are needed."""
    match node.op.lowering:
        case View():
            return node.inputs[:1]
        case Assign():
            return node.inputs[:2]
        case Generate(hosts=hosts):
            return node.inputs[hosts:]
        case Routine(operands=operands):
            return node.inputs[:operands]
        case Host():
            return ()
        case _:
            return node.inputs


class _IntBuilder:
    """The scalar builder over integer expressions: what of a body the entry itself can compute."""

    def const(self, value: float, dtype: str) -> IntExpr:
        del dtype
        return const(int(value))

    def add(self, a: IntExpr, b: IntExpr) -> IntExpr:
        return a + b

    def sub(self, a: IntExpr, b: IntExpr) -> IntExpr:
        return a - b

    def mul(self, a: IntExpr, b: IntExpr) -> IntExpr:
        return a * b

    def neg(self, a: IntExpr) -> IntExpr:
        return 0 - a

    def minimum(self, a: IntExpr, b: IntExpr) -> IntExpr:
        return integer.minimum(a, b)

    def maximum(self, a: IntExpr, b: IntExpr) -> IntExpr:
        return integer.maximum(a, b)


# ops of int64 scalars that the entry computes; cast only widens, so it is the identity
_ON_HOST = frozenset(("add", "sub", "mul", "neg", "minimum", "maximum", "cast"))
# and these, if the divisor is provably positive
_BY_POSITIVE: Final[dict[str, Callable[[IntExpr, IntExpr], IntExpr]]] = {
    "int_div": lambda a, b: a // b,
    "mod": lambda a, b: a - a // b * b,
}


_LAPACK_LIMIT: Final = 2**31 - 1


class Shapes:
    """Extents of the nodes seen so far, the checks they need, and the integers to fetch.

    Attributes:
        checks: in the order in which they arose.
        sites: error sites of checks and kernels.
        fetched: the node of each integer that is read from a buffer, by number.
    """

    def __init__(self, arguments: Sequence[Node]) -> None:
        self.checks: list[Check] = []
        self.sites: list[Site] = []
        self.counters = Counters()
        self.fetched: list[Node] = []
        self._argument = {node: index for index, node in enumerate(arguments)}
        self._extents: dict[Node, Extents] = {}
        self._host: dict[Node, IntExpr] = {}
        self._same: dict[IntExpr, IntExpr] = {}
        self._checked: set[IntExpr] = set()
        self._node: Node | None = None

    # ---- queries
    def __getitem__(self, node: Node) -> Extents:
        return self._canonical(self._extents[node])

    def integers(self, nodes: Iterable[Node]) -> list[IntExpr]:
        """The nodes as integer expressions of the entry."""
        return [self.host(node) for node in nodes]

    def view(self, node: Node, source: Layout) -> Layout:
        """The layout of a view node over the layout of its source."""
        self._node = node
        rule = node.op.lowering
        assert isinstance(rule, View | Assign)
        layout: Layout = rule.layout(
            self, source, *self.integers(host_inputs(node)), **self._view_attrs(node)
        )
        return Layout(layout.offset, self._canonical(layout.extents), layout.strides)

    @staticmethod
    def _view_attrs(node: Node) -> Mapping[str, Any]:
        attrs = node.attributes
        attrs.pop("mode", None)
        return attrs

    def site(self, kind: str, message: str, node: Node) -> int:
        """The number of a new error site."""
        origin = node.origin if isinstance(node.origin, int) else -1
        self.sites.append(Site(kind, message, node.op.name, origin))
        return len(self.sites) - 1

    def require(self, condition: IntExpr, kind: str, message: str, *values: IntExpr) -> None:
        """Add a run-time check, see `HostContext`."""
        if self._node is None:
            raise CompilerBug("a check arose outside a node")
        self.require_for(self._node, condition, kind, message, *values)

    def require_for(
        self, node: Node, condition: IntExpr, kind: str, message: str, *values: IntExpr
    ) -> None:
        """Add a run-time check on behalf of a node, once per condition."""
        if not condition.known and condition not in self._checked:
            self._checked.add(condition)
            self.checks.append(Check(condition, self.site(kind, message, node), values))

    # ---- integers of the entry
    def host(self, node: Node) -> IntExpr:
        """The value of a 0-d integer node as an expression of the entry."""
        for item in toposort([node], stop=lambda n: n in self._host or not _from_integers(n)):
            if item not in self._host:
                self._host[item] = self._host_value(item)
        return self._host[node]

    def _host_value(self, node: Node) -> IntExpr:
        array = constant_value(node)
        if array is not None:
            return const(int(array))
        rule = node.op.lowering
        if isinstance(rule, Host):
            return rule.value(self[node.inputs[0]], **node.attributes)
        if _from_integers(node):
            inputs = [self._host[x] for x in node.inputs]
            if node.op.name == "cast":
                return inputs[0]
            if node.op.name in _BY_POSITIVE:
                return _BY_POSITIVE[node.op.name](*inputs)
            assert isinstance(rule, Scalar)
            result: IntExpr = rule.body(_IntBuilder(), *inputs)
            return result
        self.fetched.append(node)
        return integer.value(len(self.fetched) - 1)

    # ---- extents
    def add(self, node: Node) -> None:
        """Derive the extents of a node whose inputs have theirs."""
        self._node = node
        derived = self._derive(node)
        self._extents[node] = tuple(
            const(known) if known is not None else expr
            for known, expr in zip(node.type.shape, self._canonical(derived), strict=True)
        )

    def _derive(self, node: Node) -> Extents:
        return _DERIVE[type(node.op.lowering)](self, node)

    def _fold(self, node: Node) -> Extents:
        rule = node.op.lowering
        empty = rule.empty if isinstance(rule, Reduce) else "error"
        return self._reduced(node, self[node.inputs[0]], empty)

    def _seen(self, node: Node) -> Extents:
        return self.view(node, self._whole(node.inputs[0])).extents

    def _generated(self, node: Node) -> Extents:
        rule = node.op.lowering
        if None not in node.type.shape or not isinstance(rule, Generate):
            return tuple(const(n or 0) for n in node.type.shape)
        return rule.extents(*self.integers(host_inputs(node)))

    def _scattered(self, node: Node) -> Extents:
        self._fit(node.inputs[1], self._gathered(node, node.inputs[2:]))
        return self[node.inputs[0]]

    def _assigned(self, node: Node) -> Extents:
        self._fit(node.inputs[1], self.view(node, self._whole(node.inputs[0])).extents)
        return self[node.inputs[0]]

    def _joined(self, node: Node) -> Extents:
        along: int = node["axis"]
        first, *others = node.inputs
        total, common = self[first][along], list(self[first])
        for x in others:
            mine = self[x]
            longer = total + mine[along]
            fits = integer.equal(integer.less(longer, total), 0)
            self.require(fits, "ShapeError", "too many elements: {} and {}", total, mine[along])
            total = longer
            for axis, extent in enumerate(mine):
                if axis != along:
                    text = f"extents {{}} and {{}} meet on axis {axis}, which is not joined"
                    common[axis] = self._unify(common[axis], extent, text)
        common[along] = total
        return tuple(common)

    def _whole(self, node: Node) -> Layout:
        extents = self[node]
        return Layout(const(0), extents, contiguous_strides(extents))

    def _leaf(self, node: Node) -> Extents:
        if node.op is constant:
            return tuple(const(n or 0) for n in node.type.shape)
        place = self._argument[node]
        return tuple(integer.extent(place, axis) for axis in range(node.ndim))

    def _canonical(self, extents: Extents) -> Extents:
        return tuple(map(self._find, extents))

    def _find(self, expr: IntExpr) -> IntExpr:
        while expr in self._same:
            expr = self._same[expr]
        return expr

    def _unify(self, a: IntExpr, b: IntExpr, text: str) -> IntExpr:
        """The one expression for two extents that must agree; `text` is for when they do not."""
        a, b = self._find(a), self._find(b)
        if a is b:
            return a
        self.require(integer.equal(a, b), "ShapeError", text, a, b)
        keep, drop = (b, a) if _earliness(b) < _earliness(a) else (a, b)
        if drop.known is None:
            self._same[drop] = keep
        return keep

    def _broadcast(self, node: Node, inputs: Sequence[Node]) -> Extents:
        rank = max((x.ndim for x in inputs), default=0)
        out: list[IntExpr] = []
        for axis in range(rank):
            common: IntExpr | None = None
            for x in inputs:
                place = axis - (rank - x.ndim)
                if place < 0 or x.type.shape[place] == 1:
                    continue
                mine = self[x][place]
                common = mine if common is None else self._unify(common, mine, _differ(axis))
            out.append(const(1) if common is None else common)
        self._node = node
        return tuple(out)

    def _reduced(self, node: Node, source: Extents, empty: str) -> Extents:
        axes: tuple[int, ...] = node["axes"]
        if empty == "error":
            count = integer.product(tuple(source[axis] for axis in axes))
            self.require(
                integer.less(0, count), "ShapeError", "there are no elements to choose from"
            )
        return drop_axes(source, axes)

    def _gathered(self, node: Node, indexes: Sequence[Node]) -> Extents:
        leading = self._broadcast(node, indexes)
        return (*leading, *self[node.inputs[0]][len(indexes) :])

    def _fit(self, y: Node, view: Extents) -> None:
        """Check that y broadcasts to the view that it is written to."""
        lead = len(view) - y.ndim
        for axis, mine in enumerate(self[y]):
            if y.type.shape[axis] != 1:
                self._unify(view[lead + axis], mine, _differ(lead + axis))

    def _routine(self, node: Node) -> Extents:
        rule = node.op.lowering
        if not isinstance(rule, Routine):
            raise CompilerBug("not a routine", op=node.op.name)
        operands = [self[x] for x in node.inputs[: rule.operands]]
        return rule.extents(self, operands, *self.integers(host_inputs(node)), **node.attributes)

    def _stacked(self, node: Node) -> Extents:
        rule = node.op.lowering
        if not isinstance(rule, Lapack):
            raise CompilerBug("not a routine of LAPACK", op=node.op.name)
        depth = node.inputs[0].ndim - rule.core[0]
        stack = list(self[node.inputs[0]][:depth])
        for x in node.inputs[1:]:
            for axis, mine in enumerate(self[x][:depth]):
                stack[axis] = self._unify(stack[axis], mine, _differ(axis))
        items = [self[x][depth:] for x in node.inputs]
        for a, b, text in rule.agree(*items):
            self._unify(a, b, text)
        items = [self._canonical(item) for item in items]
        text = "extent {} is beyond what LAPACK takes"
        for size in rule.sizes(*items, **node.attributes):
            self.require(integer.less(size, _LAPACK_LIMIT), "LimitExceeded", text, size)
        return (*stack, *rule.extents(*items, **node.attributes))

    def _library(self, node: Node) -> Extents:
        rule = node.op.lowering
        if not isinstance(rule, Library):
            raise CompilerBug("not a library call", op=node.op.name)
        a, b = (self[x] for x in node.inputs[:2])
        self._unify(a[-1], b[-2:][0], "the inner extents {} and {} of a product differ")
        for axis in range(len(b) - 2):
            if 1 not in (a[axis].known, b[axis].known):
                self._unify(a[axis], b[axis], _differ(axis))
        inputs = [self._canonical(self._extents[x]) for x in node.inputs]
        out = rule.extents(*inputs)
        for x in node.inputs[2:]:
            for axis, (mine, want) in enumerate(zip(self[x], out, strict=True)):
                if x.type.shape[axis] != 1:
                    self._unify(want, mine, _differ(axis))
        return out


def _earliness(expr: IntExpr) -> int:
    """How early an extent is known: from the start, at the call, after the fetch of a number.

    What waits for a fetch must not stand for what the fetched value itself is computed from.
    """
    if expr.known is not None:
        return -2
    return max(expr.numbers, default=-1)


def _differ(axis: int) -> str:
    rule = "only axes that are statically 1 broadcast"
    return "extents {} and {}" + f" on axis {axis} differ; {rule}"


def _unexpected(_: Shapes, node: Node) -> Extents:
    raise CompilerBug("an expansion reached the kernel floor", op=node.op.name)


# The table of the class's own rules.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false
_DERIVE: Final[dict[type, Callable[[Shapes, Node], Extents]]] = {
    Leaf: Shapes._leaf,
    Scalar: lambda shapes, node: shapes._broadcast(node, node.inputs),
    Reduce: Shapes._fold,
    ArgReduce: Shapes._fold,
    View: Shapes._seen,
    Generate: Shapes._generated,
    Gather: lambda shapes, node: shapes._gathered(node, node.inputs[1:]),
    Scatter: Shapes._scattered,
    Assign: Shapes._assigned,
    Join: Shapes._joined,
    Scan: lambda shapes, node: shapes[node.inputs[0]],
    Library: Shapes._library,
    Lapack: Shapes._stacked,
    Routine: Shapes._routine,
    Host: lambda _, __: (),
    Expand: _unexpected,
}


def _from_integers(node: Node) -> bool:
    """Whether the entry can compute the node exactly from its inputs as integers."""
    name = node.op.name
    known = name in _ON_HOST or (name in _BY_POSITIVE and _is_positive(node.inputs[1]))
    small = node.ndim == 0 and known
    return small and node.dtype == "int64" and all(is_discrete(x.dtype) for x in node.inputs)


def _is_positive(node: Node) -> bool:
    """Whether an integer node is a constant above 0, or not less than one."""
    array = constant_value(node)
    if array is not None:
        return bool(array > 0)
    return node.op.name == "maximum" and any(map(_is_positive, node.inputs))
