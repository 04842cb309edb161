"""What the math functions share: polynomials, exact sums, and the anatomy of a float dtype.

Bodies are plain functions of (builder, values): one source for all lanes and both float dtypes.
They are branch-free, use explicit fma, and never rely on fast-math flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The anatomy of a float dtype.

    Attributes:
        mantissa: stored bits of the significand.
        bias: exponent bias.
        magic: 1.5 * 2**mantissa; adding it rounds to an integer, kept in the low bits.
        magic_bits: its bit pattern.
        least: the smallest normal number.
    """

    mantissa: int
    bias: int
    magic: float
    magic_bits: int
    least: float


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "float32": Form(
            mantissa=23, bias=127, magic=1.5 * 2.0**23, magic_bits=0x4B400000, least=2.0**-126
        ),
        "float64": Form(
            mantissa=52,
            bias=1023,
            magic=1.5 * 2.0**52,
            magic_bits=0x4338000000000000,
            least=2.0**-1022,
        ),
    }
)


def horner(k: Arithmetic, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial by Horner's rule; coefficients lowest degree first."""
    result = k.like(coefficients[-1], x)
    for coefficient in coefficients[-2::-1]:
        result = k.fma(result, x, k.like(coefficient, x))
    return result


def estrin(k: Arithmetic, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial by Estrin's scheme: more multiplications, a shorter chain."""
    terms = [k.like(coefficient, x) for coefficient in coefficients]
    power = x
    while len(terms) > 1:
        paired = [
            k.fma(high, power, low) for low, high in zip(terms[::2], terms[1::2], strict=False)
        ]
        terms = paired + terms[2 * len(paired) :]
        if len(terms) > 1:
            power = k.mul(power, power)
    return terms[0]


def polynomial(
    k: Arithmetic, x: Value, coefficients: tuple[Sequence[float], Sequence[float]]
) -> Value:
    """The polynomial of a dtype: short ones for float32, of a shorter chain for float64."""
    single, double = coefficients
    return horner(k, x, single) if x.dtype == "float32" else estrin(k, x, double)


def fast_two_sum(k: Arithmetic, a: Value, b: Value) -> tuple[Value, Value]:
    """The sum and its rounding error, when ``a`` is 0 or at least as large as ``b``."""
    total = k.add(a, b)
    return total, k.sub(b, k.sub(total, a))


def two_sum(k: Arithmetic, a: Value, b: Value) -> tuple[Value, Value]:
    """The sum and its rounding error, for finite values of any size."""
    total = k.add(a, b)
    rest = k.sub(total, a)
    return total, k.add(k.sub(a, k.sub(total, rest)), k.sub(b, rest))


def product(k: Arithmetic, a: Value, b: Value) -> tuple[Value, Value]:
    """The product and its rounding error."""
    head = k.mul(a, b)
    return head, k.fma(a, b, k.neg(head))


def double_product(
    k: Arithmetic, a: tuple[Value, Value], b: tuple[Value, Value]
) -> tuple[Value, Value]:
    """The product of two numbers given as head and tail, to about twice the precision."""
    head, error = product(k, a[0], b[0])
    cross = k.fma(a[0], b[1], k.mul(a[1], b[0]))
    return head, k.add(error, cross)


def double_quotient(
    k: Arithmetic, a: tuple[Value, Value], b: tuple[Value, Value]
) -> tuple[Value, Value]:
    """The quotient of two numbers given as head and tail, to about twice the precision."""
    head = k.div(a[0], b[0])
    rest = k.add(k.fma(k.neg(head), b[0], a[0]), a[1])
    return head, k.div(k.fma(k.neg(head), b[1], rest), b[0])


def double_root(k: Arithmetic, a: tuple[Value, Value]) -> tuple[Value, Value]:
    """The square root of a number given as head and tail, to about twice the precision."""
    root = k.sqrt(a[0])
    lost = k.add(k.fma(k.neg(root), root, a[0]), a[1])
    zero = k.compare("eq", root, k.like(0.0, root))
    return root, k.div(lost, k.select(zero, k.like(1.0, root), k.add(root, root)))


def double_like(k: Arithmetic, value: tuple[float, float], x: Value) -> tuple[Value, Value]:
    """A constant given as head and tail."""
    return k.like(value[0], x), k.like(value[1], x)


def double_select(
    k: Arithmetic, condition: Value, a: tuple[Value, Value], b: tuple[Value, Value]
) -> tuple[Value, Value]:
    """The first pair where the condition holds, else the second."""
    return k.select(condition, a[0], b[0]), k.select(condition, a[1], b[1])


def shift_left(k: Arithmetic, x: Value, count: int) -> Value:
    """Integer times 2**count, by a known count."""
    return k.function.emit(f"shl {x.typed}, {k.like(count, x).text}", x.dtype, x.lanes)


def shift_right(k: Arithmetic, x: Value, count: int) -> Value:
    """Signed integer divided by 2**count and rounded down, by a known count."""
    return k.function.emit(f"ashr {x.typed}, {k.like(count, x).text}", x.dtype, x.lanes)


def power_of_two(k: Arithmetic, exponent: Value, dtype: str) -> Value:
    """2**exponent for an integer exponent in the normal range."""
    form = FORMS[dtype]
    biased = k.add(exponent, k.like(form.bias, exponent))
    return k.from_bits(shift_left(k, biased, form.mantissa), dtype)


def scale(k: Arithmetic, x: Value, exponent: Value) -> Value:
    """``x`` * 2**exponent in two steps, right for subnormal results and near overflow."""
    half = shift_right(k, exponent, 1)
    first = k.mul(x, power_of_two(k, half, x.dtype))
    return k.mul(first, power_of_two(k, k.sub(exponent, half), x.dtype))


def at_least(k: Arithmetic, x: Value, low: float) -> Value:
    """``x``, raised to a bound; NaN stays."""
    bound = k.like(low, x)
    return k.select(k.compare("lt", x, bound), bound, x)


def at_most(k: Arithmetic, x: Value, high: float) -> Value:
    """``x``, lowered to a bound; NaN stays."""
    bound = k.like(high, x)
    return k.select(k.compare("gt", x, bound), bound, x)


def clamp(k: Arithmetic, x: Value, low: float, high: float) -> Value:
    """``x`` held within two bounds; NaN stays."""
    return at_least(k, at_most(k, x, high), low)


def whole_to_float(k: Arithmetic, i: Value, dtype: str) -> Value:
    """A small integer (|i| < 2**(mantissa - 2)) as a float, by the magic number."""
    form = FORMS[dtype]
    shifted = k.from_bits(k.add(i, k.like(form.magic_bits, i)), dtype)
    return k.sub(shifted, k.like(form.magic, shifted))
