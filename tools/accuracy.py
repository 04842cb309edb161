"""Measures the math functions in units of the last place and writes docs/accuracy.md.

`python -m tools.accuracy` samples float64 densely against arbitrary precision, and float32 over all
exponents and all 16-bit floats against the float64 function. `--exhaustive NAME...` (or no name for
all) goes through every float32 there is instead, or every n-th with `--stride`, and writes nothing.
It ends with status 1 when a bar is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import mpmath
import numpy as np
from mpmath import mpf

from exprd_compiler.driver import compile_graph
from exprd_compiler.ir.dtype import HALVES, numpy_dtype
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import widened
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.table import OPS
from exprd_compiler.options import CompileOptions
from tools.fit_gamma import lower, upper

PAGE: Final = Path(__file__).parents[1] / "docs" / "accuracy.md"
DENSE: Final = 4_000
CHUNK: Final = 1 << 22
Array: TypeAlias = Any
Reference: TypeAlias = Callable[..., mpf]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How one function is measured.

    Attributes:
        exact: the function in arbitrary precision.
        uniform: intervals from which arguments are drawn evenly.
        sizes: intervals of the decimal exponent, of arguments of either sign.
        ends: intervals of the decimal exponent of the distance to 1, below it.
        bar: the largest error in float64, in ulp; in float32 it is 2 for all.
        floor: results below it count as this size: next to a zero the error is absolute.
        operands: how many.
    """

    exact: Reference
    uniform: tuple[tuple[float, float], ...] = ()
    sizes: tuple[tuple[float, float], ...] = ()
    ends: tuple[tuple[float, float], ...] = ()
    bar: float = 1.5
    floor: float = 0.0
    operands: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The unit in the last place of a float dtype.

    Attributes:
        bits: stored bits of the significand.
        least: exponent of the smallest normal number.
        limit: the largest number.
    """

    bits: int
    least: int
    limit: float

    def of(self, size: Array) -> Array:
        """The distance of numbers of this size."""
        _, exponent = np.frexp(size)
        return np.exp2(np.maximum(exponent - 1.0, self.least) - self.bits)


_UNITS: Final = {
    "float16": Unit(bits=10, least=-14, limit=65504.0),
    "bfloat16": Unit(bits=7, least=-126, limit=255 * 2.0**120),
    "float32": Unit(bits=23, least=-126, limit=float(np.finfo(np.float32).max)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The largest error of a function in a dtype, and where it was found."""

    error: float
    at: tuple[float, ...]


def _erfcinv(x: mpf) -> mpf:
    if x > mpf("0.3"):
        return mpmath.erfinv(1 - x)
    height = -mpmath.log(x)
    y = mpmath.sqrt(height - mpmath.log(mpmath.sqrt(mpmath.pi * height)))
    for _ in range(7):
        value = mpmath.erfc(y)
        slope = mpmath.sqrt(mpmath.pi) / 2 * value * mpmath.exp(y * y)
        y += (mpmath.log(value) + height) * slope
    return y


def _erfinv(x: mpf) -> mpf:
    return mpmath.erfinv(x) if abs(x) < mpf("0.7") else mpmath.sign(x) * _erfcinv(1 - abs(x))


def _erfcx(x: mpf) -> mpf:
    if x > mpf("1e9"):
        return (1 - 1 / (2 * x * x)) / (x * mpmath.sqrt(mpmath.pi))
    return mpmath.exp(x * x) * mpmath.erfc(x)


def _gammaln(x: mpf) -> mpf:
    return mpmath.loggamma(x) if x > 100 else mpmath.log(abs(mpmath.gamma(x)))


def _incomplete(which: int) -> Reference:
    """P or Q, each by the form that does not cancel.

    Raises:
        ValueError: (of the function) outside of what is measured.
    """

    def exact(a: mpf, x: mpf) -> mpf:
        if a <= 0 or x <= 0:
            raise ValueError("not positive")
        with mpmath.workprec(180):
            low = x <= max(a, 1)
            found = lower(a, x) if low else upper(a, x)
            return +found if low == (which == 0) else 1 - found

    return exact


