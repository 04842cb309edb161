"""Arithmetic, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd_compiler.errors import DTypeError
from exprd_compiler.ir.dtype import (
    COMPLEX,
    DTYPES,
    EVERY,
    INTEGERS,
    check_dtype,
    is_complex,
    is_float,
)
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Scalar
from exprd_compiler.ir.node import ZERO_GRAD, Array, Example, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.events import NOT_HELD
from exprd_compiler.ops.families import NUMBERS, elementwise, upcast_to_float
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.parts import (
    as_given,
    assembled,
    complex_,
    conjugate,
    imag,
    part_result,
    real,
)


def _typed(value: float, node: Node) -> Node:
    return const(value, node.dtype)


# ---- cast comes first: gradients of everything else use it
def _cast_type(x: TensorType, *, dtype: str) -> TensorType:
    if is_complex(x.dtype) and not (is_complex(check_dtype(dtype)) or dtype == "bool"):
        raise DTypeError(
            f"a cast from {x.dtype} to {dtype} would lose the imaginary part",
            op="cast",
            hint="use real(x), imag(x) or abs(x)",
        )
    return x.with_dtype(check_dtype(dtype))


def _whole(x: Array, dtype: str) -> Array:
    """Floats as int32 or int64; NaN and what is out of range give the least one."""
    info = np.iinfo(dtype)
    inside = np.abs(x) < 2.0 ** (info.bits - 1)
    return np.where(inside, np.where(inside, x, 0).astype(dtype), np.array(info.min, dtype))


def _float_to_integer(x: Array, dtype: str) -> Array:
    """What x86 makes of it, spelled out: numpy leaves values out of range to the machine."""
    if dtype in ("int32", "int64"):
        return _whole(x, dtype)
    if dtype != "uint64":
        return _whole(x, "int64" if dtype == "uint32" else "int32").astype(dtype)
    high = x >= 2.0**63
    flip = np.where(high, np.int64(-(2**63)), np.int64(0))
    return (_whole(np.where(high, x - 2.0**63, x), "int64") ^ flip).astype(dtype)


def _cast_numpy(x: Array, *, dtype: str) -> Array:
    with np.errstate(all="ignore"):
        if is_float(x.dtype.name) and dtype in INTEGERS:
            return np.asarray(_float_to_integer(widened(x), dtype))
        return converted(x, dtype)


def _cast_grad(g: Node, _y: Node, x: Node, *, dtype: str) -> Sequence[Node | None]:
    part = real(g) if is_complex(g.dtype) and not is_complex(x.dtype) else g
    return (cast(part, dtype=x.dtype),)


cast: Op = Op(
    name="cast",
    type=_cast_type,
    numpy=_cast_numpy,
    grad=_cast_grad,
    lowering=Scalar(
        body=lambda k, x, dtype: k.cast(x, dtype),
        operands=lambda dtypes, _: dtypes,
        cheap=True,
        events=(NOT_HELD,),
    ),
    dtypes=EVERY,
    examples=tuple(
        Example(
            shapes=(shape,),
            attrs={"dtype": dtype},
            low=0.0,
            high=100.0,
            dtypes=EVERY if is_complex(dtype) or dtype == "bool" else DTYPES,
        )
        for dtype in EVERY
        for shape in ((), (37,), (3, 4))
    ),
    theano="Elemwise",
    doc="The values converted to another dtype.",
)


def sum_of(k: Any, a: Any, b: Any) -> Any:
    """The sum of two values of one dtype; of bools, as numpy has it, the logical or."""
    return k.or_(a, b) if a.dtype == "bool" else k.add(a, b)


add: Op = elementwise(
    "add",
    arity=2,
    numpy=np.add,
    body=sum_of,
    grad=lambda g, _y, _a, _b: (g, g),
    dtypes=EVERY,
    cheap=True,
    doc="Sum; of bools, the logical or.",
)

sub: Op = elementwise(
    "sub",
    arity=2,
    numpy=np.subtract,
    body=lambda k, a, b: k.sub(a, b),
    grad=lambda g, _y, _a, _b: (g, neg(g)),
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Difference.",
)


def _product(a: Array, b: Array) -> Array:
    """Of complex numbers as native code has it; numpy's vector loops round one product less."""
    if not is_complex(a.dtype.name):
        return np.asarray(np.multiply(a, b))
    (x, y), (u, v) = ((np.real(z), np.imag(z)) for z in (a, b))
    return assembled(x * u - y * v, x * v + y * u)


