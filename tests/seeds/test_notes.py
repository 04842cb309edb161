"""The snippets of the notes on Theano: variables, patterns, functions, shared variables, givens."""

from __future__ import annotations

import numpy
import pytest

import exprd as theano
import exprd.tensor as T
from exprd import In, function, shared
from tests.seeds.seeding import seed


@seed("004", 1, "5-11", "a shared variable of data, in floatX")
def test_a_shared_variable_of_data(mode: str) -> None:
    data_x = [[1, 2], [3, 4]]
    shared_x = theano.shared(numpy.asarray(data_x, dtype=theano.config.floatX))
    assert (shared_x.dtype, shared_x.ndim) == ("float64", 2)
    assert theano.function([], shared_x.sum())() == 10


@seed("004", 2, "12-13", "a shared variable by keywords, as an attribute")
def test_a_shared_variable_by_keywords(mode: str) -> None:
    E = numpy.eye(2, dtype="int32")

    class Model:
        def __init__(self) -> None:
            self.A = theano.shared(name="A", value=E.astype(theano.config.floatX))

    A = Model().A
    assert (A.name, A.dtype) == ("A", "float64")
    assert theano.function([], A * 2)().tolist() == [[2, 0], [0, 2]]


@seed("004", 3, "14-19", "three ways to make one integer scalar", "closing parentheses")
def test_three_ways_to_make_a_variable() -> None:
    x = T.scalar("myvar", dtype="int32")
    y = T.iscalar("myvar")
    z = T.TensorType(dtype="int32", broadcastable=())("myvar")
    assert x.type == y.type == z.type
    assert x.name == y.name == z.name == "myvar"
    assert (x.dtype, x.ndim) == ("int32", 0)


@seed(
    "004", 4, "21-29", "the constructors, their names and dtypes", "theano.tensot is theano.tensor"
)
@pytest.mark.parametrize("floatx", ["float64", "float32"])
def test_typical_constructors(floatx: str) -> None:
    patterns = {
        T.scalar: (),
        T.vector: (False,),
        T.row: (True, False),
        T.col: (False, True),
        T.matrix: (False, False),
        T.tensor3: (False,) * 3,
        T.tensor4: (False,) * 4,
    }
    with theano.config.change_flags(floatX=floatx):
        for make, pattern in patterns.items():
            assert make(name="x", dtype="int8").dtype == "int8"
            variable = make()
            assert (variable.name, variable.dtype) == (None, floatx)
            assert variable.broadcastable == pattern


@seed("004", 5, "31", "from theano.tensor import *")
def test_all_names_are_imported_by_a_star() -> None:
    names: dict[str, object] = {}
    exec("from exprd.tensor import *", names)
    wanted = ("TensorType", "scalar", "iscalar", "matrices", "exp", "dot", "switch", "grad", "nnet")
    assert [name for name in wanted if name not in names] == []
    assert names["iscalar"] is T.iscalar


@seed("004", 6, "33-37", "a new type, and variables of it", "closing parentheses")
def test_a_new_type() -> None:
    dtensor5 = T.TensorType("float64", (False,) * 5)
    x = dtensor5()
    z = dtensor5("z")
    assert (x.name, z.name) == (None, "z")
    assert x.type == z.type == dtensor5
    assert (x.ndim, x.dtype) == (5, "float64")


@seed("004", 7, "38", "arrays and numbers become constants")
def test_arrays_and_numbers_become_constants(mode: str) -> None:
    x = T.matrix("x")
    y = x + numpy.ones((2, 2)) * 2
    z = 3 * x
    assert isinstance(y, T.TensorVariable)
    assert isinstance(y.owner.inputs[1], T.TensorConstant)
    assert isinstance(T.as_tensor_variable(3), T.TensorConstant)
    assert theano.function([x], [y, z])(numpy.eye(2))[0].tolist() == [[3, 2], [2, 3]]


PATTERNS = {
    "scalar": [],
    "vector of length 1": [True],
    "1x1 matrix": [True, True],
    "vector": [False],
    "matrix": [False, False],
    "nD tensor": [False] * 6,
    "row": [True, False],
    "column": [False, True],
    "Mx1xP tensor": [False, True, False],
    "1xNxP tensor": [True, False, False],
    "MxNxP tensor": [False, False, False],
}


@seed("004", 8, "40-57", "patterns, what lengths they allow, and the pattern of a sum")
@pytest.mark.parametrize("name", PATTERNS)
def test_broadcast_patterns(mode: str, name: str) -> None:
    pattern = PATTERNS[name]
    x = T.TensorType("float64", pattern)("x")
    assert x.broadcastable == tuple(pattern)
    f = theano.function([x], x.sum())
    assert f(numpy.ones([1 if always else 3 for always in pattern])) == 3 ** pattern.count(False)
    assert f(numpy.ones([1] * len(pattern))) == 1  # where it is False the length may be 1
    for axis in [i for i, always in enumerate(pattern) if always]:
        shape = [2 if i == axis else 1 for i in range(len(pattern))]
        with pytest.raises(TypeError, match="broadcastable has length 1"):
            f(numpy.ones(shape))


