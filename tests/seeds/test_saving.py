"""The snippets on saving: pickles short and long, files with arrays that numpy reads."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy
import numpy as np
import pytest

import exprd as theano
import exprd.tensor as T
from exprd.misc import pkl_utils
from tests.seeds.seeding import seed

MENDED = "cPickle and file() of Python 2 are pickle and open()"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model() -> Any:
    """A shared variable and a function that updates it: what "my_obj" is for a user of Theano."""
    x = T.dvector("x")
    w = theano.shared(numpy.arange(3.0), name="w")
    return w, theano.function([x], T.dot(x, w), updates=[(w, w * 2)])


@seed("000", 1, "10-12", "an object is pickled into a file", MENDED)
@seed("000", 2, "13-14", "and loaded")
@seed("001", 1, "226-233", "an object is pickled into a file", MENDED)
@seed("001", 2, "241-245", "and loaded")
def test_an_object_in_a_file(mode: str) -> None:
    my_obj = model()

    f = open("obj.save", "wb")
    pickle.dump(my_obj, f, protocol=pickle.HIGHEST_PROTOCOL)
    f.close()

    f = open("obj.save", "rb")
    loaded_obj = pickle.load(f)
    f.close()

    w, function = loaded_obj
    assert function([1, 1, 1]) == 3
    assert w.get_value().tolist() == [0, 2, 4]  # the function of the file updates its variable
    assert my_obj[0].get_value().tolist() == [0, 1, 2]


@seed("000", 3, "15-16", "several objects are pickled into one file", MENDED)
@seed("000", 4, "17-18", "and loaded in the same order")
@seed("001", 3, "246-255", "several objects are pickled into one file", MENDED)
@seed("001", 4, "256-261", "and loaded in the same order")
def test_several_objects_in_a_file(mode: str) -> None:
    x = T.dscalar("x")
    obj1, obj2, obj3 = theano.shared(1.5, name="obj1"), theano.function([x], x + 1), x * 2

    f = open("objects.save", "wb")
    for obj in [obj1, obj2, obj3]:
        pickle.dump(obj, f, protocol=pickle.HIGHEST_PROTOCOL)
    f.close()

    f = open("objects.save", "rb")
    loaded_objects = []
    for _ in range(3):
        loaded_objects.append(pickle.load(f))
    f.close()

    assert loaded_objects[0].get_value() == 1.5
    assert loaded_objects[1](2) == 3
    assert loaded_objects[2].eval(x=4.0) == 8


class WithData:
    """A model with a link to its training set, which is not pickled but found again."""

    def __init__(self, training_set_file: str) -> None:
        self.training_set_file = training_set_file
        with open(training_set_file, "rb") as f:
            self.training_set = pickle.load(f)
        self.W = theano.shared(numpy.zeros((2, 2)), name="W")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["training_set"]
        return state

    def __setstate__(self, d: dict[str, Any]) -> None:
        self.__dict__.update(d)
        with open(self.training_set_file, "rb") as f:
            self.training_set = pickle.load(f)


@seed("000", 5, "22-24", "a class leaves its data out of its pickle", MENDED)
@seed("001", 5, "271-287", "a class leaves its data out of its pickle", MENDED)
def test_a_model_without_its_data(mode: str) -> None:
    with open("data.pkl", "wb") as f:
        pickle.dump(numpy.ones(100_000), f)
    made = WithData("data.pkl")
    made.W.set_value(numpy.eye(2))

    data = pickle.dumps(made)
    loaded = pickle.loads(data)

    assert len(data) < 4_000
    assert loaded.W.get_value().tolist() == [[1, 0], [0, 1]]
    assert loaded.training_set.shape == (100_000,)


class Old:
    """A layer that pickles its parameters alone."""

    def __init__(self) -> None:
        self.W = theano.shared(numpy.eye(2), name="W")
        self.b = theano.shared(numpy.ones(2), name="b")

    def __getstate__(self) -> Any:
        return (self.W, self.b)

    def __setstate__(self, state: Any) -> None:
        W, b = state
        self.W = W
        self.b = b


class New:
    """The same layer after its attributes were given other names."""

    def __getstate__(self) -> Any:
        return (self.weights, self.bias)

    def __setstate__(self, state: Any) -> None:
        W, b = state
        self.weights = W
        self.bias = b


@seed("000", 6, "25-29", "a class pickles its parameters alone")
@seed("000", 7, "30-31", "and reads the pickle after they were given other names")
@seed("001", 7, "306-322", "a class pickles its parameters alone")
@seed("001", 8, "323-332", "and reads the pickle after they were given other names")
def test_parameters_that_got_other_names(mode: str) -> None:
    loaded = pickle.loads(pickle.dumps(Old()))
    assert loaded.W.get_value().tolist() == [[1, 0], [0, 1]]

    old_state = pickle.dumps(Old().__getstate__())
    renamed = New()
    renamed.__setstate__(pickle.loads(old_state))
    assert renamed.weights.get_value().tolist() == [[1, 0], [0, 1]]
    assert renamed.bias.get_value().tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(renamed)).bias.name == "b"


@seed("001", 6, "288-305", "a zip of NPY files, which plain numpy reads")
def test_a_model_that_numpy_reads(mode: str) -> None:
    foo = theano.shared(numpy.arange(3.0), name="foo")
    with open("model.zip", "wb") as f:
        pkl_utils.dump([foo, theano.shared(1, name="foo"), np.array(2)], f)

    parameters = numpy.load("model.zip")
    assert sorted(parameters.keys()) == ["array_0", "foo", "foo_2", "pkl"]
    assert parameters["foo"].tolist() == [0, 1, 2]

    with open("model.zip", "rb") as f:
        loaded, _, array = pkl_utils.load(f)
    assert loaded.get_value().tolist() == [0, 1, 2]
    assert array == 2
