"""Fits the polynomials of the vector math and prints `math_coefficients.py`.

Run `python tools/fit_math.py > compiler/exprd_compiler/backends/llvm/math_coefficients.py` after a
change here. Each polynomial interpolates its function in Chebyshev points (200-bit arithmetic, so
near minimax) and is then rounded to the dtype, lowest degree first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import mpmath as mp
from mpmath import mpf

mp.mp.prec = 240

LN2 = mp.log(2)
SQRT2 = mp.sqrt(2)
HALF_LN2 = LN2 / 2 * mpf("1.0005")  # a little more, as the reduction itself rounds


def fit(f: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> list[mpf]:
    """The interpolating polynomial in Chebyshev points, lowest degree first."""
    count = degree + 1
    low, high = mpf(low), mpf(high)
    middle, radius = (low + high) / 2, (high - low) / 2
    points = [middle + radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    matrix = mp.matrix(count, count)
    values = mp.matrix(count, 1)
    for i, x in enumerate(points):
        values[i] = f(x)
        for j in range(count):
            matrix[i, j] = x**j
    return list(mp.lu_solve(matrix, values))


def single(x: mpf) -> float:
    """Rounded to float32, given as the double of the same value."""
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def double(x: mpf) -> float:
    """Rounded to float64."""
    return float(x)


def split(value: mpf, bits: int, rounding: Callable[[mpf], float]) -> tuple[float, float]:
    """A head with so many significant bits, and the rounded rest."""
    mantissa, exponent = mp.frexp(value)
    head = mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), exponent - bits)
    return float(head), rounding(value - head)


def expm1_tail(x: mpf) -> mpf:
    """(exp(x) - 1 - x) / x**2."""
    return (mp.expm1(x) - x) / x**2 if abs(x) > mpf("1e-30") else mpf(1) / 2 + x / 6


def log1p_tail(x: mpf) -> mpf:
    """(log1p(x) - x + x**2 / 2) / x**3."""
    return (mp.log1p(x) - x + x * x / 2) / x**3 if abs(x) > mpf("1e-20") else mpf(1) / 3 - x / 4


def atanh_tail(z: mpf) -> mpf:
    """(2 atanh(s) - 2 s) / s**3 at z = s**2."""
    s = mp.sqrt(abs(z))
    return (2 * mp.atanh(s) - 2 * s) / (s * z) if abs(z) > mpf("1e-30") else mpf(2) / 3


def atanh_long_tail(z: mpf) -> mpf:
    """(2 atanh(s) - 2 s - 2 s**3 / 3) / s**5 at z = s**2."""
    return (atanh_tail(z) - mpf(2) / 3) / z if abs(z) > mpf("1e-20") else mpf(2) / 5


def sin_tail(z: mpf) -> mpf:
    """(sin(r) - r) / r**3 at z = r**2."""
    r = mp.sqrt(abs(z))
    return (mp.sin(r) - r) / (r * z) if abs(z) > mpf("1e-20") else mpf(-1) / 6 + z / 120


def cos_tail(z: mpf) -> mpf:
    """(cos(r) - 1 + r**2 / 2) / r**4 at z = r**2."""
    return (mp.cos(mp.sqrt(abs(z))) - 1 + z / 2) / z**2 if abs(z) > mpf("1e-15") else mpf(1) / 24


def arctan_tail(z: mpf) -> mpf:
    """(atan(x) - x) / x**3 at z = x**2."""
    x = mp.sqrt(abs(z))
    return (mp.atan(x) - x) / (x * z) if abs(z) > mpf("1e-20") else mpf(-1) / 3 + z / 5


def arcsin_tail(z: mpf) -> mpf:
    """(asin(x) - x) / x**3 at z = x**2."""
    x = mp.sqrt(abs(z))
    return (mp.asin(x) - x) / (x * z) if abs(z) > mpf("1e-20") else mpf(1) / 6 + z * 3 / 40


def erf_tail(z: mpf) -> mpf:
    """erf(x) / x - 1 at z = x**2."""
    x = mp.sqrt(abs(z))
    return mp.erf(x) / x - 1 if abs(z) > mpf("1e-30") else 2 / mp.sqrt(mp.pi) - 1


def erfcx_smooth(t: mpf) -> mpf:
    """erfc(x) exp(x**2) (1 + 2 x) at t = (x - 4) / (x + 4)."""
    x = 4 * (1 + t) / (1 - t)
    return mp.erfc(x) * mp.exp(x * x) * (1 + 2 * x)


def erfinv_near(z: mpf) -> mpf:
    """(erfinv(x) / x - sqrt(pi) / 2) / x**2 at z = x**2."""
    x = mp.sqrt(abs(z))
    return (mp.erfinv(x) / x - mp.sqrt(mp.pi) / 2) / z


def erfcinv_of_root(w: mpf) -> mpf:
    """The y > 0 with erfc(y) = exp(-w**2), by Newton's steps on the logarithm."""
    y = mp.sqrt(w * w - mp.log(1 + w * w) / 2)
    for _ in range(12):
        value = mp.erfc(y)
        step = (mp.log(value) + w * w) * value * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < mpf("1e-40"):
            break
    return y


