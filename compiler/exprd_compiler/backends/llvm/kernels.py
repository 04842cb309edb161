"""From a kernel to one LLVM function: loops around scalar code, in vectors along one axis.

Each value is computed where its loops allow: outside all loops it does not vary with, once per
stage inside the row loops. A stage ends in folds and stores; later stages may use its folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import folds, memory
from exprd_compiler.backends.llvm.ahead import Ahead
from exprd_compiler.backends.llvm.conversion import single
from exprd_compiler.backends.llvm.counting import (
    Place,
    any_lane,
    cancel_point,
    cancel_point_each,
    count_events,
)
from exprd_compiler.backends.llvm.dependence import Dependence
from exprd_compiler.backends.llvm.layout import FAILED, OK, SITE_OFFSET, VALUES_OFFSET
from exprd_compiler.backends.llvm.loops import ZERO, Lanes, counted, lane_numbers, lanes_at
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.signature import Signature
from exprd_compiler.backends.llvm.text import FunctionText, ModuleText, Value, constant
from exprd_compiler.backends.llvm.types import bit_width
from exprd_compiler.errors import CompilerBug
from exprd_compiler.ir.dtype import HALVES
from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import Generate, Scalar
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Fold,
    Index,
    Kernel,
    Load,
    Make,
    Number,
    Param,
    Position,
    Store,
)
from exprd_compiler.ops.arithmetic import sum_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Lanes of the vector loop on every machine: two to eight registers, so that results never depend
# on the width of registers and independent instructions hide latency.
NARROW_LANES: Final = 32
WIDE_LANES: Final = 16
_LANES: Final = {64: WIDE_LANES, 128: WIDE_LANES // 2}


def lanes_of(kernel: Kernel) -> int:
    """The lanes of a kernel's vectors: fewer as soon as one value has 64 bits, or 128."""
    if kernel.vector < 0:
        return 1
    widest = max([bit_width(value.dtype) for value in kernel.values], default=0)
    return _LANES.get(widest, NARROW_LANES)


def emit_kernel(
    module: ModuleText, name: str, kernel: Kernel, signature: Signature, counters: int
) -> None:
    """Add the function of a kernel: context, buffers, then integers; i32 status.

    `counters` is the offset of the counters in the context.
    """
    _KernelWriter(module, name, kernel, signature, counters).write()


