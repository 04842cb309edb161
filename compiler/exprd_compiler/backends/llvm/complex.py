"""Complex values in registers: a real and an imaginary part of equal lanes, one LLVM aggregate.

The parts are ordinary float values, so arithmetic is that of `Arithmetic` on them, by the formulas
that numpy uses. In memory the parts of an element are neighbours; `memory` pulls them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.text import Value
from exprd_compiler.backends.llvm.types import is_complex, part_dtype, register_type
from exprd_compiler.errors import CompilerBug

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import FunctionText


# ---- taking apart and putting together
def part(function: FunctionText, z: Value, place: int) -> Value:
    """The real part of a complex value (place 0) or its imaginary part (place 1)."""
    return function.emit(f"extractvalue {z.typed}, {place}", part_dtype(z.dtype), z.lanes)


def pair(function: FunctionText, re: Value, im: Value) -> Value:
    """The complex value of these two parts."""
    dtype = {"float32": "complex64", "float64": "complex128"}[re.dtype]
    kind = register_type(dtype, re.lanes)
    half = function.emit(f"insertvalue {kind} poison, {re.typed}, 0", dtype, re.lanes)
    return function.emit(f"insertvalue {half.typed}, {im.typed}, 1", dtype, re.lanes)


def parts(k: Arithmetic, z: Value) -> tuple[Value, Value]:
    """Both parts."""
    return part(k.function, z, 0), part(k.function, z, 1)


def each(function: FunctionText, change: Callable[..., Value], *values: Value) -> Value:
    """The complex value whose parts are made from the parts of others."""
    re, im = (change(*[part(function, z, place) for z in values]) for place in (0, 1))
    return pair(function, re, im)


# ---- arithmetic
def mul(k: Arithmetic, a: Value, b: Value) -> Value:
    """The product, each part from two products that are rounded."""
    (x, y), (u, v) = parts(k, a), parts(k, b)
    re = k.sub(k.mul(x, u), k.mul(y, v))
    return pair(k.function, re, k.add(k.mul(x, v), k.mul(y, u)))


def div(k: Arithmetic, a: Value, b: Value) -> Value:
    """The quotient by Smith's algorithm (CACM 5, 1962, algorithm 116), as numpy has it.

    With the larger part of the divisor below the bar no square overflows. What is divided by 0
    gets the infinities and NaNs of its parts over 0.
    """
    (x, y), (u, v) = parts(k, a), parts(k, b)
    flat = k.compare("ge", k.abs(u), k.abs(v))
    large, small = k.select(flat, u, v), k.select(flat, v, u)
    ratio = k.div(small, large)
    scale = k.div(k.like(1.0, u), k.add(large, k.mul(small, ratio)))
    near, far = k.select(flat, x, y), k.select(flat, y, x)
    re = k.mul(k.add(near, k.mul(far, ratio)), scale)
    other = k.mul(near, ratio)
    im = k.mul(k.select(flat, k.sub(far, other), k.sub(other, far)), scale)
    zero = k.and_(k.compare("eq", u, k.like(0.0, u)), k.compare("eq", v, k.like(0.0, v)))
    infinity = k.like(math.inf, u)
    re = k.select(zero, k.mul(x, infinity), re)
    return pair(k.function, re, k.select(zero, k.mul(y, infinity), im))


def compare(k: Arithmetic, predicate: str, a: Value, b: Value) -> Value:
    """Whether two values are equal in both parts, or differ in one."""
    if predicate not in ("eq", "ne"):
        raise CompilerBug(f"complex numbers have no order, but {predicate!r} was asked for")
    re, im = (
        k.compare(predicate, part(k.function, a, place), part(k.function, b, place))
        for place in (0, 1)
    )
    return k.and_(re, im) if predicate == "eq" else k.or_(re, im)


def cast(k: Arithmetic, x: Value, dtype: str) -> Value:
    """A conversion from or to a complex dtype; of the dropped part of none."""
    if dtype == "bool":
        return k.compare("ne", x, k.like(0, x))
    if not is_complex(dtype):
        raise CompilerBug(f"a cast from {x.dtype} to {dtype} loses the imaginary part")
    inner = part_dtype(dtype)
    if is_complex(x.dtype):
        return each(k.function, partial(k.cast, dtype=inner), x)
    re = k.cast(x, inner)
    return pair(k.function, re, k.like(0.0, re))


# ---- neighbours in memory
def interleaved(k: Arithmetic, z: Value) -> Value:
    """Both parts of each lane side by side, as a vector of twice the lanes."""
    re, im = parts(k, z)
    places = (f"i32 {lane + z.lanes * place}" for lane in range(z.lanes) for place in (0, 1))
    mask = f"{register_type('int32', 2 * z.lanes)} <{', '.join(places)}>"
    text = f"shufflevector {re.typed}, {im.typed}, {mask}"
    return k.function.emit(text, re.dtype, 2 * z.lanes)


def separated(k: Arithmetic, wide: Value) -> Value:
    """The complex value of parts that lie side by side."""
    lanes = wide.lanes // 2
    halves: list[Value] = []
    for place in (0, 1):
        places = ", ".join(f"i32 {2 * lane + place}" for lane in range(lanes))
        mask = f"{register_type('int32', lanes)} <{places}>"
        text = f"shufflevector {wide.typed}, {wide.type} poison, {mask}"
        halves.append(k.function.emit(text, wide.dtype, lanes))
    return pair(k.function, *halves)


def doubled(k: Arithmetic, mask: Value) -> Value:
    """A mask of lanes as a mask of the parts that lie side by side."""
    places = ", ".join(f"i32 {lane}, i32 {lane}" for lane in range(mask.lanes))
    chosen = f"{register_type('int32', 2 * mask.lanes)} <{places}>"
    text = f"shufflevector {mask.typed}, {mask.type} poison, {chosen}"
    return k.function.emit(text, "bool", 2 * mask.lanes)
