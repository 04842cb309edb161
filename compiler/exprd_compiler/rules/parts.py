"""Laws of complex numbers and their parts: what is put together need not be taken apart."""

from __future__ import annotations

from typing import Final

from exprd_compiler.ir.dtype import COMPLEX, EVERY
from exprd_compiler.rewrite.pattern import P, wild
from exprd_compiler.rewrite.rules import Rule

x, y, z = wild("x y z")
_EXACT = "The parts are copied, not computed."

LAWS: Final = (
    Rule(
        name="the real part of two parts",
        theano="local_real_complex",
        left=P.real(P.complex(x, y)),
        right=x,
        why=_EXACT,
    ),
    Rule(
        name="the imaginary part of two parts",
        left=P.imag(P.complex(x, y)),
        right=y,
        why=_EXACT,
    ),
    Rule(name="the real part of a real number", left=P.real(x), right=x, why=_EXACT),
    Rule(name="the conjugate of a real number", left=P.conj(x), right=x, why=_EXACT),
    Rule(
        name="the conjugate of a conjugate",
        left=P.conj(P.conj(z)),
        right=z,
        dtypes=EVERY,
        why="A sign changed twice.",
    ),
    Rule(
        name="a number from its own parts",
        left=P.complex(P.real(z), P.imag(z)),
        right=z,
        dtypes=COMPLEX,
        why=_EXACT,
    ),
    Rule(
        name="the real part of a conjugate",
        left=P.real(P.conj(z)),
        right=P.real(z),
        dtypes=EVERY,
        mixed=True,
        why="Only the imaginary part changes.",
    ),
)
