"""Rounding to whole numbers, element by element; integers are whole already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from exprd_compiler.ir.dtype import is_float
from exprd_compiler.ir.node import ZERO_GRAD, Array, Op
from exprd_compiler.ops.families import elementwise

_Meaning = Callable[[Array], Array]


def _half_away_numpy(x: Array) -> Array:
    whole = np.trunc(x)
    further = whole + np.copysign(x.dtype.type(1), x)
    return np.where(np.abs(x - whole) >= 0.5, further, whole)


def _half_away_body(k: Any, x: Any) -> Any:
    # x - trunc(x) is exact, where x + 0.5 would round 0.49999999999999994 up to 1
    if not is_float(x.dtype):
        return x
    whole = k.call("trunc", x)
    rest = k.abs(k.sub(x, whole))
    up = k.compare("ge", rest, k.const(0.5, x.dtype))
    return k.select(up, k.add(whole, k.call("copysign", k.const(1, x.dtype), x)), whole)


def _of_floats(numpy: _Meaning) -> _Meaning:
    return lambda x: numpy(x) if is_float(x.dtype.name) else x


def _rounding(name: str, numpy: _Meaning, body: Callable[[Any, Any], Any], doc: str) -> Op:
    return elementwise(
        name,
        arity=1,
        numpy=_of_floats(numpy),
        body=body,
        grad=ZERO_GRAD,
        cheap=True,
        doc=doc,
    )


floor: Op = _rounding("floor", np.floor, lambda k, x: k.call("floor", x), "Rounded down.")
ceil: Op = _rounding("ceil", np.ceil, lambda k, x: k.call("ceil", x), "Rounded up.")
trunc: Op = _rounding("trunc", np.trunc, lambda k, x: k.call("trunc", x), "Rounded towards zero.")

round_half_to_even: Op = _rounding(
    "round_half_to_even",
    np.rint,
    lambda k, x: k.call("rint", x),
    "Rounded to the nearest whole number, of two the even one (numpy's round).",
)

round_half_away_from_zero: Op = _rounding(
    "round_half_away_from_zero",
    _half_away_numpy,
    _half_away_body,
    "Rounded to the nearest whole number, of two the larger in size.",
)
