"""Planning: from an optimized graph to the steps of its native entry.

Groups are lowered from the last level to the first, so a buffer exists only if a later step reads
it. A step stands after everything it reads, checks as early as their integers are known.
"""

from __future__ import annotations

from collections.abc import Iterable

from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.integer import IntExpr, const, less
from exprd_compiler.ir.lowering import (
    Assign,
    Host,
    Join,
    Lapack,
    Layout,
    Leaf,
    Library,
    Routine,
    Scan,
    Scatter,
)
from exprd_compiler.ir.node import Node
from exprd_compiler.kernel.access import Labels, align
from exprd_compiler.kernel.counting import counted_once
from exprd_compiler.kernel.form import (
    Access,
    Blas,
    Buffer,
    Check,
    Fetch,
    Kernel,
    Operand,
    Place,
    Plan,
    Step,
)
from exprd_compiler.kernel.group import Group, Grouping
from exprd_compiler.kernel.lapack import lapack_steps
from exprd_compiler.kernel.lower import KernelBuilder, label
from exprd_compiler.kernel.routine import routine_call
from exprd_compiler.kernel.scan import later_places, scan
from exprd_compiler.kernel.schedule import schedule
from exprd_compiler.kernel.shapes import Shapes, value_inputs
from exprd_compiler.kernel.slots import assign_slots
from exprd_compiler.kernel.storage import Storage, leading
from exprd_compiler.ops.leaves import constant
from exprd_compiler.ops.movement import contiguous_strides

_BLAS_LIMIT = 2**31 - 1
# Lowerings that no other node shares a kernel with.
_STANDING = (Assign, Join, Lapack, Library, Routine, Scan, Scatter)


def make_plan(graph: Graph, *, in_place: bool = False) -> Plan:
    """The plan of a graph without expansions.

    With `in_place`, the updates are chains of writes that begin at their variables (see `writes`):
    they are made in the argument, after everything else, and are no outputs.
    """
    return _Planner(graph, in_place=in_place).plan()


