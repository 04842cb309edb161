"""Angles of complex numbers, and complex numbers by angle, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import COMPLEX, DTYPES, float_of, is_complex, part_of
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ops.arithmetic import add, mul, neg, sqr, sub, true_div, zeros_like
from exprd_compiler.ops.families import NUMBERS, elementwise
from exprd_compiler.ops.parts import as_parts, complex_, complex_result, imag, real
from exprd_compiler.ops.trigonometric import cos, sin


# ---- angle
def _angle_result(dtypes: Sequence[str]) -> str:
    return part_of(float_of(dtypes[0]))


def _angle_operands(dtypes: Sequence[str], result: str) -> Sequence[str]:
    return dtypes if is_complex(dtypes[0]) else [result]


def _angle_body(k: Any, x: Any) -> Any:
    if is_complex(x.dtype):
        return k.call("arctan2", k.imag(x), k.real(x))
    return k.call("arctan2", k.const(0, x.dtype), x)


def _angle_grad(g: Node, _y: Node, x: Node) -> Sequence[Node]:
    """Along the circle, by one over the radius."""
    if not is_complex(x.dtype):
        return (zeros_like(x),)
    re, im = real(x), imag(x)
    turn = true_div(g, add(sqr(re), sqr(im)))
    return (complex_(neg(mul(turn, im)), mul(turn, re)),)


angle: Op = elementwise(
    "angle",
    arity=1,
    numpy=np.angle,
    body=_angle_body,
    grad=_angle_grad,
    result=_angle_result,
    operands=_angle_operands,
    dtypes=NUMBERS + COMPLEX,
    doc="Angle with the positive real axis, from -pi to pi.",
)


# ---- polar coordinates
def _polar_numpy(r: Array, theta: Array) -> Array:
    return np.asarray(complex_.numpy(r * np.cos(theta), r * np.sin(theta)))


def _polar_body(k: Any, r: Any, theta: Any) -> Any:
    return k.pair(k.mul(r, k.call("cos", theta)), k.mul(r, k.call("sin", theta)))


def _polar_grad(g: Node, _y: Node, r: Node, theta: Node) -> Sequence[Node]:
    across, along = cos(theta), sin(theta)
    outward = add(mul(real(g), across), mul(imag(g), along))
    around = sub(mul(imag(g), across), mul(real(g), along))
    return (outward, mul(r, around))


complex_from_polar: Op = elementwise(
    "complex_from_polar",
    arity=2,
    numpy=_polar_numpy,
    body=_polar_body,
    grad=_polar_grad,
    result=complex_result,
    operands=as_parts,
    dtypes=DTYPES,
    doc="The complex number of a distance from 0 and an angle in radians.",
)