def test_the_pattern_of_a_sum(mode: str) -> None:
    a = T.TensorType("float64", [False, True, False])("a")
    b = T.TensorType("float64", [True, False, False])("b")
    assert (a + b).broadcastable == (False, False, False)
    f = theano.function([a, b], a + b)
    assert f(numpy.ones((2, 1, 4)), numpy.ones((1, 3, 4))).shape == (2, 3, 4)


@seed("004", 9, "59-61", "patterns are padded with True on the left")
def test_patterns_are_padded_on_the_left(mode: str) -> None:
    v, m, t = T.vector("v"), T.matrix("m"), T.tensor3("t")
    assert v.dimshuffle("x", 0).broadcastable == (True, False)
    assert T.shape_padleft(m).broadcastable == (True, False, False)
    f = theano.function([v, m, t], [m + v, t + m, t + v])
    sums = f(numpy.arange(3.0), numpy.zeros((2, 3)), numpy.zeros((4, 2, 3)))
    assert [x.shape for x in sums] == [(2, 3), (4, 2, 3), (4, 2, 3)]
    assert sums[0].tolist() == [[0, 1, 2]] * 2


@seed("004", 10, "66-85", "the logistic function of a matrix", "t is T; closing parentheses")
def test_the_logistic_function(mode: str) -> None:
    x = T.matrix("x")
    s = 1 / (1 + T.exp(-x))
    logistic = theano.function([x], s)
    out = logistic([[1, 2, 3], [4, 3, 0.5]])
    expected = [[0.73105858, 0.88079708, 0.95257413], [0.98201379, 0.95257413, 0.62245933]]
    numpy.testing.assert_allclose(out, expected, rtol=1e-7)


@seed(
    "004",
    11,
    "87-112",
    "several inputs and outputs",
    "two arguments, as the function has; several outputs come as a list, not a tuple",
)
def test_several_outputs(mode: str) -> None:
    a, b = T.matrices("a", "b")
    diff = a - b
    abs_diff = abs(diff)
    diff_squared = diff**2
    f = theano.function([a, b], [diff, abs_diff, diff_squared])
    out = f([[1, 2, 3]], [[2, 1, 1]])
    assert isinstance(out, list)
    assert [x.tolist() for x in out] == [[[-1, 1, 2]], [[1, 1, 2]], [[1, 1, 4]]]
    assert len(T.scalars("a", "b", "c")) == len(T.vectors(3)) == 3


@seed("004", 12, "114-131", "an input with a default")
def test_an_input_with_a_default(mode: str) -> None:
    x, y = T.scalars("x", "y")
    z = x + y
    f = theano.function([x, In(y, value=1)], z)
    assert f(2) == 3
    assert f(2, 5) == 7
    assert isinstance(f(2), numpy.ndarray)
    assert f(2).shape == ()


@seed(
    "004",
    13,
    "133-142",
    "an input with another keyword",
    "w_byname is w_by_name in both places, T.function is theano.function; y is given by name too",
)
def test_an_input_with_another_keyword(mode: str) -> None:
    x, y, w = T.scalars("x", "y", "w")
    z = (x + y) * w
    f = theano.function([x, In(y, value=1), In(w, value=2, name="w_by_name")], z)
    assert f(33, 1, 5) == f(33, w_by_name=5) == 170
    assert f(33, w_by_name=5, y=0) == 165
    with pytest.raises(TypeError, match="no input 'w'"):
        f(33, w=5)


@seed(
    "004",
    14,
    "144-162",
    "state that a function updates, and its value before the update",
    "T.iscalar('inc'), whose sum with the state has the state's dtype; update= is updates=",
)
def test_a_function_with_state(mode: str) -> None:
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    assert state.get_value() == 0
    assert accumulator(1) == 0
    assert state.get_value() == 1
    assert accumulator(300) == 1
    assert state.get_value() == 301
    state.set_value(-1)
    assert accumulator(3) == -1
    assert state.get_value() == 2
    decrementor = function([inc], state, updates=[(state, state - inc)])
    assert decrementor(2) == 2
    assert state.get_value() == 0


def test_the_state_of_the_document_has_another_dtype_than_its_update() -> None:
    state, inc = shared(0), T.scalar("inc")
    with pytest.raises(TypeError, match="must have the same type as the original shared variable"):
        function([inc], state, updates=[(state, state + inc)])


@seed("004", 15, "164-179", "givens: another value in a shared variable's place")
def test_another_value_in_the_place_of_the_state(mode: str) -> None:
    state = shared(0)
    inc = T.iscalar("inc")
    fn_of_state = state * 2 + inc
    # The type of foo must match the shared variable we are replacing with the ``givens``
    foo = T.scalar(dtype=state.dtype)
    skip_shared = function([inc, foo], fn_of_state, givens=[(state, foo)])
    out = skip_shared(1, 3)  # we're using 3 for the state, not state.value
    assert repr(out) == "array(7)"
    assert state.get_value() == 0  # old state still there, but we didn't use it


@seed("004", 16, "181-182", "a shared variable with a pattern", "the dots are a value")
def test_a_shared_variable_with_a_pattern(mode: str) -> None:
    row = theano.shared(numpy.ones((1, 3)), broadcastable=(True, False))
    assert theano.shared(numpy.ones((1, 3))).broadcastable == (False, False)
    assert row.broadcastable == (True, False)
    x = T.matrix("x")
    assert theano.function([x], x + row)(numpy.zeros((2, 3))).tolist() == [[1, 1, 1]] * 2
