"""Complex numbers from parts and parts of them, element by element.

Gradients follow Theano's convention (docs/complex.md): of a real cost C by z = x + iy it is
dC/dx + i dC/dy, so through a function with derivative d it is multiplied by conj(d).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exprd_compiler.ir.dtype import COMPLEX, DTYPES, complex_of, is_complex, part_of, promote
from exprd_compiler.ir.node import Array, Node, Op
from exprd_compiler.ops.families import NUMBERS, elementwise
from exprd_compiler.ops.leaves import const


def part_result(dtypes: Sequence[str]) -> str:
    """The dtype of the parts of the operand."""
    return part_of(dtypes[0])


def complex_result(dtypes: Sequence[str]) -> str:
    """The complex dtype whose parts hold all operands."""
    return complex_of(promote(*dtypes))


def as_given(dtypes: Sequence[str], _: str) -> Sequence[str]:
    """Operands stay as they are."""
    return dtypes


def as_parts(dtypes: Sequence[str], result: str) -> Sequence[str]:
    """Operands take the dtype of the parts of the result."""
    return [part_of(result)] * len(dtypes)


def assembled(re: Array, im: Array) -> Array:
    """The complex array of two parts of one float dtype."""
    both = np.stack(np.broadcast_arrays(re, im), axis=-1)
    return both.view(complex_of(both.dtype.name))[..., 0]


def _of_real(g: Node, x: Node) -> Node:
    return complex_(g, const(0, g.dtype)) if is_complex(x.dtype) else g


def _of_imag(g: Node, x: Node) -> Node:
    return complex_(const(0, g.dtype), g) if is_complex(x.dtype) else const(0, g.dtype)


real: Op = elementwise(
    "real",
    arity=1,
    numpy=np.real,
    body=lambda k, x: k.real(x) if is_complex(x.dtype) else x,
    grad=lambda g, _y, x: (_of_real(g, x),),
    result=part_result,
    operands=as_given,
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Real part; a real number itself.",
)

imag: Op = elementwise(
    "imag",
    arity=1,
    numpy=np.imag,
    body=lambda k, x: k.imag(x) if is_complex(x.dtype) else k.const(0, x.dtype),
    grad=lambda g, _y, x: (_of_imag(g, x),),
    result=part_result,
    operands=as_given,
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Imaginary part; of a real number 0.",
)

conj: Op = elementwise(
    "conj",
    arity=1,
    numpy=np.conjugate,
    body=lambda k, x: k.pair(k.real(x), k.neg(k.imag(x))) if is_complex(x.dtype) else x,
    grad=lambda g, _y, _x: (conjugate(g),),
    dtypes=NUMBERS + COMPLEX,
    cheap=True,
    doc="Complex conjugate; a real number itself.",
)

complex_: Op = elementwise(
    "complex",
    arity=2,
    numpy=assembled,
    body=lambda k, re, im: k.pair(re, im),
    grad=lambda g, _y, _re, _im: (real(g), imag(g)),
    result=complex_result,
    operands=as_parts,
    dtypes=DTYPES,
    cheap=True,
    doc="The complex number of a real and an imaginary part.",
)


def conjugate(x: Node) -> Node:
    """The conjugate of a complex value; a real one as it is, without a node."""
    return conj(x) if is_complex(x.dtype) else x