class _Planner:
    def __init__(self, graph: Graph, *, in_place: bool) -> None:
        order = graph.nodes()
        self.graph = graph
        self.shapes = Shapes(graph.leaves)
        for node in order:
            self.shapes.add(node)
        self.storage = Storage(self.shapes, order)
        wanted = self._wanted()
        demanded = [node for node in order if node in wanted]
        self.grouping = Grouping(self.shapes, self.storage, demanded, graph.roots)
        self.standing = [n for n in demanded if isinstance(n.op.lowering, _STANDING)]
        self.buffers: list[Buffer] = []
        self.buffer_of: dict[Node, Buffer] = {}
        self.constants: list[Node] = []
        self.steps: dict[int, list[Step]] = {}
        self.temporaries = 0
        self.argument = {node: index for index, node in enumerate(graph.leaves)}
        self.returned = graph.outputs if in_place else graph.roots
        self.written: set[Node] = set()  # the writes that are made in place
        for slot, new in graph.updates if in_place else ():
            self._write_in_place(graph.shared[slot], new)

    def _wanted(self) -> set[Node]:
        """The nodes whose elements some root or some fetched integer needs."""
        stack = [*self.graph.roots, *self.shapes.fetched]
        wanted: set[Node] = set()
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                stack.extend(value_inputs(node))
        return wanted

    def _write_in_place(self, leaf: Node, new: Node) -> None:
        while new is not leaf:
            self.buffer_of[new] = self._buffer(leaf)
            self.written.add(new)
            new = new.inputs[0]

    # ---- buffers
    def _new_buffer(self, node: Node, place: Place, index: int) -> Buffer:
        origin = node.origin if isinstance(node.origin, int) else -1
        number, extents = len(self.buffers), self.shapes[node]
        buffer = Buffer(number, node.dtype, extents, place, index, node.op.name, origin)
        self.buffers.append(buffer)
        return buffer

    def _buffer(self, node: Node) -> Buffer:
        """The storage of a node, which is thereby needed."""
        if node not in self.buffer_of:
            if node in self.argument:
                place: Place = "argument"
                index = self.argument[node]
            elif node.op is constant:
                place, index = "constant", len(self.constants)
                self.constants.append(node)
            else:
                place, index = "temporary", self.temporaries
                self.temporaries += 1
            self.buffer_of[node] = self._new_buffer(node, place, index)
        return self.buffer_of[node]

    def _temporary(self, dtype: str, extents: tuple[IntExpr, ...]) -> Buffer:
        """Storage for one step alone."""
        number, index = len(self.buffers), self.temporaries
        self.temporaries += 1
        self.buffers.append(Buffer(number, dtype, extents, "temporary", index))
        return self.buffers[-1]

    def _builder(self, axes: Iterable[IntExpr]) -> KernelBuilder:
        return KernelBuilder(tuple(axes), self.shapes, self.storage, self.grouping, self._buffer)

    # ---- the whole
    def plan(self) -> Plan:
        outputs = self._outputs()
        for node in self.shapes.fetched:
            self._buffer(self.storage.base(node))
        last = max((g.level for g in self.grouping.groups), default=0)
        last = max([last, *(self.grouping.level(n) for n in self.standing)])
        by_level: dict[int, list[Group | Node]] = {}
        for group in self.grouping.groups:
            by_level.setdefault(group.level, []).append(group)
        for node in self.standing:
            by_level.setdefault(self.grouping.level(node), []).append(node)
        for level in range(last, 0, -1):
            for item in by_level.get(level, ()):
                made = (
                    self._lower_group(item) if isinstance(item, Group) else self._lower_node(item)
                )
                self.steps.setdefault(level, []).extend(made)
        for node in sorted(self.written, key=self.grouping.level):
            self.steps.setdefault(-1, []).append(self._write(node))
        steps = tuple(counted_once(self._in_order(last)))
        slots, slot_of = assign_slots(self.buffers, steps)
        return Plan(
            arguments=tuple(node.ndim for node in self.graph.leaves),
            buffers=tuple(self.buffers),
            steps=steps,
            sites=tuple(self.shapes.sites),
            outputs=tuple(outputs),
            slots=slots,
            slot_of=slot_of,
            constants=tuple(node["value"].array for node in self.constants),
            counters=tuple(self.shapes.counters.made),
        )

    def _outputs(self) -> list[Buffer]:
        """One buffer per root; a root that is stored nowhere else is computed straight into it."""
        out: list[Buffer] = []
        for index, root in enumerate(self.returned):
            buffer = self._new_buffer(root, "output", index)
            out.append(buffer)
            owned = self.storage.base(root) is root and not isinstance(
                root.op.lowering, Leaf | Host
            )
            if owned and root not in self.buffer_of:
                self.buffer_of[root] = buffer
            else:
                self._copy_later(root, buffer)
        return out

    def _copy_later(self, root: Node, target: Buffer) -> None:
        """A final kernel that copies a leaf, a view or a repeated root to its output."""
        axes, loops = _loops(target.extents)
        builder = self._builder(axes)
        builder.store(root, loops, target)
        kernel = schedule(axes, frozenset(), builder.values, builder.stores, "copy")
        self.steps.setdefault(-1, []).append(kernel)

    def _in_order(self, last: int) -> tuple[Step, ...]:
        steps: list[Step] = []
        waiting = list(self.shapes.checks)
        fetches = list(enumerate(self.shapes.fetched))
        known: set[int] = set()
        for level in range(last + 1):
            steps += self.steps.get(level, ())
            for number, node in fetches:
                base = self.storage.base(node)
                if self.grouping.level(base) == level:
                    steps.append(
                        Fetch(number, self.buffer_of[base], self.storage.layout(node).offset)
                    )
                    known.add(number)
            steps += [check for check in waiting if self._ready(check, known)]
            waiting = [check for check in waiting if not self._ready(check, known)]
        if waiting:
            raise CompilerBug("a check waits for an integer that is never fetched")
        return (*steps, *self.steps.get(-1, ()))

    def _ready(self, check: Check, known: set[int]) -> bool:
        exprs = (check.condition, *check.values)
        return all(expr.numbers <= known for expr in exprs)

    # ---- groups
    def _lower_group(self, group: Group) -> list[Step]:
        stored = [node for node in group.members if node in self.buffer_of]
        if not stored:
            return []
        builder = self._builder(group.axes)
        builder.group = group
        for node in stored:
            builder.store(node, group.members[node], self.buffer_of[node])
        row = group.row or frozenset()
        name = label(group.members)
        return [schedule(group.axes, row, builder.values, builder.stores, name)]

    # ---- nodes that stand alone
    def _lower_node(self, node: Node) -> list[Step]:
        if node not in self.buffer_of or node in self.written:
            return []
        match node.op.lowering:
            case Library():
                return self._blas(node)
            case Lapack():
                return lapack_steps(
                    node, self.shapes, self.storage, self._buffer, self._temporary, self._placed
                )
            case Routine():
                return [
                    routine_call(node, self.shapes, self.storage, self._buffer, self._temporary)
                ]
            case Assign() | Scatter():
                return [self._copied(node, node.inputs[0]), self._write(node)]
            case Join():
                return self._joined(node)
            case Scan():
                return [self._copied(node, node.inputs[0]), self._scanned(node)]
            case _:
                raise CompilerBug("no step computes this op", op=node.op.name)

    def _write(self, node: Node) -> Kernel:
        """The kernel that makes the change that is all of a node's value but its first input."""
        if isinstance(node.op.lowering, Assign):
            return self._assigned(node)
        return self._scattered(node)

    def _copied(self, node: Node, source: Node, factor: float = 1.0) -> Kernel:
        """The kernel that starts a changed copy: all elements of the source times a factor."""
        target = self.buffer_of[node]
        axes, loops = _loops(target.extents)
        builder = self._builder(axes)
        value = align(source, loops, self.shapes) if source.ndim != node.ndim else loops
        layout = Layout(const(0), target.extents, contiguous_strides(target.extents))
        builder.write(source, value, builder.access(target, layout, loops), "set", factor)
        return schedule(axes, frozenset(), builder.values, builder.stores, "copy")

    def _placed(self, node: Node, target: Buffer, order: Layout) -> Kernel:
        """The kernel that writes a node into a buffer under a layout of the same extents."""
        axes, loops = _loops(order.extents)
        builder = self._builder(axes)
        builder.write(node, loops, builder.access(target, order, loops), "set")
        return schedule(axes, frozenset(), builder.values, builder.stores, "copy")

    def _assigned(self, node: Node) -> Kernel:
        target = self.buffer_of[node]
        whole = Layout(const(0), target.extents, contiguous_strides(target.extents))
        view = self.shapes.view(node, whole)
        axes, loops = _loops(view.extents)
        builder = self._builder(axes)
        y = node.inputs[1]
        access = builder.access(target, view, loops)
        builder.write(y, align(y, loops, self.shapes), access, node["mode"])
        return schedule(axes, frozenset(), builder.values, builder.stores, "assign")

    def _joined(self, node: Node) -> list[Step]:
        """One kernel per input; each writes the part of the buffer behind those before it."""
        target = self.buffer_of[node]
        along: int = node["axis"]
        strides = contiguous_strides(target.extents)
        steps: list[Step] = []
        start = const(0)
        for x in node.inputs:
            extents = self.shapes[x]
            axes, loops = _loops(extents)
            builder = self._builder(axes)
            part = Layout(start * strides[along], extents, strides)
            builder.write(x, loops, builder.access(target, part, loops), "set")
            steps.append(schedule(axes, frozenset(), builder.values, builder.stores, "join"))
            start = start + extents[along]
        return steps

    def _scanned(self, node: Node) -> Kernel:
        target = self.buffer_of[node]
        axes, loops = _loops(later_places(target, node["axis"]))
        return scan(node, target, axes, loops)

    def _scattered(self, node: Node) -> Kernel:
        y, *indexes = node.inputs[1:]
        target = self.buffer_of[node]
        whole = Layout(const(0), target.extents, contiguous_strides(target.extents))
        rest = target.extents[len(indexes) :]
        lead = self._indexed(indexes)
        axes, loops = _loops((*lead, *rest))
        builder = self._builder(axes)
        head = loops[: len(lead)]
        places = tuple(
            builder.index(i, align(i, head, self.shapes), whole, axis)
            for axis, i in enumerate(indexes)
        )
        access = builder.access(target, whole, loops[len(lead) :], places)
        message = "index {} is out of range for an axis of {}"
        site = self.shapes.site("IndexOutOfRange", message, node)
        checked = Access(target, access.offset, access.strides, places, site)
        builder.write(y, align(y, loops, self.shapes), checked, node["mode"])
        # equal indexes must meet one after the other, so only the axes behind them go in vectors
        free = frozenset(loop for loop in loops[len(lead) :] if loop is not None)
        return schedule(axes, frozenset(), builder.values, builder.stores, "scatter", free)

    def _indexed(self, indexes: list[Node]) -> tuple[IntExpr, ...]:
        """The broadcast extents of index arrays, already checked to agree."""
        rank = max(i.ndim for i in indexes)
        out = [const(1)] * rank
        for i in indexes:
            for axis, extent in enumerate(self.shapes[i]):
                if extent.known != 1:
                    out[rank - i.ndim + axis] = extent
        return tuple(out)

    # ---- BLAS
    def _blas(self, node: Node) -> list[Step]:
        a, b, *rest = node.inputs
        out = self.buffer_of[node]
        before: list[Step] = [self._copied(node, rest[0], node["beta"])] if rest else []
        m, k = self.shapes[a][-2:]
        n = self.shapes[b][-1] if b.ndim > 1 else None
        routine = node.op.lowering.routine if isinstance(node.op.lowering, Library) else ""
        text = "extent {} is beyond what BLAS takes"
        for extent in (m, k, *(() if n is None else (n,))):
            self.shapes.require_for(node, less(extent, _BLAS_LIMIT), "LimitExceeded", text, extent)
        call = Blas(
            routine,
            node.dtype,
            self._operand(a),
            self._operand(b),
            out,
            m,
            k,
            n,
            node["alpha"],
            bool(rest),
            self.shapes[node][:-2],
        )
        return [*before, call]

    def _operand(self, node: Node) -> Operand:
        layout = self.storage.layout(node)
        buffer = self._buffer(self.storage.base(node))
        if node.ndim == 1:
            return Operand(buffer, layout.offset, const(1))
        found = leading(layout)
        if found is None:
            raise CompilerBug("BLAS cannot step through this operand", op=node.op.name)
        return Operand(buffer, layout.offset, *found, _batch_strides(layout))


def _batch_strides(layout: Layout) -> tuple[IntExpr, ...]:
    """The strides of all axes but the last two, 0 for those of one element."""
    pairs = zip(layout.extents[:-2], layout.strides[:-2], strict=True)
    return tuple(const(0) if extent.known == 1 else stride for extent, stride in pairs)


def _loops(extents: tuple[IntExpr, ...]) -> tuple[tuple[IntExpr, ...], Labels]:
    """Loop axes for all dimensions that are not one element, and the loop of each dimension."""
    axes: list[IntExpr] = []
    loops: list[int | None] = []
    for extent in extents:
        loops.append(None if extent.known == 1 else len(axes))
        if extent.known != 1:
            axes.append(extent)
    return tuple(axes), tuple(loops)