WHOLE: Final = (-323.0, 308.2)
ANGLES: Final = Case(exact=mpmath.sin, uniform=((-10.0, 10.0),), sizes=(WHOLE,), bar=1.0)
EXPONENTS: Final = ((-745.0, 709.0), (-10.0, 10.0), (-1.0, 1.0))
SMALL: Final = ((-30.0, 0.0),)
LOGS: Final = {"uniform": ((0.3, 3.0), (0.9, 1.1)), "sizes": (WHOLE,)}
SIDES: Final = {"uniform": ((-1.0, 1.0),), "sizes": SMALL, "ends": ((-15.9, 0.0),)}
ORDERS: Final = {"uniform": ((0.0, 60.0), (0.0, 3.0)), "sizes": ((-6.0, 2.0),)}

CASES: Final[dict[str, Case]] = {
    "exp": Case(exact=mpmath.exp, uniform=EXPONENTS, sizes=SMALL, bar=1.0),
    "exp2": Case(exact=lambda x: mpf(2) ** x, uniform=((-1074.0, 1023.0), (-9.0, 9.0))),
    "expm1": Case(exact=mpmath.expm1, uniform=((-40.0, 709.0), (-2.0, 2.0)), sizes=SMALL),
    "log": Case(exact=mpmath.log, bar=1.0, **LOGS),
    "log2": Case(exact=lambda x: mpmath.log(x, 2), **LOGS),
    "log10": Case(exact=lambda x: mpmath.log(x, 10), **LOGS),
    "log1p": Case(exact=mpmath.log1p, uniform=((-1.0, 3.0),), sizes=((-30.0, 308.0),)),
    "sqrt": Case(exact=mpmath.sqrt, bar=0.5, **LOGS),
    "cbrt": Case(exact=lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), **LOGS),
    "sin": ANGLES,
    "cos": Case(exact=mpmath.cos, uniform=((-10.0, 10.0),), sizes=(WHOLE,), bar=1.0),
    "tan": Case(exact=mpmath.tan, uniform=((-10.0, 10.0),), sizes=(WHOLE,)),
    "arcsin": Case(exact=mpmath.asin, **SIDES),
    "arccos": Case(exact=mpmath.acos, **SIDES),
    "arctan": Case(exact=mpmath.atan, uniform=((-9.0, 9.0),), sizes=(WHOLE,)),
    "arctan2": Case(exact=mpmath.atan2, uniform=((-9.0, 9.0),), sizes=((-30.0, 30.0),), operands=2),
    "sinh": Case(exact=mpmath.sinh, uniform=((-710.0, 710.0), (-9.0, 9.0)), sizes=SMALL),
    "cosh": Case(exact=mpmath.cosh, uniform=((-710.0, 710.0), (-9.0, 9.0))),
    "tanh": Case(exact=mpmath.tanh, uniform=((-25.0, 25.0), (-2.0, 2.0)), sizes=SMALL, bar=2.0),
    "arcsinh": Case(exact=mpmath.asinh, uniform=((-9.0, 9.0),), sizes=((-30.0, 308.0),)),
    "arccosh": Case(exact=mpmath.acosh, uniform=((1.0, 1.1), (1.0, 9.0)), sizes=((0.0, 308.0),)),
    "arctanh": Case(exact=mpmath.atanh, **SIDES),
    "hypot": Case(exact=mpmath.hypot, uniform=((-9.0, 9.0),), sizes=((-300.0, 300.0),), operands=2),
    "pow": Case(
        exact=mpmath.power,
        uniform=((0.0, 9.0), (0.9, 1.1)),
        sizes=((-3.0, 2.5),),
        bar=2.0,
        operands=2,
    ),
    "logaddexp": Case(
        exact=lambda a, b: max(a, b) + mpmath.log1p(mpmath.exp(-abs(a - b))),
        uniform=((-9.0, 9.0), (-700.0, 700.0)),
        bar=2.0,
        floor=0.5,
        operands=2,
    ),
    "sigmoid": Case(
        exact=lambda x: 1 / (1 + mpmath.exp(-x)), uniform=((-708.0, 40.0), (-9.0, 9.0)), bar=2.0
    ),
    "softplus": Case(
        exact=lambda x: mpmath.log1p(mpmath.exp(x)), uniform=((-708.0, 40.0), (-9.0, 9.0))
    ),
    "erf": Case(exact=mpmath.erf, uniform=((-6.0, 6.0), (-1.2, 1.2)), sizes=SMALL, bar=2.0),
    "erfc": Case(exact=mpmath.erfc, uniform=((-6.0, 27.2), (-2.0, 2.0)), bar=2.0),
    "erfcx": Case(exact=_erfcx, uniform=((-26.6, 30.0), (-2.0, 2.0)), sizes=((0.0, 1.3),), bar=2.0),
    "erfinv": Case(exact=_erfinv, bar=2.0, **SIDES),
    "erfcinv": Case(
        exact=_erfcinv, uniform=((0.0, 2.0),), sizes=((-323.0, 0.0),), ends=((-15.9, 0.0),), bar=2.0
    ),
    "gamma": Case(
        exact=mpmath.gamma, uniform=((-170.0, 171.6), (-8.0, 10.0), (-1.0, 1.0)), bar=2.0
    ),
    "gammaln": Case(
        exact=_gammaln,
        uniform=((-170.0, 200.0), (-8.0, 10.0)),
        sizes=((-320.0, 305.0),),
        bar=2.0,
        floor=0.5,
    ),
    "psi": Case(
        exact=mpmath.digamma,
        uniform=((-170.0, 200.0), (-8.0, 10.0)),
        sizes=((-307.0, 9.0),),
        bar=2.0,
        floor=0.5,
    ),
    "tri_gamma": Case(
        exact=lambda x: mpmath.polygamma(1, x),
        uniform=((-170.0, 200.0), (-8.0, 10.0)),
        sizes=((-150.0, 2.0),),
        bar=2.0,
    ),
    "gammainc": Case(exact=_incomplete(0), bar=20.0, operands=2, **ORDERS),
    "gammaincc": Case(exact=_incomplete(1), bar=20.0, operands=2, **ORDERS),
}
SINGLE_BAR: Final = 2.0
HALF_BAR: Final = 0.51
UNARY: Final = tuple(name for name, case in CASES.items() if case.operands == 1)


