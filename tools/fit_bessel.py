"""Writes compiler/exprd_compiler/ops/bessel_coefficients.py: Chebyshev series of Bessel functions.

`python -m tools.fit_bessel` evaluates each function by mpmath to 40 digits at Chebyshev points and
keeps the coefficients that matter in float64. Which function of which variable a series is for is
said beside each; forms after Abramowitz and Stegun, Handbook of Mathematical Functions, 9.2, 9.7.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mpmath
from mpmath import mp, mpf

PAGE: Final = Path(__file__).parents[1] / "compiler/exprd_compiler/ops/bessel_coefficients.py"
POINTS: Final = 48
KEEP: Final = mpf(2) ** -58

HEAD: Final = '''"""Chebyshev series of Bessel functions, written by `python -m tools.fit_bessel`.

Each is over -1 to 1, constant term first. Zeros are in two parts, whose sum is the zero.
"""

from __future__ import annotations

from typing import Final
'''


def series(f: Callable[[Any], Any]) -> list[float]:
    """The Chebyshev coefficients of a function on -1 to 1, without the negligible tail."""
    angles = [mp.pi * (k + mpf(1) / 2) / POINTS for k in range(POINTS)]
    values = [f(mp.cos(angle)) for angle in angles]
    found = [
        2 * sum(v * mp.cos(n * a) for v, a in zip(values, angles, strict=True)) / POINTS
        for n in range(POINTS)
    ]
    found[0] /= 2
    bound = KEEP * max(abs(c) for c in found)
    while abs(found[-1]) < bound:
        found.pop()
    return [float(c) for c in found]


def growing(order: int) -> dict[str, list[float]]:
    """I of an order: near, exp(-x) I(x) / x**order over x = 4 + 4 t; far, in 16 / x = 1 + t."""

    def scaled(x: Any) -> Any:
        return mp.exp(-x) * mp.besseli(order, x)

    def near(t: Any) -> Any:
        x = 4 + 4 * t
        return scaled(x) / x**order

    def far(t: Any) -> Any:
        x = 16 / (1 + t)
        return scaled(x) * mp.sqrt(x)

    return {f"I{order}_NEAR": series(near), f"I{order}_FAR": series(far)}


def waving(order: int) -> dict[str, list[float]]:
    """J of an order: near, over its two zeros, in x**2 = 32 + 32 t; far, P and Q in (8 / x)**2."""
    zeros = [mp.besseljzero(order, n) for n in (1, 2)]

    def near(t: Any) -> Any:
        square = 32 + 32 * t
        x = mp.sqrt(square)
        product = (square - zeros[0] ** 2) * (square - zeros[1] ** 2)
        return mp.besselj(order, x) / x**order / product

    def hankel(t: Any) -> Any:
        x = 8 / mp.sqrt((1 + t) / 2)
        turned = mp.expj(-(x - (2 * order + 1) * mp.pi / 4))
        return mp.hankel1(order, x) * mp.sqrt(mp.pi * x / 2) * turned

    def level(t: Any) -> Any:
        return hankel(t).real

    def tilt(t: Any) -> Any:
        return hankel(t).imag / mp.sqrt((1 + t) / 2)

    parts = {
        f"J{order}_NEAR": series(near),
        f"J{order}_P": series(level),
        f"J{order}_Q": series(tilt),
    }
    for n, zero in enumerate(zeros, 1):
        head = mpf(float(zero))
        parts[f"J{order}_ZERO_{n}"] = [float(head), float(zero - head)]
    return parts


def main() -> None:
    """Compute all series and write the module."""
    mpmath.mp.dps = 40
    lines = [HEAD]
    for found in (growing(0), growing(1), waving(0), waving(1)):
        for name, values in found.items():
            body = "".join(f"    {value!r},\n" for value in values)
            lines.append(f"{name}: Final = (\n{body})\n")
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