def erfcinv_tail(center: mpf) -> Callable[[mpf], mpf]:
    """f(s) = erfcinv(exp(-w**2)) / w at s = (w - center) / (w + center), as (f(s) - f(0)) / s."""
    middle = erfcinv_of_root(center) / center

    def tail(s: mpf) -> mpf:
        w = center * (1 + s) / (1 - s)
        return (erfcinv_of_root(w) / w - middle) / s

    return tail


def around(center: mpf, low: str, high: str) -> tuple[mpf, mpf]:
    """The ends of an interval of w in terms of s = (w - center) / (w + center)."""
    return tuple((mpf(w) - center) / (mpf(w) + center) for w in (low, high))


def stirling_rest(z: mpf) -> mpf:
    """y (lgamma(y) - (y - 1/2) log y + y - log(2 pi) / 2) at z = 1 / y**2."""
    y = 1 / mp.sqrt(z)
    return y * (mp.loggamma(y) - (y - mpf(1) / 2) * mp.log(y) + y - mp.log(2 * mp.pi) / 2)


def psi_rest(z: mpf) -> mpf:
    """y**2 (log y - 1 / (2 y) - psi(y)) at z = 1 / y**2."""
    y = 1 / mp.sqrt(z)
    return (mp.log(y) - 1 / (2 * y) - mp.digamma(y)) / z


def tri_gamma_rest(z: mpf) -> mpf:
    """y**3 (psi'(y) - 1 / y - 1 / (2 y**2)) at z = 1 / y**2."""
    y = 1 / mp.sqrt(z)
    return (mp.polygamma(1, y) - 1 / y - z / 2) * y**3


def thirds(value: mpf, rounding: Callable[[mpf], float] = double) -> tuple[float, float, float]:
    """Three numbers of a dtype that add up to the value."""
    first = rounding(value)
    second = rounding(value - mpf(first))
    return first, second, rounding(value - mpf(first) - mpf(second))


def two_over_pi(words: int) -> list[int]:
    """A word of zeros and then so many words of the binary fraction, as signed 64-bit integers."""
    with mp.workprec(64 * words + 128):
        bits = int(mp.floor(mp.ldexp(2 / mp.pi, 64 * words)))
    unsigned = [0] + [bits >> (64 * (words - 1 - i)) & (2**64 - 1) for i in range(words)]
    return [word - 2**64 if word >= 2**63 else word for word in unsigned]


def show(name: str, comment: str, numbers: list[float]) -> None:
    """Print one table."""
    print(f"\n# {comment}")
    print(f"{name}: Final = (")
    for number in numbers:
        print(f"    {number!r},")
    print(")")


HEADER = '''"""Coefficients of the vector math; written by tools/fit_math.py, do not edit.

Polynomials are listed lowest degree first and rounded to their dtype.
"""

from __future__ import annotations

from typing import Final
'''

