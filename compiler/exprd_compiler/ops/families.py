"""Families: what groups of ops share, so that one op is declared in a few lines.

A family supplies the type rule, the operand casts and the shapes of the generated tests; the
declaration supplies the mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError, ShapeError
from exprd_compiler.ir.dtype import (
    DTYPES,
    FLOATS,
    INTEGERS,
    float_of,
    is_complex,
    is_discrete,
    promote,
)
from exprd_compiler.ir.half import converted, widened
from exprd_compiler.ir.lowering import Event, Reduce, Scalar
from exprd_compiler.ir.node import Array, Example, Grad, Op
from exprd_compiler.ir.type import MAX_EXTENT, TensorType, broadcast_shape

NUMBERS: Final = INTEGERS + FLOATS
Result: TypeAlias = Callable[[Sequence[str]], str]
Operands: TypeAlias = Callable[[Sequence[str], str], Sequence[str]]


# ---- what the result dtype is, and to what the operands are cast
def upcast(dtypes: Sequence[str]) -> str:
    """The promoted dtype of the operands."""
    return promote(*dtypes)


def upcast_to_float(dtypes: Sequence[str]) -> str:
    """The promoted dtype; where there are only integers, that of their float types."""
    out = promote(*dtypes)
    return promote(*map(float_of, dtypes)) if is_discrete(out) else out


def boolean(_: Sequence[str]) -> str:
    """Always bool."""
    return "bool"


def as_result(dtypes: Sequence[str], result: str) -> Sequence[str]:
    """Operands take the result's dtype."""
    return [result] * len(dtypes)


def as_common(dtypes: Sequence[str], _: str) -> Sequence[str]:
    """Operands take their common dtype (comparisons)."""
    return [promote(*dtypes)] * len(dtypes)


_SHAPES: Final[dict[int, tuple[tuple[tuple[int, ...], ...], ...]]] = {
    1: (((),), ((1,),), ((0,),), ((5,),), ((37,),), ((3, 4),), ((2, 3, 41),), ((131,),)),
    2: (
        ((), ()),
        ((0,), (0,)),
        ((7,), (7,)),
        ((37,), ()),
        ((3, 1), (1, 5)),
        ((3, 5), (5,)),
        ((1, 4), (6, 1)),
        ((2, 3, 41), (2, 3, 41)),
        ((67, 3), (67, 3)),
    ),
    3: (
        ((), (), ()),
        ((5,), (5,), (5,)),
        ((3, 4), (4,), ()),
        ((3, 1), (1, 5), (3, 5)),
        ((67,), (67,), (67,)),
    ),
}


def _elementwise_type(
    name: str, arity: int, result: Result, operands: Operands, dtypes: tuple[str, ...]
) -> Any:
    def rule(*types: TensorType) -> TensorType:
        if len(types) != arity:
            raise GraphError(f"takes {arity} inputs, got {len(types)}", op=name)
        names = [given.dtype for given in types]
        out = result(names)
        for dtype in (*names, *operands(names, out)):
            if dtype not in dtypes:
                of = "" if dtype in names else f", in which {' and '.join(names)} meet"
                real = "apply it to real(x), imag(x), abs(x) or angle(x)"
                hint = real if is_complex(dtype) else f"cast to one of {', '.join(dtypes)}"
                raise DTypeError(f"does not exist for {dtype}{of}", op=name, hint=hint)
        return TensorType(out, broadcast_shape([t.shape for t in types], name))

    return rule


def _elementwise_numpy(fn: Callable[..., Any], result: Result, operands: Operands) -> Any:
    def meaning(*arrays: Array) -> Array:
        names = [array.dtype.name for array in arrays]
        out = result(names)
        cast = operands(names, out)
        with np.errstate(all="ignore"):
            value = fn(*[widened(converted(a, d)) for a, d in zip(arrays, cast, strict=True)])
            return converted(np.asarray(value), out)

    return meaning


