"""Writes compiler/exprd_compiler/ops/gamma_coefficients.py: the incomplete gamma functions' tables.

`python -m tools.fit_gamma` evaluates each function by mpmath in Chebyshev points and keeps the
coefficients that matter in float64. The uniform expansion is Temme's (DLMF 8.12): with l = x / a,
e**2 / 2 = l - 1 - log(l) and e of the sign of l - 1,

    Q(a, x) = erfc(e sqrt(a / 2)) / 2 + exp(-a e**2 / 2) S(e, 1 / a) / sqrt(2 pi a)

and S, smooth in both, is interpolated as it is rather than expanded in powers of 1 / a.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mpmath
from mpmath import mp, mpf

PAGE: Final = Path(__file__).parents[1] / "compiler/exprd_compiler/ops/gamma_coefficients.py"
LEAST: Final = 20
"""The order from which on the uniform expansion is used."""
WIDEST: Final = mpf(3) / 2
"""The largest |e| for which it is."""
NEAR: Final = mpf(3) / 8
"""The largest |l - 1| for which e / (l - 1) is a series."""
KEEP: Final = mpf(2) ** -58

HEAD: Final = '''"""Series of incomplete gamma functions, written by `python -m tools.fit_gamma`.

Chebyshev series over -1 to 1, constant term first.
"""

from __future__ import annotations

from typing import Final
'''


def coefficients(values: list[Any]) -> list[Any]:
    """The Chebyshev coefficients of the polynomial through values in Chebyshev points."""
    count = len(values)
    angles = [mp.pi * (k + mpf(1) / 2) / count for k in range(count)]
    found = [
        2 * sum(v * mp.cos(n * a) for v, a in zip(values, angles, strict=True)) / count
        for n in range(count)
    ]
    found[0] /= 2
    return found


def points(count: int) -> list[Any]:
    """Chebyshev points of -1 to 1."""
    return [mp.cos(mp.pi * (k + mpf(1) / 2) / count) for k in range(count)]


def trimmed(found: list[Any]) -> list[float]:
    """Coefficients as float64, without the negligible tail."""
    bound = KEEP * max(abs(c) for c in found)
    while abs(found[-1]) < bound:
        found.pop()
    return [float(c) for c in found]


def series(f: Callable[[Any], Any], count: int = 48) -> list[float]:
    """The Chebyshev series of a function on -1 to 1."""
    return trimmed(coefficients([f(t) for t in points(count)]))


def ratio(e: Any) -> Any:
    """The l > 0 with e**2 / 2 = l - 1 - log(l), on the side that the sign of e says."""
    if e == 0:
        return mpf(1)
    guess = mp.exp(-1 - e * e / 2) if e < -1 else 1 + e + e * e / 3
    return mp.findroot(lambda v: v - 1 - mp.log(v) - e * e / 2, guess)


def lower(a: Any, x: Any) -> Any:
    """P(a, x) by its series, DLMF 8.7.1."""
    term = total = mpf(1)
    n = 0
    while term > mp.eps * total:
        n += 1
        term *= x / (a + n)
        total += term
    return mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1)) * total


def upper(a: Any, x: Any) -> Any:
    """Q(a, x) by its continued fraction, DLMF 8.9.2, in Lentz's way."""
    b = x + 1 - a
    c, d = mpf(10) ** 600, 1 / b
    value, n = d, 0
    while True:
        n += 1
        b += 2
        d = 1 / (-n * (n - a) * d + b)
        c = b - n * (n - a) / c
        value *= c * d
        if abs(c * d - 1) < 4 * mp.eps:
            return mp.exp(a * mp.log(x) - x - mp.loggamma(a)) * value


def smooth(e: Any, a: Any) -> Any:
    """S(e, 1 / a)."""
    exponent = a * e * e / 2
    far = e > mpf(3) / 10
    with mp.workdps(50 if far else 50 + int(exponent * mpf("0.44") * (e > 0))):
        x, root = a * ratio(e), e * mp.sqrt(a / 2)
        by_upper, by_lower = mp.erfc(root) / 2, mp.erfc(-root) / 2
        rest = upper(a, x) - by_upper if far else by_lower - lower(a, x)
        return mp.sqrt(2 * mp.pi * a) * mp.exp(exponent) * rest


def uniform() -> list[list[float]]:
    """S: for each Chebyshev polynomial of 40 / a - 1, the series in e / 1.5 that it is taken by."""
    across = points(11)
    rows = []
    for t in points(40):
        e = WIDEST * t
        rows.append(coefficients([smooth(e, 2 * LEAST / (1 + u)) for u in across]))
    columns = [coefficients([row[n] for row in rows]) for n in range(len(across))]
    bound = KEEP * max(abs(c) for column in columns for c in column)
    kept = []
    for column in columns:
        while column and abs(column[-1]) < bound:
            column.pop()
        if column:
            kept.append([float(c) for c in column])
    return kept


def slope(t: Any) -> Any:
    """e / (l - 1) at l - 1 = 3 t / 8."""
    s = NEAR * t
    if abs(s) < mpf("1e-20"):
        return 1 - s / 3
    return mp.sqrt(2 * (s - mp.log1p(s))) / abs(s)


def excess(t: Any) -> Any:
    """(gamma(1 + a) - 1) / a at a = (1 + t) / 2."""
    a = (1 + t) / 2
    return (mp.gamma(1 + a) - 1) / a if a > mpf("1e-25") else -mp.euler


def shown(name: str, values: list[float]) -> str:
    """One table as source text."""
    return f"{name}: Final = (\n" + "".join(f"    {value!r},\n" for value in values) + ")\n"


def main() -> None:
    """Compute all series and write the module."""
    mpmath.mp.dps = 50
    lines = [HEAD, "# e / (l - 1) in (l - 1) * 8 / 3", shown("SLOPE", series(slope))]
    lines += ["# (gamma(1 + a) - 1) / a in 2 a - 1", shown("EXCESS", series(excess))]
    lines.append("# S: by row a polynomial of 40 / a - 1, within it the series in e / 1.5")
    rows = [
        "    (\n" + "".join(f"        {value!r},\n" for value in row) + "    ),\n"
        for row in uniform()
    ]
    lines.append("UNIFORM: Final = (\n" + "".join(rows) + ")\n")
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