mul: Op = elementwise(
    "mul",
    arity=2,
    numpy=_product,
    body=lambda k, a, b: k.mul(a, b),
    grad=lambda g, _y, a, b: (mul(g, conjugate(b)), mul(g, conjugate(a))),
    dtypes=EVERY,
    cheap=True,
    doc="Product; of bools, the logical and.",
)


def _quotient_grad(g: Node, y: Node, _a: Node, b: Node) -> Sequence[Node]:
    below = conjugate(b)
    return (true_div(g, below), neg(true_div(mul(g, conjugate(y)), below)))


true_div: Op = elementwise(
    "true_div",
    arity=2,
    numpy=np.true_divide,
    body=lambda k, a, b: k.div(a, b),
    grad=_quotient_grad,
    result=upcast_to_float,
    dtypes=EVERY,
    low=0.3,
    doc="Quotient as a float.",
)

neg: Op = elementwise(
    "neg",
    arity=1,
    numpy=np.negative,
    body=lambda k, a: k.neg(a),
    grad=lambda g, _y, _a: (neg(g),),
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Negative.",
)


def _abs_body(k: Any, a: Any) -> Any:
    return k.call("hypot", k.real(a), k.imag(a)) if is_complex(a.dtype) else k.abs(a)


def _abs_grad(g: Node, y: Node, a: Node) -> Sequence[Node]:
    """Of a complex number its direction, and 0 at 0."""
    if not is_complex(a.dtype):
        return (mul(g, sign(a)),)
    safe = add(y, sub(_typed(1, y), sign(y)))  # 1 at 0
    slope = true_div(g, safe)
    return (complex_(mul(real(a), slope), mul(imag(a), slope)),)


abs_: Op = elementwise(
    "abs",
    arity=1,
    numpy=np.abs,
    body=_abs_body,
    grad=_abs_grad,
    result=part_result,
    operands=as_given,
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Absolute value; of a complex number its distance from 0.",
)


def zeros_like(x: Node) -> Node:
    """Zeros of the type of x."""
    return second(x, const(0, x.dtype))


def _sign_body(k: Any, x: Any) -> Any:
    zero, one = k.const(0, x.dtype), k.const(1, x.dtype)
    positive = k.select(k.compare("gt", x, zero), one, zero)
    if x.dtype.startswith("uint"):
        return positive
    signed = k.select(k.compare("lt", x, zero), k.const(-1, x.dtype), positive)
    return k.select(k.compare("eq", x, x), signed, x)


sign: Op = elementwise(
    "sign",
    arity=1,
    numpy=np.sign,
    body=_sign_body,
    grad=ZERO_GRAD,
    cheap=True,
    doc="-1, 0 or 1 by the sign; NaN stays NaN.",
)

second: Op = elementwise(
    "second",
    arity=2,
    numpy=lambda a, b: np.broadcast_arrays(a, b)[1],
    body=lambda _k, _a, b: b,
    grad=lambda g, _y, _a, _b: (None, g),
    result=lambda dtypes: dtypes[1],
    operands=as_given,
    dtypes=EVERY,
    cheap=True,
    doc="The second operand in the broadcast shape of both (Theano's fill).",
)

sqr: Op = elementwise(
    "sqr",
    arity=1,
    numpy=lambda a: _product(a, a),
    body=lambda k, a: k.mul(a, a),
    grad=lambda g, _y, a: (mul(g, mul(conjugate(a), _typed(2, a))),),
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Square.",
)

sqrt: Op = elementwise(
    "sqrt",
    arity=1,
    numpy=np.sqrt,
    body=lambda k, a: k.call("sqrt", a),
    grad=lambda g, y, a: (true_div(mul(g, _typed(0.5, g)), y),),
    result=upcast_to_float,
    dtypes=DTYPES,
    low=0.1,
    high=9.0,
    doc="Square root.",
)
