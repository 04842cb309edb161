"""Modules: the seed's perceptron, lazy layers, parts, text, and calls with arrays and variables."""

from __future__ import annotations

import copy
import gc
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import nn, shared
from exprd.errors import CallError, ShapeError, StateMismatch
from exprd.state import UninitializedParameter
from exprd.state.module import _LAST

pytestmark = pytest.mark.usefixtures("mode")


class MLP(nn.Module):
    """The perceptron of the seed document."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)
        self.relu = nn.ReLU()

    def forward(self, x: Any) -> Any:
        return self.output(self.relu(self.hidden(x)))


class Chain(nn.Module):
    """Layers in a plain list, which are parts all the same."""

    def __init__(self, *layers: nn.Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


TEXT = """\
MLP(
  (hidden): Linear(in_features=20, out_features=256, bias=True)
  (output): Linear(in_features=256, out_features=10, bias=True)
  (relu): ReLU()
)"""


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    """Two cases of twenty features."""
    return rng.standard_normal((2, 20))


# ---- the seed document
def test_a_clone_with_loaded_parameters_is_equal_bit_for_bit(x: Any, tmp_path: Path) -> None:
    net = MLP()
    y = net(x)
    exprd.save(net.state_dict(), tmp_path / "mlp.params")
    clone = MLP()
    assert not np.array_equal(clone(x), y)
    keys = clone.load_state_dict(exprd.load(tmp_path / "mlp.params"))
    assert repr(keys) == "<All keys matched successfully>"
    assert repr(clone.eval()) == TEXT
    assert (clone(x) == y).all()
    assert clone(x).tobytes() == y.tobytes()


def test_the_state_dict_has_paths_in_order() -> None:
    state = MLP().state_dict()
    assert isinstance(state, OrderedDict)
    shapes = {path: value.shape for path, value in state.items()}
    assert list(shapes.items()) == [
        ("hidden.weight", (256, 20)),
        ("hidden.bias", (256,)),
        ("output.weight", (10, 256)),
        ("output.bias", (10,)),
    ]


def test_parameters_by_the_other_names(x: Any, tmp_path: Path) -> None:
    net, clone = MLP(), MLP()
    net.save_parameters(tmp_path / "net")
    clone.load_parameters(tmp_path / "net")
    assert np.array_equal(clone(x), net(x))
    exprd.state.save_parameters(net.hidden, tmp_path / "part")
    exprd.state.load_parameters(clone.hidden, tmp_path / "part")
    with pytest.raises(StateMismatch, match="Missing"):
        clone.load_parameters(tmp_path / "part")


def test_two_layers_of_another_net(x: Any) -> None:
    """The exercise of the document: a part of a net in one of another structure."""
    net, other = MLP(), nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 3))
    state = net.state_dict()
    next(other.children()).load_state_dict(state, prefix="hidden.")
    assert np.array_equal(other[0](x), net.hidden(x))
    new = MLP()
    found = new.load_state_dict(net.hidden.state_dict(prefix="hidden."), strict=False)
    assert found.missing_keys == ["output.weight", "output.bias"]
    assert np.array_equal(new.hidden(x), net.hidden(x))


def test_parameters_that_torch_wrote(x: Any) -> None:
    net = nn.Sequential(OrderedDict(hidden=nn.LazyLinear(4), output=nn.Linear(4, 2)))
    net.load_parameters(Path(__file__).parents[2] / "golden" / "torch" / "mlp.pt")
    w1, w2 = np.arange(12).reshape(4, 3) / 8 - 0.5, np.arange(8).reshape(2, 4) / 8 - 0.5
    b1, b2 = np.arange(4) / 8 - 0.5, np.arange(2) / 8 - 0.5
    assert np.allclose(net(x[:, :3]), (x[:, :3] @ w1.T + b1) @ w2.T + b2)


# ---- calls
def test_with_a_variable_a_module_gives_an_expression(x: Any) -> None:
    net, v = MLP(), T.matrix("v")
    f = exprd.function([v], net(v))
    assert np.array_equal(f(x), net(x))


def test_training_a_module(rng: np.random.Generator) -> None:
    net = nn.Sequential(nn.Linear(3, 8, rng=rng), nn.Tanh(), nn.Linear(8, 1, rng=rng))
    v, target = T.matrix(), T.matrix()
    cost = ((net(v) - target) ** 2).mean()
    params = list(net.parameters())
    updates = [(p, p - 0.1 * g) for p, g in zip(params, exprd.grad(cost, params), strict=True)]
    step = exprd.function([v, target], cost, updates=updates)
    data = rng.standard_normal((64, 3))
    costs = [step(data, data @ [[1.0], [-1.0], [0.5]]) for _ in range(200)]
    assert costs[-1] < 0.1 * costs[0]
    prediction = net(data)
    clone = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    clone.load_state_dict(net.state_dict())
    assert np.array_equal(clone(data), prediction)


def test_a_call_follows_the_attributes_of_the_moment(x: Any) -> None:
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, x: Any) -> Any:
            return self.factor * x if self.training else x

    module = Scaled()
    assert np.array_equal(module(x), 2 * x)
    module.factor = 3.0
    assert np.array_equal(module(x), 3 * x)
    assert np.array_equal(module.eval()(x), x)


def test_arrays_within_forward_are_constants_of_the_graph() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            self.rows = nn.Linear(2, 3)

        def forward(self, x: Any) -> Any:
            return T.dot(x, self.rows(np.eye(2)))

    table = Table()
    v = T.matrix()
    f = exprd.function([v], table(v))
    table.rows.bias.set_value(np.zeros(3))
    table.rows.weight.set_value(np.ones((3, 2)))
    assert np.array_equal(f(np.eye(2)), np.ones((2, 3)))


def test_outputs_of_several_forms_and_inputs_that_broadcast(x: Any) -> None:
    class Many(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return {"sum": x + y, "x": x}

    found = Many()(x, x[:1])
    assert np.array_equal(found["sum"], x + x[:1])
    assert np.array_equal(found["x"], x)
    assert nn.Identity()([1.5, 2.5]).tolist() == [1.5, 2.5]


def test_options_go_to_forward_as_they_are(x: Any) -> None:
    class Either(nn.Module):
        def forward(self, x: Any, *, negate: bool = False, other: Any = 0) -> Any:
            return (-x if negate else x) + other

    either, v = Either(), T.matrix()
    assert np.array_equal(either(x, negate=True), -x)
    assert np.array_equal(either(x, other=x), x + x)
    assert np.array_equal(exprd.function([v], either(x, other=v))(x), x + x)


def test_a_kept_array_as_an_input(x: Any) -> None:
    net, kept = MLP(), exprd.put(x)
    assert np.array_equal(net(kept), net(x))
    lazy = nn.LazyLinear(3)
    assert lazy(kept).shape == (2, 3)


def test_elementwise_layers(x: Any) -> None:
    assert np.array_equal(nn.ReLU()(x), np.maximum(x, 0))
    assert np.allclose(nn.Sigmoid()(x), 1 / (1 + np.exp(-x)))
    assert np.allclose(nn.Tanh()(x), np.tanh(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_linear_in_every_float(dtype: str) -> None:
    layer = nn.Linear(3, 2, dtype=dtype)
    assert {value.dtype.name for value in layer.state_dict().values()} == {dtype}
    clone = nn.Linear(3, 2, dtype=dtype)
    clone.load_state_dict(layer.state_dict())
    assert clone.state_dict()["weight"].tobytes() == layer.state_dict()["weight"].tobytes()


def test_linear_of_vectors_and_of_stacks(rng: np.random.Generator) -> None:
    layer = nn.Linear(3, 2, bias=False)
    weight = layer.state_dict()["weight"]
    for shape in [(3,), (4, 3), (5, 4, 3)]:
        value = rng.standard_normal(shape)
        assert np.allclose(layer(value), value @ weight.T)


def test_the_first_values_are_those_of_a_generator() -> None:
    a, b = (nn.Linear(4, 3, rng=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.state_dict()["weight"], b.state_dict()["weight"])
    assert np.abs(a.state_dict()["weight"]).max() <= 0.5


def test_a_module_without_forward() -> None:
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(np.ones(2))


def test_the_last_function_lives_as_long_as_its_module(x: Any) -> None:
    net = MLP()
    net(x)
    assert id(net) in _LAST
    place = id(net)
    del net
    gc.collect()
    assert place not in _LAST


# ---- lazy layers
def test_lazy_layers_get_their_shapes_from_the_first_input(x: Any) -> None:
    net = Chain(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(3, bias=False))
    assert "(layers.0): LazyLinear(in_features=0, out_features=5, bias=True)" in repr(net)
    assert isinstance(net.layers[0].weight, UninitializedParameter)
    assert net(x).shape == (2, 3)
    assert "(layers.0): Linear(in_features=20, out_features=5, bias=True)" in repr(net)
    assert "(layers.2): Linear(in_features=5, out_features=3, bias=False)" in repr(net)
    assert list(net.state_dict()) == ["layers.0.weight", "layers.0.bias", "layers.2.weight"]
    with pytest.raises(ShapeError):
        net(x[:, :7])


def test_lazy_layers_get_their_shapes_from_a_state_dict(x: Any) -> None:
    net, clone = Chain(nn.LazyLinear(5)), Chain(nn.LazyLinear(5))
    y = net(x)
    clone.load_state_dict(net.state_dict())
    assert "in_features=20" in repr(clone)
    assert np.array_equal(clone(x), y)


def test_a_part_of_a_lazy_layer_from_a_state_dict(x: Any) -> None:
    net, clone = nn.LazyLinear(5), nn.LazyLinear(5)
    net(x)
    clone.load_state_dict({"weight": net.state_dict()["weight"]}, strict=False)
    assert isinstance(clone.bias, UninitializedParameter)
    assert clone(x).shape == (2, 5)
    assert np.abs(clone.state_dict()["bias"]).max() <= 20**-0.5


def test_a_lazy_layer_of_a_variable_needs_an_extent() -> None:
    layer = nn.LazyLinear(2)
    with pytest.raises(CallError, match="call the module with an array first"):
        layer(T.matrix())
    with pytest.raises(CallError, match="not a scalar"):
        layer(T.scalar())
    layer(T.TensorType("float64", shape=(None, 4))())
    assert layer.in_features == 4


def test_lazy_parameters_have_no_value_yet() -> None:
    layer = nn.LazyLinear(2)
    assert repr(layer.weight) == "<UninitializedParameter>"
    for use in (layer.state_dict, lambda: list(layer.parameters())):
        with pytest.raises(CallError, match=r"weight has no value yet.*call the module once"):
            use()
    message = r"size mismatch for weight: .*\(3, 4\).* is \(2, \?\)"
    with pytest.raises(StateMismatch, match=message):
        layer.load_state_dict({"weight": np.ones((3, 4)), "bias": np.ones(2)})
    assert isinstance(layer.bias, UninitializedParameter)


# ---- parts and text
def test_parts_by_path() -> None:
    net = nn.Sequential(MLP(), nn.ModuleList([nn.ReLU()]).append(nn.Linear(1, 1)))
    assert [path for path, _ in net.named_modules()] == [
        *("", "0", "0.hidden", "0.output", "0.relu"),
        *("1", "1.0", "1.1"),
    ]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    assert (len(net), len(list(net.modules())), type(net[1])) == (2, 8, nn.ModuleList)
    assert [path for path, _ in net.named_parameters()] == [
        *("0.hidden.weight", "0.hidden.bias", "0.output.weight", "0.output.bias"),
        *("1.1.weight", "1.1.bias"),
    ]
    assert all(isinstance(m, nn.Module) for m in net[1])


def test_training_is_set_everywhere() -> None:
    net = Chain(MLP(), nn.Sequential(nn.ReLU()))
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_parameters_are_those_that_can_be_assigned_each_once() -> None:
    net = nn.Module()
    net.a = net.b = shared(1.0)
    net.c = shared(2.0, durability="constant")
    assert [path for path, _ in net.named_parameters()] == ["a"]
    assert list(net.state_dict()) == ["a", "b", "c"]


def test_the_text_of_nested_modules() -> None:
    assert repr(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


def test_a_module_is_pickled_with_its_values(x: Any) -> None:
    net = nn.Sequential(nn.Linear(20, 3), nn.LazyLinear(2))
    y = net(x)
    assert np.array_equal(pickle.loads(pickle.dumps(net))(x), y)


def test_copies_are_modules_of_their_own(x: Any) -> None:
    net = nn.Sequential(nn.Linear(20, 3), nn.LazyLinear(2))
    for clone in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert clone(x).shape == (2, 2)
        assert isinstance(net[1].weight, UninitializedParameter)
        clone[0].load_state_dict({"weight": np.zeros((3, 20)), "bias": np.zeros(3)})
        assert net[0](x).any()
        assert not clone[0](x).any()


def test_a_module_itself_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"its state_dict\(\)"):
        exprd.save(MLP(), tmp_path / "x")