# ---- the functions as native code
def compiled(names: Sequence[str], dtype: str) -> Callable[..., list[Array]]:
    """One native function that gives the values of all these functions of the same operands."""
    count = CASES[names[0]].operands
    inputs = tuple(input_(type=TensorType(dtype, (None,))) for _ in range(count))
    graph = Graph(inputs, tuple(OPS[name](*inputs) for name in names))
    executable = compile_graph(graph, CompileOptions()).executable
    return lambda *arrays: executable(list(arrays))


def arguments(case: Case, dtype: str, count: int, seed: int = 29) -> tuple[Array, ...]:
    """So many arguments out of each of its intervals, for each operand, in an order of its own."""
    rng = np.random.default_rng(seed)
    columns: list[Array] = []
    for _ in range(case.operands):
        parts = [rng.uniform(low, high, count) for low, high in case.uniform]
        for low, high in case.sizes:
            sign = rng.choice([-1.0, 1.0], count)
            parts.append(sign * 10.0 ** rng.uniform(low, high, count))
        parts += [1 - 10.0 ** rng.uniform(low, high, count) for low, high in case.ends]
        with np.errstate(over="ignore", under="ignore"):
            column = np.concatenate(parts).astype(dtype)
        columns.append(rng.permutation(column) if case.operands > 1 else column)
    return tuple(columns)


