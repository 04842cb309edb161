"""The math functions by name: what ``call`` of the builder may ask for.

An entry holds for both float dtypes and any lanes. A missing name is a bug of an op, not of a user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from exprd_compiler.backends.llvm import (
    math_arc,
    math_bessel,
    math_erf,
    math_erfinv,
    math_exp,
    math_fmod,
    math_gamma,
    math_gcd,
    math_incomplete,
    math_log,
    math_pow,
    math_root,
    math_trig,
)
from exprd_compiler.backends.llvm.arithmetic import Arithmetic
from exprd_compiler.backends.llvm.text import Value

Body: TypeAlias = Callable[..., Value]
"""A function of the builder and its operands."""

MATH: Mapping[str, Body] = MappingProxyType(
    {
        "arccos": math_arc.arccos,
        "arccosh": math_arc.arccosh,
        "arcsin": math_arc.arcsin,
        "arcsinh": math_arc.arcsinh,
        "arctan": math_arc.arctan,
        "arctan2": math_arc.arctan2,
        "arctanh": math_arc.arctanh,
        "cbrt": math_root.cbrt,
        "ceil": Arithmetic.ceil,
        "copysign": Arithmetic.copysign,
        "cos": math_trig.cos,
        "cosh": math_exp.cosh,
        "erf": math_erf.erf,
        "erfc": math_erf.erfc,
        "erfcinv": math_erfinv.erfcinv,
        "erfcx": math_erf.erfcx,
        "erfinv": math_erfinv.erfinv,
        "exp": math_exp.exp,
        "exp2": math_exp.exp2,
        "expm1": math_exp.expm1,
        "floor": Arithmetic.floor,
        "fmod": math_fmod.fmod,
        "gamma": math_gamma.gamma,
        "gammainc": math_incomplete.gammainc,
        "gammaincc": math_incomplete.gammaincc,
        "gammaln": math_gamma.gammaln,
        "gcd": math_gcd.gcd,
        "hypot": math_root.hypot,
        "iv": math_bessel.iv,
        "jv": math_bessel.jv,
        "log": math_log.log,
        "log10": math_log.log10,
        "log1p": math_log.log1p,
        "log2": math_log.log2,
        "pow": math_pow.power,
        "psi": math_gamma.psi,
        "rint": Arithmetic.rint,
        "sigmoid": math_exp.sigmoid,
        "sin": math_trig.sin,
        "sinh": math_exp.sinh,
        "softplus": math_log.softplus,
        "sqrt": Arithmetic.sqrt,
        "tan": math_trig.tan,
        "tanh": math_exp.tanh,
        "tri_gamma": math_gamma.tri_gamma,
        "trunc": Arithmetic.trunc,
    }
)

LONG: frozenset[str] = frozenset(
    {
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctan2",
        "arctanh",
        "cbrt",
        "cos",
        "erf",
        "erfc",
        "erfcinv",
        "erfcx",
        "erfinv",
        "fmod",
        "gamma",
        "gammainc",
        "gammaincc",
        "gammaln",
        "gcd",
        "iv",
        "jv",
        "pow",
        "psi",
        "sin",
        "tan",
        "tri_gamma",
    }
)
"""Functions that are always calls, for their length or because they branch."""