# name, what it is, function, ends of the interval, degrees for float32 and float64 (0: not wanted)
SQRT_RANGE = (1 / SQRT2 - 1, SQRT2 - 1)
ATANH_EDGE = ((SQRT2 - 1) / (SQRT2 + 1)) ** 2 * mpf("1.001")
CORNER = (mp.pi / 4 * mpf("1.0005")) ** 2
ERFCINV_CENTERS = (mpf("1.5"), mpf(6))
ERFCINV_MIDDLES = tuple(erfcinv_of_root(w) / w for w in ERFCINV_CENTERS)
QUARTER = mpf("0.2501")
EIGHTH = 1 / mpf(64)
POLYNOMIALS = (
    ("EXPM1", "(e^r - 1 - r) / r^2, |r| <= ln2/2", expm1_tail, (-HALF_LN2, HALF_LN2), (4, 10)),
    ("LOG1P", "(log1p(f) - f + f^2/2) / f^3", log1p_tail, SQRT_RANGE, (8, 0)),
    ("ATANH", "(2 atanh(s) - 2 s) / s^3 in s^2", atanh_tail, (0, ATANH_EDGE), (0, 6)),
    ("ATANH_LONG", "(... - 2 s^3 / 3) / s^5 in s^2", atanh_long_tail, (0, ATANH_EDGE), (0, 7)),
    ("SIN", "(sin(r) - r) / r^3 in r^2, |r| <= pi/4", sin_tail, (0, CORNER), (3, 6)),
    ("COS", "(cos(r) - 1 + r^2 / 2) / r^4 in r^2", cos_tail, (0, CORNER), (3, 6)),
    ("ARCTAN", "(atan(x) - x) / x^3 in x^2, x <= 1", arctan_tail, (0, 1), (8, 20)),
    ("ARCSIN", "(asin(x) - x) / x^3 in x^2, x <= 1/2", arcsin_tail, (0, mpf("0.2505")), (5, 12)),
    ("ERF", "erf(x) / x - 1 in x^2, x <= 1", erf_tail, (0, 1), (0, 12)),
    ("ERFCX", "erfc e^(x^2) (1 + 2 x) in (x-4)/(x+4)", erfcx_smooth, (-1, 1), (0, 26)),
    ("ERFINV", "(erfinv(x) / x - ...) / x^2 in x^2, x <= 1/2", erfinv_near, (0, QUARTER), (0, 13)),
    (
        "ERFCINV_NEAR",
        "(f(s) - f(0)) / s, f = erfcinv(e^(-w^2)) / w, s = (w - 1.5) / (w + 1.5), w <= 5",
        erfcinv_tail(ERFCINV_CENTERS[0]),
        around(ERFCINV_CENTERS[0], "0.83", "5.01"),
        (0, 21),
    ),
    (
        "ERFCINV_FAR",
        "the same with s = (w - 6) / (w + 6), w > 5",
        erfcinv_tail(ERFCINV_CENTERS[1]),
        around(ERFCINV_CENTERS[1], "4.99", "27.4"),
        (0, 21),
    ),
    ("STIRLING", "y (lgamma(y) - ...) in 1 / y^2, y >= 8", stirling_rest, (0, EIGHTH), (0, 6)),
    ("PSI", "y^2 (log y - 1/(2y) - psi(y)) in 1 / y^2", psi_rest, (0, EIGHTH), (0, 6)),
    ("TRI_GAMMA", "y^3 (psi'(y) - ...) in 1 / y^2", tri_gamma_rest, (0, EIGHTH), (0, 6)),
    ("CBRT", "cube root, rough, for a step or two", mp.cbrt, (1 / SQRT2, SQRT2), (5, 5)),
)

# name, what it is, value, bits of the head, rounding of the tail
SPLITS = (
    ("LN2_F32", "ln 2 in a head of 15 bits and a tail", LN2, 15, single),
    ("LN2_F64", "ln 2 in a head of 38 bits and a tail", LN2, 38, double),
    ("LN2_HALVES_F32", "ln 2 as the nearest float32 and the rest", LN2, 24, single),
    ("LN2_HALVES_F64", "ln 2 as the nearest float64 and the rest", LN2, 53, double),
    ("PI", "pi, nearest and rest", mp.pi, 53, double),
    ("HALF_LOG_TWO_PI", "log(2 pi) / 2, nearest and rest", mp.log(2 * mp.pi) / 2, 53, double),
    ("CBRT_2", "cube root of 2, nearest and rest", mp.cbrt(2), 53, double),
    ("HALF_ROOT_PI", "sqrt(pi) / 2, nearest and rest", mp.sqrt(mp.pi) / 2, 53, double),
    ("ERFCINV_NEAR_MIDDLE", "f(0) for w <= 5, nearest and rest", ERFCINV_MIDDLES[0], 53, double),
    ("ERFCINV_FAR_MIDDLE", "f(0) for w > 5, nearest and rest", ERFCINV_MIDDLES[1], 53, double),
    ("LOG2_E", "log2(e), nearest and rest", 1 / LN2, 53, double),
    ("LOG2_E_F32", "the same in float32", 1 / LN2, 24, single),
    ("LOG2_2", "log2(2), nearest and rest", mpf(1), 53, double),
    ("LOG10_E", "log10(e), nearest and rest", 1 / mp.log(10), 53, double),
    ("LOG10_E_F32", "the same in float32", 1 / mp.log(10), 24, single),
    ("LOG10_2", "log10(2) in a head of 40 bits and a tail", mp.log10(2), 40, double),
    ("LOG10_2_F32", "log10(2) in a head of 15 bits and a tail", mp.log10(2), 15, single),
)


def main() -> None:
    """Print the whole module."""
    print(HEADER, end="")
    for name, comment, function, ends, degrees in POLYNOMIALS:
        for dtype, degree in zip(("F32", "F64"), degrees, strict=True):
            if degree:
                rounding = single if dtype == "F32" else double
                numbers = [rounding(c) for c in fit(function, *ends, degree)]
                show(f"{name}_{dtype}", f"{comment}, degree {degree}", numbers)
    show("HALF_PI", "pi/2 in three parts", list(thirds(mp.pi / 2)))
    show("HALF_PI_F32", "the same in float32", list(thirds(mp.pi / 2, single)))
    show("TWO_OVER_PI", "the bits of 2/pi after a word of zeros, 64 to a word", two_over_pi(20))
    for name, comment, value, bits, rounding in SPLITS:
        show(name, comment, list(split(value, bits, rounding)))


if __name__ == "__main__":
    main()
