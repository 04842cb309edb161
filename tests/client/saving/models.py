"""The objects whose pickles and files are golden: the same in every version."""

from __future__ import annotations

from typing import Any

import numpy as np

import exprd.tensor as T
from exprd import In, Mode, Out, function, shared
from exprd.printing import Print

__all__ = ["golden_objects"]


def golden_objects() -> dict[str, Any]:
    """One object for each kind of pickle, sharing what can be shared."""
    x, s = T.dvector("x"), T.dscalar("s")
    w = shared(np.arange(3.0), name="w")
    counter = shared(np.int64(7), name="counter")
    counter.default_update = counter + 1
    hidden = T.exp(x * w)
    train = function(
        [x, In(s, value=2.0, update=s + 1), In(T.dscalar("rate"), value=0.5)],
        {"loss": (hidden * s).sum(), "count": counter},
        updates={w: w + x},
        name="train",
        on_unused_input="ignore",
        mode=Mode("cvm", "fast_run").excluding("local_log1p"),
    )
    return {
        "variables": [x, hidden, T.constant([1.5, 2.5])],
        "shared": [w, counter],
        "function": train,
        "declarations": [In(x, name="n", value=[1.0]), Out(hidden, borrow=True)],
        "types": [x.type, T.TensorType("float32", (True, False)), Mode("py", None)],
        "print": Print("message", attrs=("shape",)),
    }


def check_golden(found: dict[str, Any]) -> None:
    """Asserts that the objects do what they did."""
    x, hidden, constant = found["variables"]
    w, counter = found["shared"]
    train = found["function"]
    assert (x.name, x.dtype, hidden.dtype) == ("x", "float64", "float64")
    assert constant.data.tolist() == [1.5, 2.5]
    assert (w.name, w.get_value().tolist(), int(counter.get_value())) == ("w", [0, 1, 2], 7)
    assert set(train.get_shared()) == {w, counter}
    value = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(hidden.eval({x: value}), np.exp(value * [0, 1, 2]))
    first = train(value)
    assert first["count"] == 7
    np.testing.assert_allclose(first["loss"], 2 * np.exp(value * [0, 1, 2]).sum())
    assert (float(train["s"]), float(train["rate"]), int(counter.get_value())) == (3, 0.5, 8)
    assert w.get_value().tolist() == [0, 1.5, 3]
    assert train.name == "train"
    entry, out = found["declarations"]
    assert (entry.variable, entry.name, out.variable, out.borrow) == (x, "n", hidden, True)
    assert found["types"][0] == x.type
    assert found["types"][1].broadcastable == (True, False)
    assert found["types"][2].linker == "py"
    assert found["print"].attrs == ("shape",)
