"""Lowering: from a group of nodes to the values and stores of one kernel.

Values are built on demand from what must be stored, so what nobody needs does not arise. A value is
asked for under loop axes, one per dimension; the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.integer import IntExpr, const
from exprd_compiler.ir.lowering import (
    ArgReduce,
    Gather,
    Generate,
    Host,
    Layout,
    Leaf,
    Reduce,
    Scalar,
)
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.kernel.access import Labels, align, folding, moves_axes, operands
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Buffer,
    Fold,
    Index,
    Load,
    Make,
    Number,
    Param,
    Position,
    Store,
    Value,
)
from exprd_compiler.kernel.group import Group, Grouping
from exprd_compiler.kernel.shapes import Shapes
from exprd_compiler.kernel.storage import Storage
from exprd_compiler.ops.arithmetic import cast, mul
from exprd_compiler.ops.leaves import repeated_value
from exprd_compiler.ops.movement import contiguous_strides


class KernelBuilder:
    """The values and stores of one kernel in the making.

    Attributes:
        axes: extents of the loop axes.
        values: in SSA order.
        stores: in program order.
    """

    def __init__(
        self,
        axes: Sequence[IntExpr],
        shapes: Shapes,
        storage: Storage,
        grouping: Grouping,
        buffer: Callable[[Node], Buffer],
    ) -> None:
        """Args: `buffer` gives the storage of a node and notes that it is needed."""
        self.axes = tuple(axes)
        self.values: list[Value] = []
        self.stores: list[Store] = []
        self.group: Group | None = None
        self._shapes, self._storage, self._grouping = shapes, storage, grouping
        self._buffer = buffer
        self._refs: dict[object, int] = {}
        self._known: dict[tuple[Node, Labels], int] = {}

    # ---- what a kernel is asked for
    def store(self, node: Node, loops: Labels, target: Buffer) -> None:
        """Write a value under its loop axes into the contiguous buffer of the same extents."""
        layout = Layout(const(0), target.extents, contiguous_strides(target.extents))
        self.stores.append(Store(self.value(node, loops), self.access(target, layout, loops)))

    def write(
        self,
        node: Node,
        loops: Labels,
        access: Access,
        mode: Literal["set", "inc"],
        factor: float = 1.0,
    ) -> None:
        """Write, or add, a value times a factor into part of a buffer, cast to its dtype."""
        dtype = access.buffer.dtype
        ref = self._cast(self.value(node, loops), dtype)
        if factor != 1.0:
            scale = self._add(Number(factor, dtype))
            ref = self._add(Apply(mul, (), (ref, scale), (dtype, dtype), dtype))
        self.stores.append(Store(ref, access, mode))

    def value(self, node: Node, loops: Labels) -> int:
        """The reference of a node's value under loop axes."""
        wanted = (node, loops)
        stack = [wanted]
        while wanted not in self._known:
            item = stack[-1]
            missing = [need for need in self._needs(*item) if need not in self._known]
            if missing:
                stack.extend(reversed(missing))
            else:
                stack.pop()
                self._known.setdefault(item, self._value(*item))
        return self._known[wanted]

    def _needs(self, node: Node, loops: Labels) -> Iterator[tuple[Node, Labels]]:
        """The values that a value is made of here; none for what is loaded or known."""
        if node in self._storage.copies or isinstance(node.op.lowering, Host | Leaf):
            return
        if self._computes(node, loops):
            inside = self._place(node) if folding(node) else loops
            for child, inner in operands(node, inside, self._shapes):
                if inner is not None:
                    yield child, inner

    def _computes(self, node: Node, loops: Labels) -> bool:
        mine = self.group is not None and self.group.members.get(node) == loops
        return mine or self._grouping.virtual(node)

    def _place(self, fold: Node) -> Labels:
        """The loop axes of what a fold of this kernel folds."""
        if self.group is None:
            raise CompilerBug("a fold outside a group", op=fold.op.name)
        return self.group.domains[fold]

    def access(
        self, buffer: Buffer, layout: Layout, loops: Labels, indexes: tuple[Index, ...] = ()
    ) -> Access:
        """The element at the current position; `loops` cover the last dimensions of the layout."""
        strides = [const(0)] * len(self.axes)
        lead = len(layout.strides) - len(loops)
        for stride, loop in zip(layout.strides[lead:], loops, strict=True):
            if loop is not None:
                strides[loop] = strides[loop] + stride
        return Access(buffer, layout.offset, tuple(strides), indexes)

    def index(self, node: Node, loops: Labels, data: Layout, axis: int) -> Index:
        """An integer value that selects along one axis of a layout."""
        ref = self._cast(self.value(node, loops), "int64")
        return Index(ref, data.strides[axis], data.extents[axis])

    # ---- values
    def _add(self, value: Value) -> int:
        # 0.0 and -0.0 are equal, but not the same constant
        key = (value, repr(value.value)) if isinstance(value, Number) else value
        if key not in self._refs:
            self._refs[key] = len(self.values)
            self.values.append(value)
        return self._refs[key]

    def _cast(self, ref: int, dtype: str) -> int:
        have = self.values[ref].dtype
        if have == dtype:
            return ref
        return self._add(Apply(cast, (("dtype", dtype),), (ref,), (have,), dtype))

    def _value(self, node: Node, loops: Labels) -> int:
        number = repeated_value(node)
        if number is not None:
            return self._add(Number(number, node.dtype))
        if isinstance(node.op.lowering, Host):
            return self._add(Param(self._shapes.host(node)))
        if self._computes(node, loops):
            return self._computed(node, loops)
        return self._loaded(self._storage.base(node), self._storage.layout(node), loops, node.dtype)

    def _loaded(self, base: Node, layout: Layout, loops: Labels, dtype: str) -> int:
        return self._add(Load(self.access(self._buffer(base), layout, loops), dtype))

    def _computed(self, node: Node, loops: Labels) -> int:
        rule = node.op.lowering
        if moves_axes(node):
            ((child, inner),) = operands(node, loops, self._shapes)
            if inner is None:
                raise CompilerBug("a moved axis lost its label", op=node.op.name)
            return self.value(child, inner)
        if node in self._storage.copies:
            source = node.inputs[0]
            layout = self._shapes.view(node, self._storage.layout(source))
            return self._loaded(self._storage.base(source), layout, loops, node.dtype)
        match rule:
            case Scalar():
                return self._applied(node, self._inputs(node, loops), rule, loops)
            case Generate():
                return self._made(node, loops)
            case Gather():
                return self._gathered(node, loops)
            case Reduce() | ArgReduce():
                return self._folded(node, rule)
            case _:
                raise CompilerBug("no kernel computes this op", op=node.op.name)

    def _inputs(self, node: Node, loops: Labels) -> tuple[int, ...]:
        return tuple(
            self.value(child, inner)
            for child, inner in operands(node, loops, self._shapes)
            if inner is not None
        )

    def _applied(self, node: Node, refs: tuple[int, ...], rule: Scalar, loops: Labels) -> int:
        names = [self.values[ref].dtype for ref in refs]
        wanted = tuple(rule.operands(names, node.dtype))
        counters = self._shapes.counters.of(node, wanted)
        domain = tuple(sorted({loop for loop in loops if loop is not None})) if counters else ()
        made = Apply(node.op, node.attrs, refs, wanted, node.dtype, counters, domain)
        return self._add(made)

    def _made(self, node: Node, loops: Labels) -> int:
        positions = tuple(
            self._add(Number(0, "int64") if loop is None else Position(loop)) for loop in loops
        )
        refs = self._inputs(node, loops)
        return self._add(Make(node.op, node.attrs, positions, refs, node.dtype))

    def _gathered(self, node: Node, loops: Labels) -> int:
        data = node.inputs[0]
        layout = self._storage.layout(data)
        pairs = [
            (x, inner) for x, inner in operands(node, loops, self._shapes) if inner is not None
        ]
        indexes = tuple(self.index(x, inner, layout, axis) for axis, (x, inner) in enumerate(pairs))
        rest = loops[node.ndim - data.ndim + len(pairs) :]
        buffer = self._buffer(self._storage.base(data))
        access = self.access(buffer, layout, rest, indexes)
        message = "index {} is out of range for an axis of {}"
        site = self._shapes.site("IndexOutOfRange", message, node)
        checked = Access(buffer, access.offset, access.strides, indexes, site)
        return self._add(Load(checked, node.dtype))

    def _folded(self, node: Node, rule: Reduce | ArgReduce) -> int:
        place = self._place(node)
        child = node.inputs[0]
        ref = self.value(child, align(child, place, self._shapes))
        axes: tuple[int, ...] = node["axes"]
        rows = [place[axis] for axis in axes if place[axis] is not None]
        if isinstance(rule, ArgReduce):
            if not rows:
                return self._add(Number(0, "int64"))
            return self._add(Fold(rule, ref, child.dtype, "int64", rows[0] or 0))
        wide = rule.accumulate(child.dtype)
        ref = self._cast(ref, wide)
        if rows:
            ref = self._add(Fold(rule, ref, wide, wide))
        return self._cast(ref, node.dtype)


def label(nodes: Iterable[Node]) -> str:
    """A name for people: the ops of a kernel in order, without repetition."""
    ops: dict[str, Op] = {node.op.name: node.op for node in nodes}
    return "_".join(list(ops)[:6]) or "copy"
