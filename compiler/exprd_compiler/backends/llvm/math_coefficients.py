"""Coefficients of the vector math; written by tools/fit_math.py, do not edit.

Polynomials are listed lowest degree first and rounded to their dtype.
"""

from __future__ import annotations

from typing import Final

# (exp(r) - 1 - r) / r^2 on |r| <= ln2/2, degree 4
EXPM1_F32: Final = (
    0.5,
    0.16666576266288757,
    0.041666556149721146,
    0.008363203145563602,
    0.0013926213141530752,
)

# (exp(r) - 1 - r) / r^2 on |r| <= ln2/2, degree 10
EXPM1_F64: Final = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326112,
    0.001388888888888373,
    0.0001984126987490126,
    2.4801587325605324e-05,
    2.7557255297969643e-06,
    2.755727357010214e-07,
    2.5105259538448494e-08,
    2.0914717341716378e-09,
)

# (log1p(f) - f + f^2/2) / f^3 on sqrt(1/2)-1 .. sqrt(2)-1, degree 8
LOG1P_F32: Final = (
    0.3333333134651184,
    -0.2499999701976776,
    0.20000715553760529,
    -0.1666780263185501,
    0.14249058067798615,
    -0.12425687164068222,
    0.11685419827699661,
    -0.11479733884334564,
    0.06971611827611923,
)

# (2 atanh(s) - 2 s) / s^3 in s^2, |s| <= (sqrt(2)-1)/(sqrt(2)+1), degree 6
ATANH_F64: Final = (
    0.666666666666667,
    0.3999999999989889,
    0.28571428626253836,
    0.22222211089379496,
    0.1818289243253687,
    0.15331611722055008,
    0.14617807153417325,
)

# (2 atanh(s) - 2 s - 2 s^3 / 3) / s^5 in s^2, degree 7
ATANH_LONG_F64: Final = (
    0.4,
    0.2857142857142937,
    0.22222222221652765,
    0.18181818336099848,
    0.1538459488700718,
    0.1333480879881234,
    0.11706126464563398,
    0.11724327060846747,
)

# ln 2 in a head of 15 bits and a tail
LN2_F32: Final = (
    0.693145751953125,
    1.428606765330187e-06,
)

# ln 2 in a head of 38 bits and a tail
LN2_F64: Final = (
    0.6931471805582987,
    1.6465949582897082e-12,
)

# ln 2 as the nearest float32 and the rest
LN2_HALVES_F32: Final = (
    0.6931471824645996,
    -1.9046542121259336e-09,
)

# ln 2 as the nearest float64 and the rest
LN2_HALVES_F64: Final = (
    0.6931471805599453,
    2.3190468138462996e-17,
)

# log2(e), nearest and rest
LOG2_E: Final = (
    1.4426950408889634,
    2.0355273740931033e-17,
)

# log2(2), nearest and rest
LOG2_2: Final = (
    1.0,
    0.0,
)

# log10(e), nearest and rest
LOG10_E: Final = (
    0.4342944819032518,
    1.098319650216765e-17,
)

# log10(2) in a head of 40 bits and a tail
LOG10_2: Final = (
    0.3010299956640665,
    -8.532344317057107e-14,
)