class _KernelWriter:
    def __init__(
        self, module: ModuleText, name: str, kernel: Kernel, signature: Signature, counters: int
    ) -> None:
        self.kernel, self.counters = kernel, counters
        self.entered: tuple[int, ...] = ()
        self.counted: set[int] = set()
        self.context = Value("%context", "ptr", 1)
        self.pointer_of = {b: Value(f"%b{i}", "ptr", 1) for b, i in signature.buffers.items()}
        self.integer_of = {e: Value(f"%n{i}", "int64", 1) for e, i in signature.integers.items()}
        parameters = [self.context, *self.pointer_of.values(), *self.integer_of.values()]
        self.function: FunctionText = module.function(
            name, parameters, result="i32", linkage="internal"
        )
        self.lanes = lanes_of(kernel)
        self.one = LLVMBuilder(self.function, 1)
        self.many = LLVMBuilder(self.function, self.lanes)
        self.facts = Dependence(kernel)
        self.ahead = Ahead(self.one, kernel, self._integer)
        self.index: dict[int, Value] = {}
        self.known: dict[int, Value] = {}
        self.bases: dict[Access, Value] = {}
        self.inside: Lanes | None = None

    # ---- the nest
    def write(self) -> None:
        for value in self.kernel.values:
            if isinstance(value, Load):
                self._base(value.access)
        for store in self.kernel.stores:
            self._base(store.access)
        self._grid(0)
        self.function.line(f"ret i32 {OK}")

    def _base(self, access: Access) -> None:
        pointer = self.pointer_of[access.buffer]
        offset = self._integer(access.offset)
        self.bases[access] = memory.element_pointer(self.one, pointer, access.buffer.dtype, offset)

    def _grid(self, axis: int) -> None:
        """Values of this depth, then the next grid loop, or the stages inside all of them."""
        self._compute(self.facts.at_depth(axis), self.facts.stores_at(axis))
        if axis < self.kernel.grid:
            self._loop(axis, (), lambda _: self._nested(axis))
        elif axis == self.kernel.grid:
            for stage in range(self.facts.stages):
                self._stage(stage)

    def _nested(self, axis: int) -> Sequence[Value]:
        kept = dict(self.known)
        self._grid(axis + 1)
        self.known = kept
        return ()

    def _loop(
        self,
        axis: int,
        carried: Sequence[Value],
        body: Callable[[Sequence[Value]], Sequence[Value]],
    ) -> list[Value]:
        """The loop over one axis; inside it, addresses and lanes are those of the iteration."""
        extent = self._integer(self.kernel.axes[axis])
        vector = axis == self.kernel.vector
        step = self.lanes if vector else 1
        innermost = axis == len(self.kernel.axes) - 1

        def inside(index: Value, state: Sequence[Value]) -> Sequence[Value]:
            outer_bases, outer_lanes, outer = dict(self.bases), self.inside, self.entered
            self.index[axis], self.entered = index, (*outer, axis)
            if innermost:
                cancel_point_each(self.function, self.context, index, step)
            if vector:
                self.inside = lanes_at(self.many, index, extent)
            for access, base in outer_bases.items():
                self.bases[access] = self._advanced(access, base, axis, index)
            if axis == self.kernel.vector - 1:
                self.ahead.fetch(self.bases, index)
            result = body(state)
            self.bases, self.inside, self.entered = outer_bases, outer_lanes, outer
            return result

        if innermost:
            cancel_point(self.function, self.context)
        return counted(self.function, extent, step, carried, inside)

    def _advanced(self, access: Access, base: Value, axis: int, index: Value) -> Value:
        stride = access.strides[axis]
        if stride.known == 0:
            return base
        offset = index
        if stride.known != 1:
            offset = self.function.emit(
                f"mul i64 {index.text}, {self._integer(stride).text}", "int64"
            )
        return memory.element_pointer(self.one, base, access.buffer.dtype, offset)

    # ---- stages
    def _stage(self, stage: int) -> None:
        """The row loops of a stage, then what depends on its folds."""
        work = self.facts.stage(stage)
        if work.needed:
            self._fold_rows(work.folds, work.needed, work.stores)
        after = self.facts.after_stage(stage)
        self._compute(after.values, after.stores)

    def _fold_rows(
        self, which: Sequence[int], needed: frozenset[int], stores: Sequence[Store]
    ) -> None:
        fold_of = [(ref, self._fold(ref)) for ref in which]
        starts = [folds.start(fold, self._fold_lanes(fold)) for _, fold in fold_of]
        sizes = [len(state) for state in starts]

        def rows(axis: int, carried: Sequence[Value]) -> Sequence[Value]:
            if axis == len(self.kernel.axes):
                return self._row_body(fold_of, needed, stores, _split(carried, sizes))
            kept = dict(self.known)
            deeper = self.facts.row_depth(axis, needed)
            self._compute(deeper, ())
            out = self._loop(axis, carried, lambda state: rows(axis + 1, state))
            self.known = kept
            return out

        flat = rows(self.kernel.grid, [value for state in starts for value in state])
        across = self.kernel.vector >= self.kernel.grid
        for (ref, fold), state in zip(fold_of, _split(flat, sizes), strict=True):
            self.known[ref] = folds.finish(self.function, fold, state, across=across)

    def _row_body(
        self,
        fold_of: Sequence[tuple[int, Fold]],
        needed: frozenset[int],
        stores: Sequence[Store],
        states: Sequence[Sequence[Value]],
    ) -> Sequence[Value]:
        kept = dict(self.known)
        self._compute(self.facts.row_depth(len(self.kernel.axes), needed), stores)
        out: list[Value] = []
        for (_, fold), state in zip(fold_of, states, strict=True):
            lanes = self._fold_lanes(fold)
            k = self._builder(lanes)
            x = k.broadcast(self.known[fold.ref])
            position = ZERO if fold.position < 0 else k.broadcast(self._position(fold.position))
            masked = self.inside if self.kernel.vector >= self.kernel.grid else None
            out += folds.step(k, fold, state, x, position, masked)
        self.known = kept
        return out

    def _fold(self, ref: int) -> Fold:
        value = self.kernel.values[ref]
        if not isinstance(value, Fold):
            raise CompilerBug("a stage ends in something that is not a fold")
        return value

    def _fold_lanes(self, fold: Fold) -> int:
        """Row vectors fold lane by lane whatever varies; grid vectors only if the value does."""
        if self.kernel.vector >= self.kernel.grid:
            return self.lanes
        return self.lanes if self.facts.varies(fold.ref, self.kernel.vector) else 1

    # ---- values
    def _builder(self, lanes: int) -> LLVMBuilder:
        return self.one if lanes == 1 else self.many

    def _compute(self, refs: Sequence[int], stores: Sequence[Store]) -> None:
        """Emit values in order, contiguous loads of a vector iteration together, then stores."""
        together = [ref for ref in refs if self._contiguous_load(ref)]
        loads = [self.kernel.values[ref] for ref in together]
        wanted = [(self._address(v.access), v.dtype) for v in loads if isinstance(v, Load)]
        if self.inside is not None:
            self.known.update(
                zip(together, memory.load_many(self.many, wanted, self.inside), strict=True)
            )
        for ref in refs:
            if ref not in self.known:
                self.known[ref] = self._value(ref)
        self._store(stores)

    def _contiguous_load(self, ref: int) -> bool:
        value = self.kernel.values[ref]
        return isinstance(value, Load) and self._contiguous(value.access)

    def _contiguous(self, access: Access) -> bool:
        """Whether the lanes of a vector are neighbours; indexes that all share choose a row."""
        vector = self.kernel.vector
        return (
            vector >= 0
            and access.strides[vector].known == 1
            and not any(self.facts.varies(index.ref, vector) for index in access.indexes)
            and all(index.ref in self.known for index in access.indexes)
        )

    def _address(self, access: Access) -> Value:
        """The address of the iteration, behind the indexes, which do not differ between lanes."""
        return self._shifted(self.bases[access], access, self._indexed(self.one, access, None))

    def _value(self, ref: int) -> Value:
        value = self.kernel.values[ref]
        match value:
            case Number():
                return constant(value.value, value.dtype)
            case Param():
                return self._integer(value.expr)
            case Position():
                return self._position(value.axis)
            case Load():
                return self._load(ref, value)
            case Apply():
                return self._apply(ref, value)
            case Make():
                return self._make(ref, value)
            case Fold():
                raise CompilerBug("a fold was used before its stage")

    def _position(self, axis: int) -> Value:
        index = self.index[axis]
        if axis != self.kernel.vector:
            return index
        return self.many.add(self.many.broadcast(index), lane_numbers(self.lanes, 64))

    def _lanes_for(self, ref: int) -> int:
        return self.lanes if self.facts.varies(ref, self.kernel.vector) else 1

    def _operands(self, k: LLVMBuilder, refs: Sequence[int], dtypes: Sequence[str]) -> list[Value]:
        """The values cast to dtypes, casts made before lanes are repeated."""
        out: list[Value] = []
        for ref, dtype in zip(refs, dtypes, strict=True):
            value = self.known[ref]
            if value.dtype != dtype:
                value = self._builder(value.lanes).cast(value, dtype)
            out.append(k.broadcast(value))
        return out

    def _apply(self, ref: int, value: Apply) -> Value:
        rule = value.op.lowering
        if not isinstance(rule, Scalar):
            raise CompilerBug("no scalar body", op=value.op.name)
        k = self._builder(self._lanes_for(ref))
        operands = self._operands(k, value.refs, value.operands)
        result: Value = rule.body(k, *map(single, operands), **dict(value.attrs))
        if value.counters and ref not in self.counted:  # a later stage computes it anew
            self.counted.add(ref)
            place = self._place(value.domain, k.lanes)
            operands = [single(operand) for operand in operands]
            count_events(k, self.context, self.counters, value, operands, place)
        # bodies compute 16-bit floats in float32; only their result is rounded
        return k.cast(result, value.dtype) if value.dtype in HALVES else result

    def _place(self, domain: Sequence[int], lanes: int) -> Place:
        """Where in the loops a value over some of them is being computed."""
        vector = self.kernel.vector
        repeated = lanes == 1 and vector in domain and vector in self.entered
        return Place(
            once=tuple(self.index[axis] for axis in self.entered if axis not in domain),
            extents=tuple(
                self._integer(self.kernel.axes[axis]) for axis in domain if axis not in self.entered
            ),
            mask=None if lanes == 1 else self._mask(),
            lanes=self._mask() if repeated else None,
        )

    def _make(self, ref: int, value: Make) -> Value:
        rule = value.op.lowering
        if not isinstance(rule, Generate):
            raise CompilerBug("no generator body", op=value.op.name)
        k = self._builder(self._lanes_for(ref))
        positions = [k.broadcast(self.known[p]) for p in value.positions]
        scalars = [k.broadcast(self.known[r]) for r in value.refs]
        result: Value = rule.body(k, positions, *scalars, **dict(value.attrs))
        return result

    # ---- memory
    def _load(self, ref: int, value: Load) -> Value:
        access = value.access
        if self._lanes_for(ref) == 1:
            return memory.load_one(self.one, self._address(access), value.dtype)
        offsets = self._lane_offsets(access)
        return memory.gather(self.many, self.bases[access], value.dtype, offsets, self._mask())

    def _shifted(self, base: Value, access: Access, offset: Value | None) -> Value:
        if offset is None:
            return base
        return memory.element_pointer(self.one, base, access.buffer.dtype, offset)

    def _lanes(self) -> Lanes:
        if self.inside is None:
            raise CompilerBug("a vector outside its loop")
        return self.inside

    def _mask(self) -> Value:
        return self._lanes().mask

    def _lane_offsets(self, access: Access) -> Value:
        """Per lane, the distance in elements from the address of the iteration."""
        stride = access.strides[self.kernel.vector]
        offsets = memory.lane_offsets(self.many, self._integer(stride))
        indexed = self._indexed(self.many, access, self._mask())
        return offsets if indexed is None else self.many.add(offsets, indexed)

    def _indexed(self, k: LLVMBuilder, access: Access, mask: Value | None) -> Value | None:
        """The distance that index operands add, after they were checked."""
        total: Value | None = None
        for index in access.indexes:
            place = self._checked(k, index, access.site, mask)
            stride = k.broadcast(self._integer(index.stride))
            part = k.mul(place, stride)
            total = part if total is None else k.add(total, part)
        return total

    def _checked(self, k: LLVMBuilder, index: Index, site: int, mask: Value | None) -> Value:
        """An index counted from the start; leaves the function if one is out of range."""
        given = k.broadcast(self.known[index.ref])
        extent = self._integer(index.extent)
        wide = k.broadcast(extent)
        place = k.select(k.compare("lt", given, k.const(0, "int64")), k.add(given, wide), given)
        bad = self.function.emit(
            f"icmp uge {place.type} {place.text}, {wide.text}", "bool", k.lanes
        )
        if mask is not None:
            bad = k.and_(bad, mask)
        some = any_lane(self.function, bad)
        fail, fine = self.function.label("outside"), self.function.label("inside")
        self.function.branch(some, fail, fine)
        self.function.begin(fail)
        culprit = given if k.lanes == 1 else self._first(given, bad)
        fail_with(self.function, self.context, site, (culprit, extent))
        self.function.begin(fine)
        return place

    def _first(self, values: Value, flags: Value) -> Value:
        bits = self.function.emit(f"bitcast {flags.typed} to i{flags.lanes}", f"int{flags.lanes}")
        name = f"llvm.cttz.i{flags.lanes}"
        place = self.function.call(name, bits.dtype, bits, constant(1, "bool"))
        return self.function.emit(
            f"extractelement {values.typed}, i{flags.lanes} {place.text}", values.dtype
        )

    def _store(self, stores: Iterable[Store]) -> None:
        together: list[tuple[Value, Value]] = []
        for store in stores:
            vector = self.kernel.vector
            access, value = store.access, self.known[store.ref]
            if not self.facts.store_varies(store, vector):
                self._store_one(store, value)
            elif self._contiguous(access):
                together.append(self._placed(store, self.many.broadcast(value)))
            else:
                self._store_lanes(store, self.many.broadcast(value))
        if self.inside is not None:
            memory.store_many(self.many, together, self.inside)

    def _placed(self, store: Store, value: Value) -> tuple[Value, Value]:
        """What a store writes to neighbours, and the address of the first."""
        pointer = self._address(store.access)
        if store.mode == "inc":
            (old,) = memory.load_many(self.many, [(pointer, value.dtype)], self._lanes())
            value = sum_of(self.many, old, value)
        return value, pointer

    def _store_one(self, store: Store, value: Value) -> None:
        pointer = self._address(store.access)
        if store.mode == "inc":
            old = memory.load_one(self.one, pointer, value.dtype)
            value = sum_of(self.one, old, value)
        memory.store_one(self.one, value, pointer)

    def _store_lanes(self, store: Store, value: Value) -> None:
        offsets, mask = self._lane_offsets(store.access), self._mask()
        base = self.bases[store.access]
        if store.mode == "inc":
            old = memory.gather(self.many, base, value.dtype, offsets, mask)
            value = sum_of(self.many, old, value)
        memory.scatter(self.many, value, base, offsets, mask)

    def _integer(self, expr: IntExpr) -> Value:
        if expr.known is not None:
            return constant(expr.known, "int64")
        return self.integer_of[expr]


def fail_with(
    function: FunctionText, context: Value, site: int | str, values: Sequence[Value]
) -> None:
    """Record a site and its values in the context and leave with FAILED."""
    where = function.emit(f"getelementptr i8, ptr {context.text}, i64 {SITE_OFFSET}", "ptr")
    function.line(f"store i32 {site}, ptr {where.text}, align 4")
    for place, value in enumerate(values):
        offset = VALUES_OFFSET + 8 * place
        slot = function.emit(f"getelementptr i8, ptr {context.text}, i64 {offset}", "ptr")
        function.line(f"store i64 {value.text}, ptr {slot.text}, align 8")
    function.line(f"ret i32 {FAILED}")


def _split(values: Sequence[Value], sizes: Sequence[int]) -> list[Sequence[Value]]:
    out: list[Sequence[Value]] = []
    first = 0
    for size in sizes:
        out.append(values[first : first + size])
        first += size
    return out
