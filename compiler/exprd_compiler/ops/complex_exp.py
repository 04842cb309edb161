"""The scalar body of exp for complex numbers, with the exact special values of C99 (annex G.6)."""

from __future__ import annotations

import math
from typing import Any, Final

# Up to here exp is finite. Larger exponents are taken in steps, since a small sine or cosine makes
# the product finite again.
_STEP: Final = {"float32": 88.0, "float64": 709.0}


def complex_exp(k: Any, z: Any) -> Any:
    """exp(x) cos(y) + i exp(x) sin(y) for z = x + iy."""
    x, y = k.real(z), k.imag(z)
    rest, first = _stepped(k, x)
    rest, second = _stepped(k, rest)
    size = k.call("exp", rest)
    re, im = (k.mul(size, k.mul(k.mul(k.call(name, y), first), second)) for name in ("cos", "sin"))
    im = k.select(k.compare("eq", y, k.const(0, y.dtype)), y, im)
    return _at_the_ends(k, x, y, re, im)


def _stepped(k: Any, x: Any) -> tuple[Any, Any]:
    """What is left of an exponent that is too large, and the factor taken out of its power."""
    most = _STEP[x.dtype]
    step = k.const(most, x.dtype)
    over = k.compare("gt", x, step)
    factor = k.select(over, k.const(math.exp(most), x.dtype), k.const(1, x.dtype))
    return k.select(over, k.sub(x, step), x), factor


def _at_the_ends(k: Any, x: Any, y: Any, re: Any, im: Any) -> Any:
    """An infinite x counts more than an angle that is infinite or not a number."""
    infinity, zero = k.const(math.inf, x.dtype), k.const(0, x.dtype)
    vague = k.not_(k.compare("lt", k.abs(y), infinity))
    gone = k.and_(vague, k.compare("eq", x, k.neg(infinity)))
    huge = k.and_(vague, k.compare("eq", x, infinity))
    re = k.select(gone, zero, k.select(huge, infinity, re))
    return k.pair(re, k.select(gone, k.call("copysign", zero, y), im))
