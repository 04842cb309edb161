"""The snippets on saving tensors and the parameters of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
from exprd import nn
from tests.seeds.seeding import seed

ARRAYS = "tensors are numpy arrays"
SHOWN = """MLP(
  (hidden): Linear(in_features=20, out_features=256, bias=True)
  (output): Linear(in_features=256, out_features=10, bias=True)
  (relu): ReLU()
)"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)
        self.relu = nn.ReLU()

    def forward(self, x: Any) -> Any:
        H_1 = self.relu(self.hidden(x))
        out = self.output(H_1)
        return out  # noqa: RET504


@seed("002", 1, "3-7", "a tensor is saved", ARRAYS)
@seed("002", 2, "8-12", "and loaded")
def test_a_tensor_in_a_file() -> None:
    x = np.arange(4, dtype=np.float32)
    exprd.save(x, "x-file")
    x2 = exprd.load("x-file")
    assert x2.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert x2.dtype == "float32"


@seed("002", 3, "13-19", "a list of tensors", ARRAYS + "; a list comes back as a list")
def test_a_list_of_tensors_in_a_file() -> None:
    x, y = np.arange(4, dtype=np.float32), np.zeros(4)
    exprd.save([x, y], "x-files")
    x2, y2 = exprd.load("x-files")
    assert isinstance(exprd.load("x-files"), list)
    assert (x2.tolist(), y2.tolist()) == ([0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0])


@seed("002", 4, "20-26", "a dict from strings to tensors", ARRAYS)
def test_a_dict_of_tensors_in_a_file() -> None:
    x, y = np.arange(4, dtype=np.float32), np.zeros(4)
    mydict = {"x": x, "y": y}
    exprd.save(mydict, "mydict.npy")
    mydict2 = exprd.load("mydict.npy")
    assert type(mydict2) is dict
    assert {name: value.tolist() for name, value in mydict2.items()} == {
        "x": [0.0, 1.0, 2.0, 3.0],
        "y": [0.0, 0.0, 0.0, 0.0],
    }


@seed("002", 5, "27-45", "a model of two layers", ARRAYS)
@seed("002", 6, "46-47", "its parameters are saved")
@seed("002", 7, "48-57", "and loaded into a new model", "the printed model is indented")
@seed("002", 8, "58-63", "which then gives the same")
def test_the_parameters_of_a_model(mode: str) -> None:
    net = MLP()
    x = np.random.default_rng(0).standard_normal(size=(2, 20))
    y = net(x)
    assert y.shape == (2, 10)

    exprd.save(net.state_dict(), "mlp.params")
    clone = MLP()
    assert not (clone(x) == y).any()
    assert (
        repr(clone.load_state_dict(exprd.load("mlp.params"))) == "<All keys matched successfully>"
    )
    assert repr(clone.eval()) == SHOWN
    assert list(net.state_dict()) == [
        "hidden.weight", "hidden.bias", "output.weight", "output.bias"
    ]  # fmt: skip

    yclone = clone(x)
    assert (yclone == y).tolist() == [[True] * 10] * 2


@seed("002", 9, "64-70", "save_parameters and load_parameters", "the names of another library")
def test_save_parameters_and_load_parameters(mode: str) -> None:
    net, clone = MLP(), MLP()
    net.save_parameters("mlp.params")
    clone.load_parameters("mlp.params")
    x = np.ones((3, 20))
    assert (clone(x) == net(x)).all()


@seed("002", 10, "71-73", "the exercises: part of a model in another, architecture and parameters")
def test_part_of_a_model_and_a_whole_one(mode: str) -> None:
    net, x = MLP(), np.ones((3, 20))

    class Other(nn.Module):
        def __init__(self) -> None:
            self.hidden = nn.Linear(20, 256)
            self.head = nn.Linear(256, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.hidden(x))

    other = Other()
    keys = other.load_state_dict(net.state_dict(), strict=False)
    assert keys.unexpected_keys == ["output.weight", "output.bias"]
    assert (other.hidden(x) == net.hidden(x)).all()

    inputs = exprd.tensor.matrix("inputs")
    exprd.save(exprd.function([inputs], net(inputs)), "whole.model")
    whole = exprd.load("whole.model")
    np.testing.assert_allclose(whole(x), net(x), rtol=1e-12)