# ---- float64 against arbitrary precision
def _distance(found: float, exact: mpf, case: Case, dtype: str) -> float:
    size = max(abs(float(mpmath.nstr(exact, 30))), case.floor)
    unit = float(np.spacing(np.dtype(dtype).type(size)))
    return float(abs(mpf(found) - exact) / unit)


def measure(name: str, dtype: str, count: int, seed: int = 29) -> Measured:
    """The largest error on samples, where the exact value exists and fits the dtype."""
    case, worst = CASES[name], Measured(error=0.0, at=())
    columns = arguments(case, dtype, count, seed)
    (found,) = compiled([name], dtype)(*columns)
    limit = float(np.finfo(dtype).max)
    with mpmath.workprec(140):
        for result, point in zip(found, zip(*columns, strict=True), strict=True):
            exact = _exact(case, point)
            if exact is None or abs(exact) > limit:
                continue
            error = _distance(float(result), exact, case, dtype)
            if not error <= worst.error:
                worst = Measured(error=error, at=tuple(map(float, point)))
    return worst


def _exact(case: Case, point: Iterable[float]) -> mpf | None:
    """The exact value, or None outside the real domain and at poles."""
    try:
        value = case.exact(*[mpf(float(x)) for x in point])
    except (ValueError, ZeroDivisionError):
        return None
    real = isinstance(value, mpf) and mpmath.isfinite(value)
    return value if real else None


