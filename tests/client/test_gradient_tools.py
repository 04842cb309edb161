"""Products with Jacobians, Jacobians, Hessians, and identities with a gradient of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import exprd.tensor as T
from exprd import Lop, Rop, function, grad, shared
from exprd.errors import ArgumentError, DisconnectedInputError, NotVectorizable, NullTypeGradError
from exprd.gradient import (
    DisconnectedType,
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_scale,
    hessian,
    hessian_vector_product,
    jacobian,
    jacobian_vector_product,
    pullback,
    pushforward,
    undefined_grad,
    vector_jacobian_product,
    zero_grad,
)
from exprd.variable import variable_of
from exprd_compiler.interpret import evaluate_nodes
from exprd_compiler.ir.lowering import Library
from exprd_compiler.ir.node import Node, Op
from exprd_compiler.ops.arithmetic import mul

behaviour = pytest.mark.usefixtures("mode")


# ---- identities
@behaviour
def test_identities_leave_values_alone_and_are_compiled_away() -> None:
    x = T.matrix("x")
    through: list[Any] = [consider_constant, zero_grad, disconnected_grad, undefined_grad]
    through += [lambda v: grad_clip(v, -1, 1), lambda v: grad_scale(v, 2)]
    f = function([x], [identity(x) * 3 for identity in through])
    value = np.array([[1.0, -2.0]])
    for got in f(value):
        np.testing.assert_array_equal(got, value * 3)
    names = {node.op.name for node in f.maker.fgraph.toposort()}
    assert not any("grad" in name or "constant" in name for name in names)


@behaviour
def test_gradients_that_are_clipped_scaled_or_stopped() -> None:
    x = T.vector("x")
    slopes = [
        grad((grad_clip(x, -1, 2) ** 2).sum(), x),
        grad((grad_scale(x, -3) ** 2).sum(), x),
        grad((zero_grad(x) ** 2 + x).sum(), x),
        grad((consider_constant(x) * x).sum(), x),
        grad((disconnected_grad(x) * x).sum(), x),
    ]
    value = np.array([-4.0, 0.5, 3.0])
    got = function([x], slopes)(value)
    wanted = [np.clip(2 * value, -1, 2), -6 * value, np.ones(3), value, value]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b)


def test_what_a_stopped_gradient_is_alone() -> None:
    x = T.vector("x")
    assert grad(consider_constant(x).sum(), x).type == x.type
    assert grad(zero_grad(x).sum(), x).type == x.type
    with pytest.raises(DisconnectedInputError):
        grad(disconnected_grad(x).sum(), x)
    with pytest.raises(NullTypeGradError):
        grad(undefined_grad(x).sum(), x)
    with pytest.raises(ValueError, match="is not below"):
        grad_clip(x, 2, 1)


# ---- products with a Jacobian
def layer() -> tuple[Any, Any, Any]:
    """A layer tanh(w x), its input and its weights."""
    x, w = T.vector("x"), T.matrix("w")
    return T.tanh(T.dot(w, x)), x, w


@behaviour
def test_products_from_both_sides(rng: np.random.Generator) -> None:
    y, x, w = layer()
    u, v, m = T.vector("u"), T.vector("v"), T.matrix("m")
    f = function([x, w, u, v, m], [Lop(y, x, u), Rop(y, x, v), Rop(y, [x, w], [v, m])])
    xs, ws = rng.standard_normal(4), rng.standard_normal((3, 4))
    us, vs, ms = rng.standard_normal(3), rng.standard_normal(4), rng.standard_normal((3, 4))
    left, right, both = f(xs, ws, us, vs, ms)
    flat = 1 - np.tanh(ws @ xs) ** 2
    np.testing.assert_allclose(left, (us * flat) @ ws)
    np.testing.assert_allclose(right, flat * (ws @ vs))
    np.testing.assert_allclose(both, flat * (ws @ vs + ms @ xs))


@behaviour
def test_products_through_indexes_folds_and_views(rng: np.random.Generator) -> None:
    x, v = T.matrix("x"), T.matrix("v")
    y = T.concatenate([T.nnet.softmax(x)[:, 1], x[[0, 0, 1], [1, 1, 2]] ** 2, T.max(x, axis=1)])
    at, way = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    f, push = function([x], y), function([x, v], Rop(y, x, v))
    difference = (f(at + 1e-6 * way) - f(at - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose(push(at, way), difference, rtol=1e-6, atol=1e-8)


def test_results_are_as_the_argument_was() -> None:
    y, x, w = layer()
    assert isinstance(Rop([y], x, x), list)
    assert isinstance(Rop((y, x), x, x), tuple)
    assert isinstance(Lop(y, [x, w], y), list)
    assert isinstance(Lop([y, y.sum()], (x, w), [y, y.sum()]), tuple)


@behaviour
def test_one_expression_may_depend_on_another() -> None:
    x = T.scalar("x")
    y = x**2
    z = 3 * y
    left = Lop([y, z], x, [T.constant(1.0), T.constant(10.0)])
    right = Rop([y, z, x], x, T.constant(2.0))
    assert [float(v) for v in function([x], [left, *right])(5.0)] == [310, 20, 60, 2]


def test_products_that_do_not_fit() -> None:
    y, x, _ = layer()
    with pytest.raises(ValueError, match="does not fit"):
        Rop(y, x, T.matrix())
    with pytest.raises(ValueError, match="1 expressions, 2 eval_points"):
        Lop(y, x, [x, x])
    with pytest.raises(ValueError, match="no gradient"):
        Rop(undefined_grad(x), x, x)


@behaviour
def test_what_depends_on_nothing_asked_for() -> None:
    y, x, _ = layer()
    other = T.vector("other")
    with pytest.raises(ValueError, match="does not depend"):
        Rop(y, other, other)
    with pytest.warns(UserWarning, match="does not depend"):
        Rop(y, other, other, disconnected_outputs="warn")
    options = {"disconnected_outputs": "ignore"}
    assert Rop(y, other, other, return_disconnected="none", **options) is None
    apart = Rop(y, other, other, return_disconnected="disconnected", **options)
    assert isinstance(apart.type, DisconnectedType)
    zero = Rop(x * 2, other, other, **options)
    assert list(function([x, other], zero, on_unused_input="ignore")([1.0, 2.0], [3.0])) == [0, 0]
    assert function([x], Rop(T.floor(x).sum(), x, x))([1.5]) == 0
    with pytest.raises(ArgumentError, match="is not one of"):
        Rop(y, other, other, disconnected_outputs="maybe")


def test_the_names_of_pytensor() -> None:
    assert vector_jacobian_product is pullback
    assert jacobian_vector_product is pushforward
    y, x, _ = layer()
    assert pullback(y, x, y).type == x.type
    assert pushforward(y, x, x).type == y.type


# ---- matrices
@behaviour
@pytest.mark.parametrize("extent", [None, 3], ids=["unknown", "known"])
def test_the_jacobian_of_a_layer(extent: int | None, rng: np.random.Generator) -> None:
    w = T.TensorType("float64", shape=(extent, None))("w")
    x = T.vector("x")
    y = T.tanh(T.dot(w, x))
    by_x, by_w = function([x, w], jacobian(y, [x, w]))(
        xs := rng.standard_normal(4), ws := rng.standard_normal((3, 4))
    )
    flat = 1 - np.tanh(ws @ xs) ** 2
    np.testing.assert_allclose(by_x, flat[:, None] * ws)
    np.testing.assert_allclose(by_w, np.einsum("ij,k,i->ijk", np.eye(3), xs, flat))


@behaviour
def test_a_jacobian_by_differences_through_many_ops(rng: np.random.Generator) -> None:
    x = T.matrix("x")
    rows = T.nnet.softmax(x)
    y = T.concatenate(
        [
            T.exp(x)[0],
            T.cumsum(rows, axis=0).flatten(),
            x[::-1, 1] * x[[1, 0], 2],
            T.set_subtensor(x[0], x[1] ** 2).sum(axis=0),
            T.diag(T.dot(x, x.T)),
            T.tile(x.max(axis=1), 2),
        ]
    )
    at = rng.standard_normal((2, 3))
    f, matrix = function([x], y), function([x], jacobian(y, x))
    got = matrix(at)
    for place in np.ndindex(at.shape):
        way = np.zeros(at.shape)
        way[place] = 1e-6
        difference = (f(at + way) - f(at - way)) / 2e-6
        np.testing.assert_allclose(got[:, *place], difference, rtol=1e-6, atol=1e-8)


@behaviour
def test_a_jacobian_of_a_scalar_is_its_gradient_and_empty_ones_are_empty() -> None:
    x = T.vector("x")
    f = function([x], [jacobian((x**2).sum(), x), jacobian(x**2, x)])
    assert list(f([1.0, 3.0])[0]) == [2, 6]
    assert f(np.zeros(0))[1].shape == (0, 0)


@behaviour
def test_a_jacobian_where_nothing_depends() -> None:
    x, y = T.vectors("x", "y")
    with pytest.raises(DisconnectedInputError):
        jacobian(x * 2, y)
    zero = jacobian(x * 2, y, disconnected_inputs="ignore")
    got = function([x, y], zero, on_unused_input="ignore")([1.0, 2.0], [3.0, 4.0, 5.0])
    np.testing.assert_array_equal(got, np.zeros((2, 3)))
    held = jacobian(x * y, [x], consider_constant=[y])
    assert isinstance(held, list)


@behaviour
def test_whole_numbers_have_a_jacobian_of_zeros() -> None:
    x = T.vector("x")
    got = function([x], jacobian(T.cast(x, "int32"), x))([1.0, 2.0])
    np.testing.assert_array_equal(got, np.zeros((2, 2)))


def test_what_has_no_jacobian() -> None:
    x, m = T.vector("x"), T.matrix("m")
    with pytest.raises(ValueError, match="takes a vector"):
        jacobian(m, m)
    with pytest.raises(TypeError, match="expected a variable"):
        jacobian(3.0, x)
    with pytest.raises(ValueError, match="takes a scalar cost"):
        hessian(x, x)
    with pytest.raises(ValueError, match="takes vectors as wrt"):
        hessian(m.sum(), m)
    with pytest.raises(NullTypeGradError):
        jacobian(undefined_grad(x), x)


@behaviour
def test_the_hessian_and_its_products(rng: np.random.Generator) -> None:
    x, b = T.vector("x"), shared(np.array([0.5, -1.0]), "b")
    p = T.vector("p")
    cost = T.exp((x * b).sum()) + (x**3).sum()
    by_x, by_b = hessian(cost, [x, b])
    products = hessian_vector_product(cost, [x, b], [p, p])
    xs, ps = rng.standard_normal(2), rng.standard_normal(2)
    hx, hb, px, pb = function([x, p], [by_x, by_b, *products])(xs, ps)
    bs = b.get_value()
    e = np.exp(xs @ bs)
    np.testing.assert_allclose(hx, e * np.outer(bs, bs) + np.diag(6 * xs))
    np.testing.assert_allclose(hb, e * np.outer(xs, xs))
    mixed = e * (np.eye(2) + np.outer(bs, xs))
    np.testing.assert_allclose(px, hx @ ps + mixed @ ps)
    np.testing.assert_allclose(pb, mixed.T @ ps + hb @ ps)
    assert hessian_vector_product(cost, x, x).type == x.type


@behaviour
def test_the_hessian_of_a_line_is_zero() -> None:
    x = T.vector("x")
    got = function([x], hessian((3 * x).sum(), x))([1.0, 2.0])
    np.testing.assert_array_equal(got, np.zeros((2, 2)))


def opaque() -> Op:
    """An op like sqr of which no batch rule is known."""

    def slope(g: Node, _y: Node, x: Node) -> tuple[Node]:
        return (mul(op(g), x),)

    op = Op(
        name="opaque",
        type=lambda x: x,
        numpy=lambda x: 2 * x,
        grad=slope,
        lowering=Library("opaque", lambda x: x),
        dtypes=("float64",),
        examples=(),
        theano="Opaque",
        doc="Twice the value.",
    )
    return op


def test_without_a_batch_rule_rows_are_written_out_where_the_extent_is_known() -> None:
    op = opaque()
    unknown, known = T.vector("unknown"), T.TensorType("float64", shape=(3,))("known")
    with pytest.raises(NotVectorizable, match="opaque: has no batch rule"):
        jacobian(variable_of(op(unknown.node)), unknown)
    matrix = jacobian(variable_of(op(known.node)), known)
    (got,) = evaluate_nodes([matrix.node], {known.node: np.array([1.0, 2.0, 3.0])})
    np.testing.assert_array_equal(got, np.diag([2.0, 4.0, 6.0]))
