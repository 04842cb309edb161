"""Reduction of angles to [-pi/4, pi/4], right for every float64.

Below 2**40 three parts of pi/2 are subtracted with fma. Beyond, a lane is multiplied with the bits
of 2/pi that matter for it (Payne and Hanek), one lane at a time behind a branch: such angles are
rare. The functions here emit blocks, so they belong into internal functions only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import math_coefficients as table
from exprd_compiler.backends.llvm.math_form import FORMS, product, two_sum
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import register_type

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.arithmetic import Arithmetic
    from exprd_compiler.backends.llvm.text import ModuleText

_FAR: Final = 2.0**40
_FAR_SINGLE: Final = 2.0**13  # below it x - n pi/2 is exact in its first step
_FAR_NAME: Final = "exprd.math.far_angle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Angle:
    """quadrant * pi/2 + head + tail; the quadrant is an integer of which two bits count."""

    quadrant: Value
    head: Value
    tail: Value


def reduce_angle(k: Arithmetic, x: Value) -> Angle:
    """The reduction of float64 angles that are not negative; NaN for infinity."""
    near = _near(k, x)
    far = k.and_(k.compare("ge", x, k.like(_FAR, x)), k.compare("lt", x, k.like(math.inf, x)))
    return _with_far_lanes(k, x, far, near)


def reduce_single_angle(k: Arithmetic, x: Value) -> Angle:
    """The same for float32: large angles, which are rare, go through float64."""
    fn, near = k.function, _near(k, x)
    far = k.compare("ge", x, k.like(_FAR_SINGLE, x))
    slow, done = fn.label("wide"), fn.label("narrow")
    before = fn.block
    fn.branch(any_lane(k, far), slow, done)
    fn.begin(slow)
    careful = _through_double(k, x)
    merged = [k.select(far, b, a) for a, b in zip(_parts(near), careful, strict=True)]
    end = fn.block
    fn.jump(done)
    fn.begin(done)
    found = [_either(k, a, before, b, end) for a, b in zip(_parts(near), merged, strict=True)]
    return Angle(head=found[0], tail=found[1], quadrant=found[2])


def _parts(angle: Angle) -> tuple[Value, Value, Value]:
    return angle.head, angle.tail, angle.quadrant


def _through_double(k: Arithmetic, x: Value) -> tuple[Value, Value, Value]:
    """The parts of the angle of a float32, found in float64."""
    wide = reduce_angle(k, k.cast(x, "float64"))
    head = k.cast(wide.head, "float32")
    tail = k.cast(k.sub(wide.head, k.cast(head, "float64")), "float32")
    return head, tail, k.cast(wide.quadrant, "int32")


def _either(k: Arithmetic, a: Value, before: str, b: Value, end: str) -> Value:
    phi = k.function.phi(a.dtype, a.lanes)
    k.function.incoming(phi, a, before)
    k.function.incoming(phi, b, end)
    return phi


def _near(k: Arithmetic, x: Value) -> Angle:
    form = FORMS[x.dtype]
    magic = k.like(form.magic, x)
    shifted = k.fma(x, k.like(2 / math.pi, x), magic)
    whole = k.neg(k.sub(shifted, magic))
    parts = table.HALF_PI_F32 if x.dtype == "float32" else table.HALF_PI
    first, second, third = (k.like(part, x) for part in parts)
    exact = k.fma(whole, first, x)
    step, step_error = product(k, whole, second)
    head, error = two_sum(k, exact, step)
    tail = k.fma(whole, third, k.add(error, step_error))
    return Angle(quadrant=k.bits(shifted), head=head, tail=tail)


def _with_far_lanes(k: Arithmetic, x: Value, far: Value, near: Angle) -> Angle:
    """Replace what is wrong in far lanes, by way of memory, when there is any such lane."""
    fn = k.function
    _define_far_angle(fn.module)
    slow, done = fn.label("far"), fn.label("reduced")
    before = fn.block
    fn.branch(any_lane(k, far), slow, done)
    fn.begin(slow)
    parts = (x, near.head, near.tail, near.quadrant)
    slots = [_slot(k, part) for part in parts]
    for lane in range(x.lanes):
        addresses = [_lane(k, slot, lane) for slot in slots]
        angle = fn.emit(f"load double, ptr {addresses[0].text}", "float64")
        fn.line(f"call void @{_FAR_NAME}({', '.join(v.typed for v in (angle, *addresses[1:]))})")
    loaded = [
        fn.emit(f"load {part.type}, ptr {slot.text}", part.dtype, part.lanes)
        for part, slot in zip(parts[1:], slots[1:], strict=True)
    ]
    end = fn.block
    fn.jump(done)
    fn.begin(done)
    merged = [_either(k, a, before, b, end) for a, b in zip(parts[1:], loaded, strict=True)]
    return Angle(head=merged[0], tail=merged[1], quadrant=merged[2])


def any_lane(k: Arithmetic, condition: Value) -> Value:
    """Whether a condition holds in any lane."""
    if condition.lanes == 1:
        return condition
    return k.function.call(f"llvm.vector.reduce.or.v{condition.lanes}i1", "bool", condition)


def _slot(k: Arithmetic, value: Value) -> Value:
    slot = k.function.emit(f"alloca {value.type}", "ptr")
    k.function.line(f"store {value.typed}, ptr {slot.text}")
    return slot


def _lane(k: Arithmetic, slot: Value, lane: int) -> Value:
    place = constant(lane, "int64")
    element = register_type("float64", 1)
    return k.function.emit(f"getelementptr {element}, {slot.typed}, {place.typed}", "ptr")


def _define_far_angle(module: ModuleText) -> None:
    words = ", ".join(f"i64 {word}" for word in table.TWO_OVER_PI)
    count = len(table.TWO_OVER_PI)
    high, low = (constant(part, "float64").text for part in table.HALF_PI[:2])
    text = _FAR_ANGLE.format(
        name=_FAR_NAME,
        count=count,
        words=words,
        far=constant(_FAR, "float64").text,
        infinity=constant(math.inf, "float64").text,
        high=high,
        low=low,
    )
    module.define_once(_FAR_NAME, lambda: module.add_global(text))
    module.declare("llvm.fshl.i64", "i64", ("i64", "i64", "i64"))
    module.declare("llvm.ctlz.i128", "i128", ("i128", "i1"))
    module.declare("llvm.fma.f64", "double", ("double", "double", "double"))


# x = m 2**E; bits of 2/pi above weight 2**-(E-2) only add multiples of 4 to x * 2/pi, so 192 bits
# from there on suffice. The product modulo 2**192 has the quadrant in its two top bits; below
# them lies the fraction, taken to the nearest quadrant and multiplied with pi/2. The table starts
# with a word of zeros, as E - 2 may be as low as -14.
_FAR_ANGLE: Final = """
@{name}.bits = internal constant [{count} x i64] [{words}]
define internal void @{name}(double %x, ptr %head, ptr %tail, ptr %quadrant) nounwind {{
  %above = fcmp oge double %x, {far}
  %finite = fcmp olt double %x, {infinity}
  %far = and i1 %above, %finite
  br i1 %far, label %reduce, label %done
reduce:
  %bits = bitcast double %x to i64
  %exponent = lshr i64 %bits, 52
  %fraction = and i64 %bits, 4503599627370495
  %m = or i64 %fraction, 4503599627370496
  %start = sub i64 %exponent, 1013
  %word = lshr i64 %start, 6
  %shift = and i64 %start, 63
  %p0 = getelementptr i64, ptr @{name}.bits, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %t0 = load i64, ptr %p0
  %t1 = load i64, ptr %p1
  %t2 = load i64, ptr %p2
  %t3 = load i64, ptr %p3
  %w0 = call i64 @llvm.fshl.i64(i64 %t0, i64 %t1, i64 %shift)
  %w1 = call i64 @llvm.fshl.i64(i64 %t1, i64 %t2, i64 %shift)
  %w2 = call i64 @llvm.fshl.i64(i64 %t2, i64 %t3, i64 %shift)
  %m128 = zext i64 %m to i128
  %w1wide = zext i64 %w1 to i128
  %w2wide = zext i64 %w2 to i128
  %top = mul i64 %m, %w0
  %topwide = zext i64 %top to i128
  %high = shl i128 %topwide, 64
  %middle = mul i128 %m128, %w1wide
  %lowproduct = mul i128 %m128, %w2wide
  %carried = lshr i128 %lowproduct, 64
  %partial = add i128 %high, %middle
  %product = add i128 %partial, %carried
  %rounded = add i128 %product, 42535295865117307932921825928971026432
  %q128 = lshr i128 %rounded, 126
  %whole = shl i128 %q128, 126
  %rest = sub i128 %product, %whole
  %q = trunc i128 %q128 to i64
  %negative = icmp slt i128 %rest, 0
  %opposite = sub i128 0, %rest
  %size = select i1 %negative, i128 %opposite, i128 %rest
  %zeros128 = call i128 @llvm.ctlz.i128(i128 %size, i1 false)
  %zeros = trunc i128 %zeros128 to i64
  %normal = shl i128 %size, %zeros128
  %head53 = lshr i128 %normal, 75
  %head64 = trunc i128 %head53 to i64
  %after = shl i128 %normal, 53
  %tail64wide = lshr i128 %after, 75
  %tail64 = trunc i128 %tail64wide to i64
  %headfloat = sitofp i64 %head64 to double
  %tailfloat = sitofp i64 %tail64 to double
  %headexponent = sub i64 972, %zeros
  %tailexponent = sub i64 919, %zeros
  %headbits = shl i64 %headexponent, 52
  %tailbits = shl i64 %tailexponent, 52
  %headscale = bitcast i64 %headbits to double
  %tailscale = bitcast i64 %tailbits to double
  %f = fmul double %headfloat, %headscale
  %g = fmul double %tailfloat, %tailscale
  %y = fmul double %f, {high}
  %yneg = fneg double %y
  %yerror = call double @llvm.fma.f64(double %f, double {high}, double %yneg)
  %cross = call double @llvm.fma.f64(double %f, double {low}, double %yerror)
  %z = call double @llvm.fma.f64(double %g, double {high}, double %cross)
  %yopposite = fneg double %y
  %zopposite = fneg double %z
  %ysigned = select i1 %negative, double %yopposite, double %y
  %zsigned = select i1 %negative, double %zopposite, double %z
  store double %ysigned, ptr %head
  store double %zsigned, ptr %tail
  store i64 %q, ptr %quadrant
  br label %done
done:
  ret void
}}
"""