def elementwise(
    name: str,
    *,
    arity: int,
    numpy: Callable[..., Any],
    body: Callable[..., Any],
    grad: Grad,
    doc: str,
    result: Result = upcast,
    operands: Operands = as_result,
    dtypes: tuple[str, ...] = NUMBERS,
    low: float = -3.0,
    high: float = 3.0,
    cheap: bool = False,
    events: tuple[Event, ...] = (),
) -> Op:
    """An op applied element by element over the broadcast shape of its inputs."""
    return Op(
        name=name,
        type=_elementwise_type(name, arity, result, operands, dtypes),
        numpy=_elementwise_numpy(numpy, result, operands),
        grad=grad,
        lowering=Scalar(body, operands, cheap, events),
        dtypes=dtypes,
        examples=tuple(Example(shapes=s, low=low, high=high) for s in _SHAPES[arity]),
        theano="Elemwise",
        doc=doc,
    )


def float_function(
    name: str,
    numpy: Callable[..., Any],
    grad: Grad,
    doc: str,
    low: float,
    high: float,
) -> Op:
    """A function of one float, computed by the builder's function of the same name."""
    return elementwise(
        name,
        arity=1,
        numpy=numpy,
        body=lambda k, x: k.call(name, x),
        grad=grad,
        doc=doc,
        result=upcast_to_float,
        dtypes=DTYPES,
        low=low,
        high=high,
    )


def comparison(
    name: str,
    predicate: str,
    numpy: Callable[..., Any],
    grad: Grad,
    doc: str,
    dtypes: tuple[str, ...] = DTYPES,
) -> Op:
    """An elementwise comparison with a bool result."""
    return elementwise(
        name,
        arity=2,
        numpy=numpy,
        body=lambda k, a, b: k.compare(predicate, a, b),
        grad=grad,
        doc=doc,
        result=boolean,
        operands=as_common,
        dtypes=dtypes,
        cheap=True,
    )


def check_ints(name: str, values: Iterable[Any]) -> None:
    """Refuse attribute values that are not plain integers of a sane size.

    Graphs come from strangers, and these values end up in native code.

    Raises:
        GraphError: one of them is not.
    """
    for value in values:
        if value.__class__ is not int or not -MAX_EXTENT <= value <= MAX_EXTENT:
            raise GraphError(f"{value!r} is not an integer between -2**62 and 2**62", op=name)


def check_axes(name: str, ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes themselves when sorted, distinct and within the rank.

    Raises:
        ShapeError: they are not.
    """
    check_ints(name, axes)
    if list(axes) != sorted(set(axes)) or not all(0 <= axis < ndim for axis in axes):
        raise ShapeError(f"axes {axes} are not distinct axes of rank {ndim} in order", op=name)
    return axes


def drop_axes(shape: Sequence[Any], axes: Sequence[int]) -> tuple[Any, ...]:
    """The entries of a shape whose axes are kept."""
    return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


_REDUCED: Final = (
    ((5,), (0,)),
    ((3, 4), (0,)),
    ((3, 4), (1,)),
    ((3, 4), (0, 1)),
    ((37, 41), (0,)),
    ((37, 41), (1,)),
    ((2, 35, 3), (1,)),
    ((2, 3, 33), (0, 2)),
    ((1, 1), (1,)),
    ((), ()),
)
_EMPTY: Final = (((0,), (0,)), ((0, 3), (0,)), ((0, 3), (1,)))


def reduction(
    name: str,
    *,
    numpy: Callable[..., Any],
    lowering: Reduce,
    grad: Grad,
    doc: str,
    result: Callable[[str], str],
    theano: str,
    dtypes: tuple[str, ...] = DTYPES,
) -> Op:
    """A fold over the axes in attribute `axes` (sorted, non-negative); they disappear."""

    def rule(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        check_axes(name, x.ndim, axes)
        return TensorType(result(x.dtype), drop_axes(x.shape, axes))

    def meaning(x: Array, *, axes: tuple[int, ...]) -> Array:
        return converted(np.asarray(numpy(x, axes)), result(x.dtype.name))

    cases = _REDUCED + (_EMPTY if lowering.empty == "identity" else ())
    return Op(
        name=name,
        type=rule,
        numpy=meaning,
        grad=grad,
        lowering=lowering,
        dtypes=dtypes,
        examples=tuple(Example(shapes=(s,), attrs={"axes": a}) for s, a in cases),
        theano=theano,
        doc=doc,
    )


def sum_dtype(dtype: str) -> str:
    """The dtype of a sum: small integers and bool rise to 64 bits (Theano's CAReduceDtype)."""
    if not is_discrete(dtype):
        return dtype
    return "uint64" if dtype.startswith("uint") else "int64"
