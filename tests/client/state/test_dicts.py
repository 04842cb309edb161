"""State dicts: what is missing, unexpected or does not fit, and that loading is all or nothing."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
from exprd import nn, shared
from exprd.errors import CallError, ExprdError, StateMismatch
from exprd.state import IncompatibleKeys
from exprd_compiler.ir.half import converted

pytestmark = pytest.mark.usefixtures("mode")


class Pair:
    """An object of the user's: two variables, of which a session may have one or both."""

    def __init__(self, *, bound: int = 0) -> None:
        self.a = shared(np.arange(3.0), name="a")
        self.b = shared(np.arange(4, dtype="float32").reshape(2, 2), name="b")
        for variable in (self.a, self.b)[:bound]:
            exprd.function([], variable)


@pytest.fixture(params=[0, 1, 2], ids=["here", "one bound", "both bound"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """A pair whose values are here, in the session, or one each."""
    return Pair(bound=request.param)


def values(pair: Pair) -> tuple[Any, Any]:
    return pair.a.get_value().tolist(), pair.b.get_value().tolist()


OLD = ([0.0, 1.0, 2.0], [[0.0, 1.0], [2.0, 3.0]])


# ---- reading
def test_the_values_of_any_object(pair: Pair) -> None:
    state = exprd.state_dict(pair)
    assert list(state) == ["a", "b"]
    assert (state["a"].tolist(), state["b"].tolist()) == OLD
    assert list(exprd.state_dict(pair, prefix="net.")) == ["net.a", "net.b"]


def test_the_values_are_copies(pair: Pair) -> None:
    for value in exprd.state_dict(pair).values():
        value[:] = 7
    assert values(pair) == OLD


def test_a_dict_of_models_and_an_optimizer(tmp_path: Path) -> None:
    """A checkpoint: everything in one file, with plain data beside it."""
    net, speed = nn.Linear(2, 1), [shared(np.zeros((1, 2))), shared(np.zeros(1))]
    checkpoint = {"net": net.state_dict(), "speed": exprd.state_dict(speed), "epoch": 3}
    exprd.save(checkpoint, tmp_path / "checkpoint")
    found = exprd.load(tmp_path / "checkpoint")
    assert found["epoch"] == 3
    assert list(found["speed"]) == ["0", "1"]
    both = {"net": net, "speed": speed}
    flat = exprd.state_dict(both)
    assert list(flat) == ["net.weight", "net.bias", "speed.0", "speed.1"]
    assert repr(exprd.load_state_dict(both, flat)) == "<All keys matched successfully>"


# ---- loading
def test_values_come_back(pair: Pair) -> None:
    state = {"b": np.full((2, 2), 5, "float32"), "a": np.array([3.0, 2.0, 1.0])}
    keys = exprd.load_state_dict(pair, state)
    assert keys == IncompatibleKeys([], [])
    assert repr(keys) == "<All keys matched successfully>"
    assert values(pair) == ([3.0, 2.0, 1.0], [[5.0, 5.0], [5.0, 5.0]])
    state["a"][:] = 0  # not the variable's any more
    assert pair.a.get_value().tolist() == [3.0, 2.0, 1.0]


def test_all_that_is_wrong_in_one_message(pair: Pair) -> None:
    state = {"b": np.zeros(5), "c": np.zeros(1), "d": 1}
    with pytest.raises(StateMismatch) as caught:
        exprd.load_state_dict(pair, state)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Pair:",
        'Missing key(s) in state_dict: "a".',
        'Unexpected key(s) in state_dict: "c", "d".',
        "size mismatch for b: copying a param with shape (5,) from checkpoint,"
        " the shape in current model is (2, 2).",
    ]
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, ExprdError)


def test_nothing_is_assigned_when_something_is_wrong(pair: Pair) -> None:
    good = np.array([9.0, 9.0, 9.0])
    for state in [
        {"a": good},
        {"a": good, "b": np.zeros(3)},
        {"a": good, "b": np.ones((2, 2)) * 1j},
    ]:
        with pytest.raises(StateMismatch):
            exprd.load_state_dict(pair, state)
        assert values(pair) == OLD


def test_loading_a_part(pair: Pair) -> None:
    keys = exprd.load_state_dict(pair, {"a": np.ones(3), "c": np.ones(1)}, strict=False)
    assert keys == (["b"], ["c"])
    assert repr(keys) == "_IncompatibleKeys(missing_keys=['b'], unexpected_keys=['c'])"
    assert values(pair) == ([1.0, 1.0, 1.0], OLD[1])


def test_a_wrong_size_is_an_error_even_of_a_part(pair: Pair) -> None:
    with pytest.raises(StateMismatch, match=r"size mismatch for a: .* \(4,\) .* \(3,\)"):
        exprd.load_state_dict(pair, {"a": np.ones(4), "b": np.zeros((2, 2))}, strict=False)
    assert values(pair) == OLD


