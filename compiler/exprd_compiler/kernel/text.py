"""Text of plans: what golden tests compare and what people read.

One line per buffer, step and value. Values are %n, buffers bn, integers as `IntExpr` prints them;
an access is the buffer with its offset and one stride per loop axis.
"""

from __future__ import annotations

from collections.abc import Iterator

from exprd_compiler.ir.lowering import Reduce
from exprd_compiler.kernel.form import (
    Access,
    Apply,
    Blas,
    Check,
    Fetch,
    Fold,
    Kernel,
    Load,
    Make,
    Number,
    Operand,
    Param,
    Plan,
    Position,
    Step,
    Value,
)


def print_plan(plan: Plan) -> str:
    """The plan as text."""
    return "\n".join([*_buffers(plan), *_steps(plan), ""])


def _buffers(plan: Plan) -> Iterator[str]:
    for buffer in plan.buffers:
        extents = ", ".join(map(repr, buffer.extents))
        slot = plan.slot_of.get(buffer.number)
        place = f"slot {slot}" if slot is not None else f"{buffer.place} {buffer.index}"
        yield f"b{buffer.number} = {place} : {buffer.dtype}[{extents}]"


def _steps(plan: Plan) -> Iterator[str]:
    for step in plan.steps:
        yield from _step(plan, step)


def _step(plan: Plan, step: Step) -> Iterator[str]:
    match step:
        case Check():
            site = plan.sites[step.site]
            yield f"check {step.condition!r} else {site.kind} in {site.op}"
        case Fetch():
            yield f"fetch v{step.number} = b{step.buffer.number}[{step.offset!r}]"
        case Blas():
            yield _blas(step)
        case Kernel():
            yield from _kernel(step)


def _blas(step: Blas) -> str:
    sizes = ", ".join(repr(e) for e in (step.m, step.k, step.n) if e is not None)
    sign = "+=" if step.add else "="
    operands = f"{_operand(step.a)}, {_operand(step.b)}"
    return f"{step.routine} b{step.out.number} {sign} {step.alpha} * ({operands}) of ({sizes})"


def _operand(operand: Operand) -> str:
    flag = "'" if operand.transposed else ""
    return f"b{operand.buffer.number}[{operand.offset!r}; {operand.step!r}]{flag}"


def _kernel(kernel: Kernel) -> Iterator[str]:
    grid = ", ".join(map(repr, kernel.axes[: kernel.grid]))
    rows = ", ".join(map(repr, kernel.axes[kernel.grid :]))
    yield f"kernel {kernel.label} grid ({grid}) rows ({rows}) vector {kernel.vector}"
    for ref, value in enumerate(kernel.values):
        yield f"  %{ref} = {_value(value)} : {value.dtype}"
    for store in kernel.stores:
        sign = "=" if store.mode == "set" else "+="
        yield f"  {_access(store.access)} {sign} %{store.ref}"


def _value(value: Value) -> str:
    match value:
        case Load():
            return f"load {_access(value.access)}"
        case Number():
            return repr(value.value)
        case Param():
            return f"integer {value.expr!r}"
        case Position():
            return f"position {value.axis}"
        case Fold():
            kind = "fold" if isinstance(value.rule, Reduce) else f"argfold {value.position}"
            return f"{kind} %{value.ref}"
        case Apply() | Make():
            refs = (*value.positions, *value.refs) if isinstance(value, Make) else value.refs
            operands = ", ".join(f"%{ref}" for ref in refs)
            attrs = "".join(f" {name}={item!r}" for name, item in value.attrs)
            return f"{value.op.name}({operands}){attrs}"


def _access(access: Access) -> str:
    strides = ", ".join(map(repr, access.strides))
    indexes = "".join(f", %{i.ref} of {i.extent!r} by {i.stride!r}" for i in access.indexes)
    return f"b{access.buffer.number}[{access.offset!r}; {strides}{indexes}]"