# ---- float32 against float64
def sweep(name: str, stride: int) -> Measured:
    """The largest error over every so many float32 numbers, against the float64 function."""
    single, double = compiled([name], "float32"), compiled([name], "float64")
    worst = Measured(error=0.0, at=())
    for start in range(0, 1 << 32, CHUNK * stride):
        end = min(start + CHUNK * stride, 1 << 32)
        x = np.arange(start, end, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
        with np.errstate(invalid="ignore"):  # among all bit patterns are signalling NaNs
            wide = x.astype(np.float64)
        error = _errors(CASES[name], single(x)[0], double(wide)[0], _UNITS["float32"])
        at = int(error.argmax())
        if error[at] > worst.error:
            worst = Measured(error=float(error[at]), at=(float(x[at]),))
    return worst


def halves(dtype: str) -> dict[str, Measured]:
    """By function, the largest error over all numbers of a 16-bit float dtype."""
    x = np.arange(1 << 16, dtype=np.uint16).view(numpy_dtype(dtype))
    with np.errstate(invalid="ignore"):
        wide = widened(x).astype(np.float64)
    out: dict[str, Measured] = {}
    results = zip(UNARY, compiled(UNARY, dtype)(x), compiled(UNARY, "float64")(wide), strict=True)
    for name, found, exact in results:
        error = _errors(CASES[name], widened(found).astype(np.float64), exact, _UNITS[dtype])
        at = int(error.argmax())
        out[name] = Measured(error=float(error[at]), at=(float(wide[at]),))
    return out


def _errors(case: Case, found: Array, exact: Array, unit: Unit) -> Array:
    """Errors in units; infinite where only one is NaN or a finite one became infinite."""
    with np.errstate(all="ignore"):
        size = np.minimum(np.maximum(np.abs(exact), case.floor), unit.limit)
        error = np.abs(found - exact) / unit.of(size)
        agreed = np.isnan(found) & np.isnan(exact)
        agreed |= np.isinf(found) & (np.abs(exact) > unit.limit) & ((found > 0) == (exact > 0))
    return np.where(agreed, 0.0, np.where(np.isnan(error), np.inf, error))


# ---- the page
HEAD: Final = """# Accuracy

Written by `python -m tools.accuracy`; a test holds the bars on other samples. Errors are in units
of the last place (ulp) of the exact result, the largest found: in float64 on {dense} arguments out
of each interval that matters, against arbitrary precision; in float32 on every {stride}th number of
all 2**32, against the float64 function (functions of two operands: on samples). The bits are the
same on every machine, so these are not estimates for one of them. `+ - * /`, `sqrt`, `mod`
and the roundings are exact or correctly rounded.

| function | float32 | at | float64 | at | bar in float64 |
|---|---|---|---|---|---|
"""
NOTES: Final = """
The bar in float32 is 2 ulp for all. Next to their zeros `gammaln`, `psi` and `logaddexp` are judged
by the absolute error, in ulp of 1/2.
Of the Bessel functions and of incomplete gamma functions of large orders, the errors stand with
the [special functions](special.md).

## Where integers end

Integers wrap around. Beyond that, with the same bits in native code, on the server and in the
interpreter:

| operation | value |
|---|---|
| `int_div(x, 0)`, `mod(x, 0)` | 0 (numpy's) |
| least integer `int_div` -1 | the least integer; its `mod` is 0 (numpy's) |
| `left_shift` by a negative count or by the width and more | 0 (numpy's) |
| `right_shift` by such a count | 0, or -1 for a negative number (numpy's) |
| float to `int32`, `int64`: NaN or out of range | the least integer |
| float to `int8`, `int16`, `uint8`, `uint16` | as to `int32`, then the low bits |
| float to `uint32` | as to `int64`, then the low bits |
| float to `uint64` | below 2**63 as to `int64`; else x - 2**63 as to `int64`, the top bit flipped |
| anything to `bool` | x != 0, so NaN is true |

numpy leaves the conversions out of range to the machine; these are the values of x86.

## 16-bit floats

Every op computes float16 and bfloat16 in float32 and rounds once. The largest errors over all
65,536 numbers, in ulp of the dtype against the float64 function; a correctly rounded function has
0.5, and the bar is {half_bar} for all.

| function | float16 | at | bfloat16 | at |
|---|---|---|---|---|
"""


def _row(name: str, single: Measured, double: Measured) -> str:
    found = [
        f"{one.error:.2f} | {', '.join(f'{x:.6g}' for x in one.at)}" for one in (single, double)
    ]
    return f"| `{name}` | {' | '.join(found)} | {CASES[name].bar} |\n"


def _half_rows() -> tuple[str, bool]:
    """The rows of the second table, and whether its bar holds."""
    columns = [halves(dtype) for dtype in HALVES]
    worst = max(one.error for column in columns for one in column.values())
    rows = [f"| `{name}` | {' | '.join(_cells(c[name]) for c in columns)} |\n" for name in UNARY]
    return "".join(rows), worst <= HALF_BAR


def _cells(one: Measured) -> str:
    return f"{one.error:.4f} | {', '.join(f'{x:.6g}' for x in one.at)}"


def write_page(stride: int) -> bool:
    """Measure everything, write the page, and say whether all bars hold."""
    rows, good = [], True
    for name, case in CASES.items():
        single = sweep(name, stride) if case.operands == 1 else measure(name, "float32", DENSE)
        double = measure(name, "float64", DENSE)
        rows.append(_row(name, single, double))
        good &= single.error <= SINGLE_BAR and double.error <= case.bar
        print(rows[-1], end="", flush=True)
    narrow, held = _half_rows()
    notes = NOTES.format(half_bar=HALF_BAR)
    text = HEAD.format(dense=f"{DENSE:,}", stride=stride) + "".join(rows) + notes + narrow
    PAGE.write_text(text, encoding="utf-8")
    return good and held


def exhaust(names: Sequence[str], stride: int) -> bool:
    """Go through all of float32, or every so many of them, and say whether the bar holds."""
    found: dict[str, Measured] = {}
    for name in names:
        one = found[name] = sweep(name, stride)
        print(f"{name:10} {one.error:.3f} at {one.at}", flush=True)
    return all(one.error <= SINGLE_BAR for one in found.values())


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exhaustive", nargs="*", choices=UNARY, metavar="NAME")
    parser.add_argument("--stride", type=int, help="251 for the page, 1 for --exhaustive")
    given = parser.parse_args()
    exhaustive = given.exhaustive is not None
    if exhaustive:
        good = exhaust(given.exhaustive or UNARY, given.stride or 1)
    else:
        good = write_page(given.stride or 251)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