def test_a_prefix_chooses_and_is_left_out(pair: Pair) -> None:
    state = {"net.a": np.ones(3), "net.b": np.ones((2, 2)), "other": np.ones(1)}
    exprd.load_state_dict(pair, state, prefix="net.")
    assert values(pair) == ([1.0, 1.0, 1.0], [[1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("state", [None, [("a", 1)], np.ones(3)], ids=["none", "pairs", "array"])
def test_a_state_dict_is_a_dict(state: Any) -> None:
    with pytest.raises(CallError, match="a state dict is a dict, not"):
        exprd.load_state_dict(Pair(), state)


def test_values_may_be_variables_buffers_and_other_arrays() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.full((2, 2), 2, "float32")

    pair = Pair()
    exprd.load_state_dict(pair, {"a": exprd.put(np.ones(3)), "b": Foreign()})
    assert values(pair) == ([1.0, 1.0, 1.0], [[2.0, 2.0], [2.0, 2.0]])
    exprd.load_state_dict(pair, {"a": shared(np.zeros(3))}, strict=False)
    assert pair.a.get_value().tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(StateMismatch, match="a is list in the state dict, not an array"):
        exprd.load_state_dict(pair, {"a": [1, 2, 3]}, strict=False)


def test_a_scalar_and_its_number() -> None:
    model = {"x": shared(1.0)}
    exprd.load_state_dict(model, {"x": np.float64(2.5)})
    assert model["x"].get_value() == 2.5


# ---- element types
@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        ("float64", "float32", True),
        ("float32", "float16", True),
        ("float64", "bfloat16", True),
        ("bfloat16", "float32", True),
        ("int64", "float64", True),
        ("int64", "int8", True),
        ("bool", "uint8", True),
        ("float32", "complex64", True),
        ("complex64", "float32", False),
        ("float32", "int64", False),
        ("int8", "uint8", False),
        ("int8", "bool", False),
    ],
)
def test_which_element_types_fit(have: str, want: str, fits: bool) -> None:
    model = [shared(converted(np.zeros(2), want))]
    state = {"0": converted(np.array([1.0, 0.0]), have)}
    if fits:
        exprd.load_state_dict(model, state)
        found = model[0].get_value()
        assert (found.dtype.name, found.tolist()) == (want, [1, 0])
        return
    with pytest.raises(StateMismatch, match=f"dtype mismatch for 0: values of {have}.*{want}"):
        exprd.load_state_dict(model, state)


@pytest.mark.parametrize(("value", "dtype"), [(300, "int8"), (1e300, "float32"), (1e5, "float16")])
def test_what_would_be_another_number_is_refused(value: float, dtype: str) -> None:
    model = [shared(np.zeros(1, dtype))]
    with pytest.raises(StateMismatch, match="dtype mismatch"):
        exprd.load_state_dict(model, {"0": np.array([value])})
    exprd.load_state_dict([shared(np.zeros(3))], {"0": np.array([np.inf, np.nan, -np.inf])})


def test_digits_are_rounded_to_nearest() -> None:
    model = [shared(np.zeros(1, "float32"))]
    exprd.load_state_dict(model, {"0": np.array([0.1])})
    assert model[0].get_value()[0] == np.float32(0.1)


def test_text_is_no_value() -> None:
    with pytest.raises(StateMismatch, match="dtype mismatch for 0: values of <U1"):
        exprd.load_state_dict([shared(np.zeros(1))], {"0": np.array(["a"])})


# ---- special variables
def test_a_constant_is_never_assigned() -> None:
    model = {"data": shared(np.zeros(2), durability="constant"), "w": shared(np.zeros(2))}
    with pytest.raises(StateMismatch, match="data is a constant"):
        exprd.load_state_dict(model, {"data": np.ones(2), "w": np.ones(2)})
    assert model["w"].get_value().tolist() == [0.0, 0.0]


def test_a_variable_of_two_names_takes_the_last_value(pair: Pair) -> None:
    tied = nn.Module()
    tied.first, tied.second, tied.b = pair.a, pair.a, pair.b
    state = exprd.state_dict(tied)
    assert list(state) == ["first", "second", "b"]
    assert state["first"] is state["second"]
    state = OrderedDict(first=np.ones(3), second=np.full(3, 2.0), b=state["b"])
    exprd.load_state_dict(tied, state)
    assert pair.a.get_value().tolist() == [2.0, 2.0, 2.0]


def test_variables_without_elements_and_without_axes() -> None:
    model = [shared(np.zeros((0, 3))), shared(np.float32(1)), shared(True)]
    exprd.function([], model)
    state = exprd.state_dict(model)
    assert [x.shape for x in state.values()] == [(0, 3), (), ()]
    exprd.load_state_dict(model, {"0": np.zeros((0, 3)), "1": np.float32(2), "2": np.array(False)})
    assert [x.get_value().tolist() for x in model] == [[], 2.0, False]
    with pytest.raises(StateMismatch, match=r"\(3, 0\)"):
        exprd.load_state_dict(model, {"0": np.zeros((3, 0))}, strict=False)


def test_a_model_without_variables() -> None:
    assert exprd.state_dict(nn.ReLU()) == OrderedDict()
    assert repr(exprd.load_state_dict(nn.ReLU(), {})) == "<All keys matched successfully>"
