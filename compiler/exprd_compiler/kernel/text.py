"""Text of plans: what golden tests compare and what people read.

One line per buffer, integer, step and value. Buffers are b0, b1, ...; n2.1 is the extent of
argument 2 on axis 1, and i0, i1, ... are integers made of those; values are %0, %1, ... An access
is a buffer with its offset and one stride per loop axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.lowering import Reduce
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Blas,
    Buffer,
    Check,
    Fetch,
    Fold,
    Kernel,
    LapackCall,
    Load,
    Make,
    Number,
    Operand,
    Param,
    Plan,
    Position,
    RoutineCall,
    Step,
    Value,
)


def print_plan(plan: Plan) -> str:
    """The plan as text."""
    return "\n".join(_Printer(plan).lines()) + "\n"


class _Printer:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._names: dict[IntExpr, str] = {}
        self._integers: list[str] = []

    def lines(self) -> list[str]:
        """Buffers, then the integers that anything is made of, then steps."""
        buffers = [self._buffer(buffer) for buffer in self._plan.buffers]
        steps = [line for step in self._plan.steps for line in self._step(step)]
        return [*buffers, *self._integers, *steps]

    # ---- integers
    def _integer(self, expr: IntExpr) -> str:
        """The text of a leaf or the name of an operation, which is thereby listed."""
        stack = [expr]
        while stack:
            item = stack[-1]
            missing = [x for x in item.parts if x not in self._names]
            if missing and item not in self._names:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            if item not in self._names:
                self._names[item] = self._named(item)
        return self._names[expr]

    def _named(self, expr: IntExpr) -> str:
        parts = [self._names[x] for x in expr.parts]
        if not parts:
            return repr(expr)
        self._integers.append(f"i{len(self._integers)} = {expr.kind}({', '.join(parts)})")
        return f"i{len(self._integers) - 1}"

    def _list(self, exprs: Iterable[IntExpr]) -> str:
        return ", ".join(map(self._integer, exprs))

    # ---- buffers and steps
    def _buffer(self, buffer: Buffer) -> str:
        slot = self._plan.slot_of.get(buffer.number)
        place = f"slot {slot}" if slot is not None else f"{buffer.place} {buffer.index}"
        return f"b{buffer.number} = {place} : {buffer.dtype}[{self._list(buffer.extents)}]"

    def _step(self, step: Step) -> Iterator[str]:
        match step:
            case Check():
                site = self._plan.sites[step.site]
                yield f"check {self._integer(step.condition)} else {site.kind} in {site.op}"
            case Fetch():
                place = f"b{step.buffer.number}[{self._integer(step.offset)}]"
                yield f"fetch v{step.number} = {place}"
            case Blas():
                yield self._blas(step)
            case RoutineCall() | LapackCall():
                yield self._routine(step)
            case Kernel():
                yield from self._kernel(step)

    def _blas(self, step: Blas) -> str:
        sizes = self._list(e for e in (step.m, step.k, step.n) if e is not None)
        sign = "+=" if step.add else "="
        operands = f"{self._operand(step.a)}, {self._operand(step.b)}"
        batch = f" for each of ({self._list(step.batch)})" if step.batch else ""
        product = f"{step.alpha} * ({operands}) of ({sizes}){batch}"
        return f"{step.routine} b{step.out.number} {sign} {product}"

    def _routine(self, step: RoutineCall | LapackCall) -> str:
        operands = [f"b{buffer.number}[{self._integer(o)}]" for buffer, o in step.operands]
        temporaries = [f"b{buffer.number}" for buffer in step.scratch]
        given = ", ".join([*operands, *temporaries])
        each = f" for each of {self._integer(step.stack)}" if isinstance(step, LapackCall) else ""
        return f"{step.routine} b{step.out.number} = ({given}) of ({self._list(step.sizes)}){each}"

    def _operand(self, operand: Operand) -> str:
        flag = "'" if operand.transposed else ""
        place = f"{self._integer(operand.offset)}; {self._integer(operand.step)}"
        return f"b{operand.buffer.number}[{place}]{flag}"

    def _kernel(self, kernel: Kernel) -> Iterator[str]:
        grid, rows = (
            self._list(axes) for axes in (kernel.axes[: kernel.grid], kernel.axes[kernel.grid :])
        )
        yield f"kernel {kernel.label} grid ({grid}) rows ({rows}) vector {kernel.vector}"
        for ref, value in enumerate(kernel.values):
            yield f"  %{ref} = {self._value(value)} : {value.dtype}"
        for store in kernel.stores:
            sign = "=" if store.mode == "set" else "+="
            yield f"  {self._access(store.access)} {sign} %{store.ref}"

    def _value(self, value: Value) -> str:
        match value:
            case Load():
                return f"load {self._access(value.access)}"
            case Number():
                return repr(value.value)
            case Param():
                return f"integer {self._integer(value.expr)}"
            case Position():
                return f"position {value.axis}"
            case Fold():
                return f"{_fold(value)} %{value.ref}"
            case Apply() | Make():
                return _applied(value)

    def _access(self, access: Access) -> str:
        indexes = "".join(
            f", %{i.ref} of {self._integer(i.extent)} by {self._integer(i.stride)}"
            for i in access.indexes
        )
        place = f"{self._integer(access.offset)}; {self._list(access.strides)}"
        return f"b{access.buffer.number}[{place}{indexes}]"


def _fold(value: Fold) -> str:
    return (
        f"fold {value.rule.name}" if isinstance(value.rule, Reduce) else f"argfold {value.position}"
    )


def _applied(value: Apply | Make) -> str:
    refs = (*value.positions, *value.refs) if isinstance(value, Make) else value.refs
    operands = ", ".join(f"%{ref}" for ref in refs)
    attrs = "".join(f" {name}={item!r}" for name, item in value.attrs)
    return f"{value.op.name}({operands}){attrs}"
