"""Complex numbers: which ops take them, where numbers end, and gradients part by part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import mpmath
import numpy as np
import pytest

from exprd_compiler.errors import DTypeError
from exprd_compiler.grad import grad
from exprd_compiler.interpret import evaluate, evaluate_nodes
from exprd_compiler.ir.dtype import (
    COMPLEX,
    DTYPES,
    EVERY,
    complex_of,
    is_complex,
    is_discrete,
    part_of,
    promote,
)
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import NO_GRAD, NO_PATH, ZERO_GRAD, Array, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import abs_, add, cast, mul, sqr
from exprd_compiler.ops.leaves import const, input_
from exprd_compiler.ops.parts import imag, real
from exprd_compiler.ops.reduce import sum_
from exprd_compiler.ops.table import OPS
from tests.ops.conftest import RunGraph, native
from tests.ops.samples import TESTED, Sample, assert_close, joined, sample, samples

STEP = 1e-6
ACCURACY = 1e-7
BOTH = pytest.mark.parametrize("dtype", COMPLEX)


# ---- which ops take them
def complex_inputs(op: Op, dtype: str) -> Iterator[tuple[list[Node], dict[str, object]]]:
    """The examples of an op with complex inputs for all that are no indexes."""
    for example in (e for e in op.examples if dtype in e.dtypes):
        nodes = [
            input_(type=TensorType("int64" if place in example.integers else dtype, shape))
            for place, shape in enumerate(example.shapes)
        ]
        if dtype in (node.dtype for node in nodes):
            yield nodes, dict(example.attrs)


@pytest.mark.parametrize("op", TESTED, ids=lambda op: op.name)
def test_an_op_takes_complex_numbers_exactly_if_it_says_so(op: Op) -> None:
    for dtype, (inputs, attrs) in ((d, case) for d in COMPLEX for case in complex_inputs(op, d)):
        if dtype not in op.dtypes:
            with pytest.raises(DTypeError, match=rf"{dtype}.*real\(x\)"):
                op(*inputs, **attrs)
        elif attrs.get("dtype", dtype) in (*COMPLEX, "bool"):
            op(*inputs, **attrs)


@BOTH
@pytest.mark.parametrize("target", [dtype for dtype in DTYPES if dtype != "bool"])
def test_a_cast_does_not_drop_the_imaginary_part(dtype: str, target: str) -> None:
    with pytest.raises(DTypeError, match=rf"cast: .*{dtype} to {target}.*real\(x\)"):
        cast(input_(type=TensorType(dtype)), dtype=target)


def test_promotion_is_that_of_numpy() -> None:
    others = [dtype for dtype in EVERY if dtype != "bfloat16"]
    for a, b in itertools.product(COMPLEX, others):
        assert promote(a, b) == promote(b, a) == np.promote_types(a, b).name
    assert [complex_of(d) for d in ("int8", "float32", "int32", "complex64")] == [
        "complex64",
        "complex64",
        "complex128",
        "complex64",
    ]


# ---- where numbers end
def plane(dtype: str) -> Array:
    """Points whose parts are zeros, ordinary, extreme, infinite, and no numbers."""
    info = np.finfo(dtype)
    sizes = (0.0, info.smallest_subnormal, 0.3, 1.5, 88.5, info.max, np.inf)
    reals = np.array([*sizes, *(-x for x in sizes), np.nan], part_of(dtype))
    out = np.empty((reals.size, reals.size), dtype)
    out.real, out.imag = reals[:, None], reals
    return out.reshape(-1)


def few(dtype: str) -> Array:
    """Fewer such points, for pairs."""
    points = plane(dtype)
    return points[:: max(1, points.size // 45)]


def bits(values: Array) -> Array:
    """Values with every NaN the same, to be compared by bits: zeros have signs."""
    parts = np.array(values).view(part_of(values.dtype.name))
    return np.where(np.isnan(parts), np.nan, parts).view(f"i{parts.itemsize}")


PLAIN_ONE = ("neg", "sqr", "conj", "real", "imag", "reciprocal")
PLAIN_TWO = ("add", "sub", "mul", "true_div")


@BOTH
def test_plain_formulas_give_the_same_bits(dtype: str) -> None:
    points = plane(dtype)
    pairs = np.array(list(itertools.product(few(dtype), repeat=2)), dtype).T
    found = [sample(OPS[name], [points], {}) for name in PLAIN_ONE]
    found += [sample(OPS[name], list(pairs), {}) for name in PLAIN_TWO]
    for got, one in zip(native(*joined(found)), found, strict=True):
        np.testing.assert_array_equal(bits(got), bits(one.expected), err_msg=one.node.op.name)


@BOTH
def test_sums_and_products_are_those_of_numpy(dtype: str, rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=(2, 1001)).astype(part_of(dtype)) for _ in range(2))
    x, y = (u + 1j * v for u, v in (a, b))
    for name, plain in (("add", np.add), ("sub", np.subtract), ("true_div", np.divide)):
        one = sample(OPS[name], [x, y], {})
        np.testing.assert_array_equal(one.expected, plain(x, y))
    one = sample(mul, [x, y], {})
    # a loop over a stride has the plain formula, vector loops may round one product less
    assert_close(one.expected, np.multiply(x, y))


@BOTH
@pytest.mark.parametrize("name", ["eq", "neq"])
def test_equality_is_of_both_parts(dtype: str, name: str, run_graph: RunGraph) -> None:
    pairs = np.array(list(itertools.product(few(dtype), repeat=2)), dtype).T
    one = sample(OPS[name], list(pairs), {})
    (got,) = run_graph(*joined([one]))
    np.testing.assert_array_equal(got, one.expected)


@BOTH
@pytest.mark.parametrize("name", ["abs", "angle", "isnan", "isinf", "isfinite"])
def test_real_functions_at_the_ends(dtype: str, name: str) -> None:
    one = sample(OPS[name], [plane(dtype)], {})
    (got,) = native(*joined([one]))
    want = one.expected
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=2 * float(np.finfo(dtype).eps))
    if want.dtype != bool:
        clear = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[clear]), np.signbit(want[clear]))


@BOTH
def test_exp_at_the_ends(dtype: str) -> None:
    """Parts of their own: where one is infinite or not a number, the other is what C99 says."""
    points = plane(dtype)
    one = sample(OPS["exp"], [points], {})
    (got,) = native(*joined([one]))
    want = one.expected
    for have, wanted in ((got.real, want.real), (got.imag, want.imag)):
        # relative to each part, but near multiples of pi the sine of a large angle loses digits
        np.testing.assert_allclose(have, wanted, rtol=4 * float(np.finfo(dtype).eps))
        clear = ~np.isnan(wanted) & np.isfinite(points)
        np.testing.assert_array_equal(np.signbit(have[clear]), np.signbit(wanted[clear]))


@BOTH
def test_exp_does_not_overflow_on_the_way(dtype: str) -> None:
    """A small sine makes the product of a huge exponential finite."""
    most = np.log(float(np.finfo(dtype).max))
    tiny = float(np.finfo(dtype).tiny)
    points = np.array([complex(most + 2, 1.5707), complex(1.5 * most, tiny)], dtype)
    one = sample(OPS["exp"], [points], {})
    (got,) = native(*joined([one]))
    with np.errstate(over="ignore"):
        want = np.exp(points)
    have, wanted = (value.view(part_of(dtype)) for value in (got, want))
    np.testing.assert_array_equal(np.isfinite(wanted), [True, False, False, True])
    np.testing.assert_allclose(have, wanted, rtol=1e-3 if dtype == "complex64" else 1e-10)


@pytest.mark.parametrize("exponents", [(-20.0, 20.0), (700.0, 712.0)], ids=str)
def test_each_part_of_exp_is_accurate(
    exponents: tuple[float, float], rng: np.random.Generator
) -> None:
    points = rng.uniform(*exponents, 400) + 1j * rng.uniform(-50, 50, 400)
    (got,) = native(*joined([sample(OPS["exp"], [points], {})]))
    with mpmath.workprec(120):
        exact = [mpmath.exp(mpmath.mpc(z.real, z.imag)) for z in points]
        for have, want in zip(got, exact, strict=True):
            for part, wanted in ((have.real, want.real), (have.imag, want.imag)):
                if np.isfinite(part):
                    ulp = np.spacing(abs(float(wanted)))
                    assert abs(mpmath.mpf(float(part)) - wanted) <= 2.5 * ulp


# ---- gradients: of a real cost by z = x + iy it is dC/dx + i dC/dy
def cost_of(one: Sample, rng: np.random.Generator) -> Node:
    """A real scalar in which both parts of every element have weights of their own."""
    y = one.node
    shape = one.expected.shape
    parts = [real(y), imag(y)] if is_complex(y.dtype) else [y]
    weighted = [
        mul(cast(part, dtype="float64"), const(rng.uniform(0.5, 1.5, shape), "float64"))
        for part in parts
    ]
    total = weighted[0] if len(weighted) == 1 else add(*weighted)
    return sum_(sqr(total) if y.op is abs_ else total, axes=tuple(range(y.ndim)))


def differentiable(dtype: str) -> list[Op]:
    """Ops with a gradient to which complex numbers come in or go out."""
    made = ("complex", "complex_from_polar")
    return [
        op
        for op in TESTED
        if op.grad not in (NO_GRAD, ZERO_GRAD, NO_PATH)
        and op.name != "grad_clip"  # there is no order in which to clip
        and (dtype in op.dtypes or op.name in made)
    ]


def complex_samples(op: Op, dtype: str, rng: np.random.Generator) -> list[Sample]:
    own = dtype if dtype in op.dtypes else part_of(dtype)
    found = samples(op, own, rng, known=False)
    return [one for one in found if not is_discrete(one.node.dtype)]


def movable(one: Sample) -> list[Node]:
    return [x for x in one.node.inputs if not is_discrete(x.dtype)]


def slope_along(cost: Node, given: dict[Node, Array], x: Node, way: Array) -> tuple[float, float]:
    """The central difference of the cost along a direction, and the size of the cost."""
    ahead, behind = (
        evaluate_nodes([cost], {**given, x: given[x] + step * way})[0] for step in (STEP, -STEP)
    )
    return float(ahead - behind) / (2 * STEP), abs(float(ahead))


@pytest.mark.parametrize("op", differentiable("complex128"), ids=lambda op: op.name)
def test_gradients_against_differences_of_both_parts(op: Op, rng: np.random.Generator) -> None:
    for one in complex_samples(op, "complex128", rng):
        if part_of(one.node.dtype) != "float64":
            continue  # a cast to complex64 is a staircase for differences
        cost, inputs = cost_of(one, rng), movable(one)
        given = dict(zip(one.node.inputs, one.arrays, strict=True))
        slopes = evaluate_nodes(grad(cost, inputs, disconnected="ignore"), given)
        for x, slope in zip(inputs, slopes, strict=True):
            ways: Sequence[complex] = (1.0, 1j) if is_complex(x.dtype) else (1.0,)
            for unit in ways if slope.size else ():
                way = unit * rng.choice([-1.0, 1.0], slope.shape)
                want, size = slope_along(cost, given, x, way)
                got = float((slope.real * way.real + slope.imag * way.imag).sum())
                scale = 1 + float(np.abs(slope).sum()) + size
                assert abs(got - want) <= ACCURACY * scale, (one.node, unit)


@pytest.mark.parametrize("op", differentiable("complex64"), ids=lambda op: op.name)
def test_native_gradients(op: Op, rng: np.random.Generator) -> None:
    found = complex_samples(op, "complex64", rng)
    if not found:
        pytest.skip("no value of its is complex or a float")
    inputs = [x for one in found for x in one.node.inputs]
    arrays = [array for one in found for array in one.arrays]
    outputs = [
        slope
        for one in found
        for slope in grad(cost_of(one, rng), movable(one), disconnected="ignore")
    ]
    for one, slope in zip([x for s in found for x in movable(s)], outputs, strict=True):
        assert slope.dtype == one.dtype
    graph = Graph(tuple(inputs), tuple(outputs))
    wanted, _ = evaluate(graph, arrays)
    for got, want in zip(native(graph, arrays), wanted, strict=True):
        assert_close(got, want, tolerance=8)


def test_a_cost_is_real() -> None:
    z = input_(type=TensorType("complex64"))
    with pytest.raises(DTypeError, match=r"the cost must be real.*real\(x\)"):
        grad(mul(z, z), [z])


def test_a_real_value_in_a_complex_graph_has_a_real_gradient() -> None:
    x = input_(type=TensorType("float32", (None,)))
    z = input_(type=TensorType("complex64", (None,)))
    product = mul(x, z)
    (slope,) = grad(sum_(add(real(product), imag(product)), axes=(0,)), [x])
    assert slope.dtype == "float32"
    values = {x: np.array([2.0, 3.0], "float32"), z: np.array([1 + 2j, -1j], "complex64")}
    (got,) = evaluate_nodes([slope], values)
    np.testing.assert_array_equal(got, [3.0, -1.0])
