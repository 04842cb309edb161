"""Pickles: what comes back, what stays shared, how large they are, and that old ones load."""

from __future__ import annotations

import copy
import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import In, function, shared
from exprd.errors import UnsupportedVersion
from exprd.printing import Print
from exprd.saving import dump_graph, restore
from tests.client.saving.models import check_golden, golden_objects

GOLDEN = Path(__file__).parents[2] / "golden" / "pickles"
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def again(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    """A value after a journey through a pickle."""
    return pickle.loads(pickle.dumps(value, protocol))


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kind_comes_back(protocol: int) -> None:
    check_golden(again(golden_objects(), protocol))


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pkl")), ids=lambda path: path.name)
def test_pickles_of_earlier_versions_load(path: Path) -> None:
    check_golden(pickle.loads(path.read_bytes()))


def test_there_are_golden_pickles(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        for protocol in PROTOCOLS:
            target = GOLDEN / f"version-1-protocol{protocol}.pkl"
            target.write_bytes(pickle.dumps(golden_objects(), protocol))
    assert len(list(GOLDEN.glob("*.pkl"))) >= len(PROTOCOLS)


def test_a_pickle_names_one_function_of_ours() -> None:
    data = pickle.dumps(golden_objects(), 2)
    named = {str(arg) for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    assert {name for name in named if name.startswith("exprd")} == {
        "exprd.saving.pickled restore",
        "exprd.saving.pickled restore_state",
    }


def test_variables_keep_what_they_share() -> None:
    x, y = T.dvectors("x", "y")
    inner = x * y
    a, b, i, u, v = again([T.exp(inner), inner + 1, inner, x, y])
    assert a.owner.inputs[0] == b.owner.inputs[0] == i
    assert i.owner.inputs == [u, v]
    slope = cast("Any", exprd.grad(a.sum(), i))
    np.testing.assert_allclose(slope.eval({u: [1.0], v: [2.0]}), np.exp([2.0]))
    first, second = again(inner), again(inner)
    assert first != second  # each load is one of its own


@pytest.mark.usefixtures("mode")
def test_shared_variables_are_copies_that_stay_together() -> None:
    w = shared([1.0, 2.0], name="w", durability="durable")
    first, second, doubled = again((w, w, w * 2))
    assert first is second
    assert (first.name, first.durability) == ("w", "durable")
    first.set_value([5.0])
    assert doubled.eval().tolist() == [10]
    assert w.get_value().tolist() == [1, 2]


@pytest.mark.usefixtures("mode")
def test_a_function_keeps_its_variables_within_one_pickle() -> None:
    w = shared(1.0)
    f = function([], w, updates={w: w + 1})
    f()
    state, g = again((w, f))
    assert (g(), g(), state.get_value(), w.get_value()) == (2, 3, 4, 2)
    alone = again(f)
    assert (alone(), f()) == (2, 2)


@pytest.mark.usefixtures("mode")
def test_the_values_of_a_function_are_there_once() -> None:
    w = shared(np.zeros(100_000))
    f = function([], (w * w).sum(), updates={w: w + 1})
    size = len(pickle.dumps((w, f, f.copy(), f), 5))
    assert size <= w.get_value().nbytes + 3 * len(dump_graph(f)) + 4096


@pytest.mark.usefixtures("mode")
def test_a_model_is_its_parameters_and_its_graph() -> None:
    x = T.dmatrix("x")
    layers = [shared(np.ones((50, 50)), name=f"w{i}") for i in range(4)]
    h = x
    for w in layers:
        h = T.tanh(T.dot(h, w))
    grads = T.grad(h.sum(), layers)
    f = function([x], h, updates=[(w, w - g) for w, g in zip(layers, grads, strict=True)])
    data = pickle.dumps(f, 5)
    budget = sum(w.get_value().nbytes for w in layers) + len(dump_graph(f)) + 4096
    assert len(data) <= budget


@pytest.mark.usefixtures("mode")
def test_a_function_is_not_compiled_again() -> None:
    x = T.dvector("x")
    f = function([x], T.exp(x).sum())
    g = again(f)
    assert g.handle == f.handle
    assert g.timings == f.timings


def test_functions_can_be_left_out() -> None:
    f = function([], T.constant(1))
    with exprd.config.change_flags(unpickle_function=False):
        assert again((f, 1)) == (None, 1)


@pytest.mark.usefixtures("mode")
def test_prints_and_intermediate_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dvector("x")
    y = x * 2
    f = again(function([y], Print("seen")(y + 1)))
    assert f([1.0]).tolist() == [2]
    assert capsys.readouterr().out == "seen __str__ = [2.]\n"
    plain = again(Print("seen", attrs=("shape",))(x))
    plain.eval(x=[1.0, 2.0])
    assert capsys.readouterr().out == "seen shape = (2,)\n"


def test_no_folder_of_the_writer_is_in_a_pickle() -> None:
    data = pickle.dumps(golden_objects(), 2)
    assert str(Path(__file__).parent).encode() not in data
    assert b"models.py:" in data


def test_several_objects_in_one_file() -> None:
    file = io.BytesIO()
    objects = [T.dscalar("a"), shared(1.0, name="b"), T.dscalar("c") + 1]
    for item in objects:
        pickle.dump(item, file, protocol=pickle.HIGHEST_PROTOCOL)
    file.seek(0)
    loaded = [pickle.load(file) for _ in objects]
    assert [v.name for v in loaded] == ["a", "b", None]


class Model:
    """A user's class with the recipe of Theano's tutorial."""

    def __init__(self) -> None:
        self.training_set = np.zeros(1000)
        self.w = shared(np.ones(3), name="w")
        self.b = shared(0.0, name="b")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["training_set"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.training_set = np.ones(2)


def test_the_recipes_of_the_tutorial() -> None:
    back = again(Model())
    assert back.w.get_value().tolist() == [1, 1, 1]
    assert back.training_set.tolist() == [1, 1]


def test_copies_go_the_same_way() -> None:
    x = T.dscalar("x")
    y, z = copy.deepcopy((x, x + 1))
    assert (y == x, z.owner.inputs[0] == y) == (False, True)


def test_deep_graphs_are_pickled_without_recursion() -> None:
    x = T.dscalar("x")
    y = x
    for _ in range(5_000):
        y = y + 1.0
    leaf, end = again((x, y))
    assert (leaf.name, end.ndim) == ("x", 0)


def test_names_of_inputs_and_types() -> None:
    entry = again(In(T.dscalar("x"), value=1.0, update=T.dscalar("x") + 1, name="n"))
    assert (entry.name, entry.mutable, entry.update.dtype) == ("n", True, "float64")


def test_what_is_not_known_here_is_refused() -> None:
    with pytest.raises(UnsupportedVersion, match="'function' in version 99"):
        restore("function", 99)
    with pytest.raises(UnsupportedVersion, match="newer"):
        restore("nonsense", 1)


@pytest.mark.parametrize("folder", ["server", "compiler", "proto"])
def test_nothing_else_unpickles(folder: str) -> None:
    root = Path(__file__).parents[3] / folder
    users = [p for p in root.rglob("*.py") if "pickle" in p.read_text(encoding="utf-8")]
    assert [p for p in users if "import pickle" in p.read_text(encoding="utf-8")] == []
