"""function(): inputs, outputs, keywords, defaults, casting, and what it refuses."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import In, Param, function
from exprd.errors import CallError, GraphError, MissingInput, UnusedInputError

behaviour = pytest.mark.usefixtures("mode")


@behaviour
def test_the_tutorials_logistic() -> None:
    x = T.matrix("x")
    logistic = function([x], 1 / (1 + T.exp(-x)))
    out = logistic([[1, 2, 3], [4, 3, 0.5]])
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-np.array([[1, 2, 3], [4, 3, 0.5]]))))


@behaviour
def test_several_outputs_are_a_list() -> None:
    a, b = T.matrices("a", "b")
    diff = a - b
    f = function([a, b], [diff, abs(diff), diff**2])
    out = f([[1, 1], [1, 1]], [[0, 1], [2, 3]])
    assert isinstance(out, list)
    assert [o.tolist() for o in out] == [
        [[1, 0], [-1, -2]],
        [[1, 0], [1, 2]],
        [[1, 0], [1, 4]],
    ]


@behaviour
def test_dict_outputs_and_none() -> None:
    x = T.scalar("x")
    out = function([x], {"b": x * 2, "a": x + 1})(3)
    assert list(out) == ["a", "b"]
    assert (out["a"], out["b"]) == (4, 6)
    assert function([], None)() == []
    with pytest.raises(CallError, match="strings"):
        function([x], {1: x})


@behaviour
def test_a_scalar_output_is_a_0d_array_of_the_callers_own() -> None:
    x, y = T.scalars("x", "y")
    f = function([x, y], x + y)
    out = f(33, 1)
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype, out) == ((), np.float64, 34.0)
    out += 1
    assert f(33, 1) == 34.0


@behaviour
def test_an_output_that_is_an_input_is_a_copy() -> None:
    x = T.vector("x")
    value = np.arange(3.0)
    out = function([x], x)(value)
    out[0] = 99
    assert value[0] == 0


@behaviour
def test_constants_and_repeated_outputs() -> None:
    x = T.scalar("x")
    assert [float(v) for v in function([x], [x, x, T.constant(5), 2])(1)] == [1, 1, 5, 2]


@behaviour
def test_defaults_and_keywords() -> None:
    x, y, w = T.scalars("x", "y", "w")
    f = function([x, In(y, value=1)], x + y)
    assert (f(33), f(33, 2), f(33, y=5)) == (34, 35, 38)
    g = function([x, In(y, value=1), In(w, value=2, name="w_by_name")], (x + y) * w)
    assert (g(33), g(33, 2), g(33, 0, 1)) == (68, 70, 33)
    assert (g(33, w_by_name=1), g(33, w_by_name=1, y=0)) == (34, 33)
    assert (g(33, 1, 5), g(33, w_by_name=5)) == (170, 170)
    assert function([x, Param(y, default=1)], x + y)(2) == 3


@behaviour
def test_wrong_arguments_are_type_errors() -> None:
    x, y = T.scalars("x", "y")
    f = function([x, y], x + y, name="plus")
    for call, text in [
        (lambda: f(1), "misses the input y"),
        (lambda: f(1, 2, 3), "takes 2 arguments, got 3"),
        (lambda: f(1, 2, z=3), "no input 'z'"),
        (lambda: f(1, x=2), "two values for the input 'x'"),
        (lambda: f(1, [1, 2]), "wrong number of dimensions: expected 0, got 1"),
        (lambda: f(1, "a"), "array of float64"),
        (lambda: f(1, x), "found the variable"),
    ]:
        with pytest.raises(TypeError, match=text) as caught:
            call()
        assert isinstance(caught.value, CallError)


@behaviour
def test_casting_of_inputs() -> None:
    x = T.fvector("x")
    f = function([x], x * 1)
    assert f([1.0, 2.0]).dtype == np.float32
    assert f(np.array([1, 2], "int16")).tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"float64 without risking loss of precision.*astype"):
        f(np.array([0.1, 0.2]))
    with pytest.raises(TypeError, match="exactly"):
        f([0.1, 0.2])
    downcast = function([x], x * 1, allow_input_downcast=True)
    assert downcast(np.array([0.1])).dtype == np.float32
    own = function([In(x, allow_downcast=True)], x * 1)
    assert own([0.1]).dtype == np.float32
    i = T.bscalar("i")
    g = function([i], i)
    assert g(np.int64(5)) == 5
    with pytest.raises(TypeError, match="int8 cannot hold"):
        g(300)
    with pytest.raises(TypeError, match="int8"):
        g(1.5)


@behaviour
def test_python_floats_go_into_floatx(float32: None) -> None:
    x = T.scalar("x")
    assert function([x], x)(0.1).dtype == np.float32
    with pytest.raises(TypeError):
        function([x], x, allow_input_downcast=False)(0.1)


@behaviour
def test_broadcastable_inputs_have_length_1() -> None:
    f = function([r := T.row("r")], r * 2)
    assert f([[1, 2, 3]]).tolist() == [[2, 4, 6]]
    with pytest.raises(TypeError, match="axis 0 of the value has length 2"):
        f([[1], [2]])


@behaviour
def test_strided_inputs_are_read_as_they_are_seen() -> None:
    x = T.matrix("x")
    f = function([x], x.sum(axis=0))
    value = np.arange(24.0).reshape(4, 6)
    assert f(value.T).tolist() == value.sum(1).tolist()
    assert f(value[::2, 1::2]).tolist() == value[::2, 1::2].sum(0).tolist()
    assert f(value[::-1]).tolist() == value.sum(0).tolist()
    assert f(value.astype(">f8")).tolist() == value.sum(0).tolist()


@behaviour
def test_shapes_may_change_from_call_to_call() -> None:
    x = T.matrix("x")
    f = function([x], x.sum(axis=1))
    for shape in ((1, 1), (3, 5), (0, 4), (4, 0), (67, 33)):
        value = np.ones(shape)
        assert f(value).tolist() == value.sum(1).tolist()


def test_inputs_are_checked() -> None:
    x, y = T.scalars("x", "y")
    with pytest.raises(TypeError, match="list"):
        function(x, x)  # type: ignore[arg-type]
    with pytest.raises(UnusedInputError, match="twice"):
        function([x, x], x)
    with pytest.raises(UnusedInputError, match="do not depend on the input y"):
        function([x, y], x)
    with pytest.raises(TypeError, match="givens"):
        function([exprd.shared(1.0)], x)
    with pytest.raises(TypeError, match="constant"):
        function([T.constant(1)], x)
    with pytest.raises(TypeError, match="variable"):
        function([1], x)
    with pytest.raises(MissingInput, match=r"depend on y .*test_function\.py"):
        function([x], x + y)


@behaviour
def test_unused_inputs_can_be_allowed() -> None:
    x, y = T.scalars("x", "y")
    assert function([x, y], x, on_unused_input="ignore")(1, 2) == 1
    with pytest.warns(UserWarning, match="input y"):
        function([x, y], x, on_unused_input="warn")
    with exprd.config.change_flags(on_unused_input="ignore"):
        function([x, y], x)


@behaviour
def test_an_input_may_lie_within_an_expression() -> None:
    x = T.scalar("x")
    y = x * 2
    assert function([y], y + 1)(10) == 11


@behaviour
def test_givens_replace() -> None:
    state = exprd.shared(0)
    inc = T.iscalar("inc")
    foo = T.scalar(dtype=state.dtype)
    skip = function([inc, foo], state * 2 + inc, givens=[(state, foo)])
    assert skip(1, 3) == 7
    assert state.get_value() == 0
    x, y = T.scalars("x", "y")
    z = x + y
    assert function([x], z * 2, givens={y: x * 10})(1) == 22
    assert function([x], z, givens=OrderedDict([(y, 5.0)]))(1) == 6
    assert function([], z * 3, givens={z: np.float64(2)})() == 6


def test_givens_are_checked() -> None:
    x, y = T.scalars("x", "y")
    with pytest.raises(GraphError, match="but this variable is an input"):
        function([x], x + y, givens={x: y, y: x})
    with pytest.raises(TypeError, match="cast"):
        function([x], x + y, givens={y: T.iscalar()})
    with pytest.raises(GraphError, match="rank"):
        function([x], x + y, givens={y: T.vector()})


def test_declarations_are_checked() -> None:
    x = T.scalar("x")
    with pytest.raises(GraphError, match="no value"):
        In(x, update=x + 1)
    with pytest.raises(TypeError, match="must have the same type"):
        In(T.iscalar("i"), value=1, update=x)
    with pytest.raises(ValueError, match="rank"):
        In(x, value=1, update=T.vector())
    with pytest.raises(GraphError, match="contradicts"):
        In(x, mutable=True, borrow=False)
    with pytest.raises(CallError, match="raise, warn or ignore"):
        function([x], x, on_unused_input="perhaps")
    with pytest.raises(CallError, match="givens replace variables"):
        function([x], x, givens={"x": x})
    with pytest.raises(GraphError, match="twice"):
        function([], x, givens=[(x, 1.0), (x, 2.0)])
    with pytest.raises(GraphError, match="mode"):
        function([x], x, mode="NO_SUCH_MODE")
    assert "value=3" in repr(In(x, value=3))


@behaviour
def test_trusted_inputs_are_not_looked_at() -> None:
    x = T.vector("x")
    f = function([x], exprd.Out(x * 2, borrow=True))
    f.trust_input = True
    assert f(np.ones(2)).tolist() == [2, 2]
    with pytest.raises(CallError):
        f(np.ones((2, 2)))
    f.free()
    assert f.get_shared() == ()
    assert "function" in repr(f)
    assert f.graph.inputs[0].name == "x"


@behaviour
def test_rebuild_strict_false_retypes() -> None:
    state = exprd.shared(3)
    x = T.dscalar("x")
    f = function([x], state * 2 + 1, givens={state: x}, rebuild_strict=False)
    assert f(3.5) == 8.0


@behaviour
def test_the_compiled_plan_is_listed_under_theanos_names() -> None:
    x, w = T.matrix("x"), T.vector("w")
    f = function([x, w], T.dot(x, w) + 1)
    names = [node.op.__class__.__name__ for node in f.maker.fgraph.toposort()]
    assert "Gemv" in names
    assert "Elemwise" in names
    assert f.texts() is not None


@behaviour
def test_shape_errors_at_run_time_show_the_users_line() -> None:
    x, y = T.vectors("x", "y")
    f = function([x, y], x + y)  # the line that is shown
    with pytest.raises(ValueError, match="add") as caught:
        f([1, 2, 3], [1, 2])
    assert "test_function.py" in str(caught.value)
    assert "function([x, y], x + y)" in str(caught.value)
    assert f([1, 2], [1, 2]).tolist() == [2, 4]


def test_the_name_is_the_callers_line_by_default(mode: str) -> None:
    x = T.scalar("x")
    assert "test_function.py" in function([x], x).name
    assert function([x], x, name="f").name == "f"
    assert mode in ("embedded", "remote")
