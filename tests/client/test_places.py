"""The modules where Theano's users look for names: what they hold, and that it is the same."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.gof import graph, link

PLACES = {
    "exprd.tensor.basic": "matrix exp dot switch alloc TensorType",
    "exprd.tensor.type": "TensorType",
    "exprd.tensor.var": "TensorVariable TensorConstant",
    "exprd.tensor.sharedvar": "TensorSharedVariable",
    "exprd.tensor.sort": "sort argsort topk argtopk topk_and_argtopk",
    "exprd.tensor.subtensor": "set_subtensor inc_subtensor take",
    "exprd.compile": "function In Out Mode Param shared OpFromGraph",
    "exprd.compile.io": "In Out Param",
    "exprd.compile.mode": "Mode",
    "exprd.compile.function": "function",
    "exprd.compile.function_module": "Function",
    "exprd.compile.sharedvalue": "shared",
    "exprd.compile.builders": "OpFromGraph",
    "exprd.compile.pfunc": "In Param",
    "exprd.configparser": "config change_flags",
    "exprd.configdefaults": "config",
    "exprd.updates": "OrderedUpdates",
}


@pytest.mark.parametrize("module", PLACES)
def test_a_place_has_the_very_names(module: str) -> None:
    place = importlib.import_module(module)
    for name in PLACES[module].split():
        known = getattr(T, name) if hasattr(T, name) else getattr(exprd, name)
        assert getattr(place, name) is known


def test_functions_keep_their_names_beside_modules_that_share_them() -> None:
    for module, name in (
        ("exprd.tensor", "sort"),
        ("exprd.tensor", "var"),
        ("exprd.compile", "function"),
    ):
        importlib.import_module(f"{module}.{name}")
        assert callable(getattr(importlib.import_module(module), name))


def test_a_star_import_hides_no_type_of_python() -> None:
    names: dict[str, object] = {}
    exec("from exprd.tensor import *", names)
    assert "type" not in names
    exec("from exprd.tensor.basic import *", names)
    assert names["matrix"] is T.matrix


def test_leaves_and_ancestors_of_variables() -> None:
    x, y = T.dscalars("x", "y")
    w = exprd.shared(1.0, name="w")
    z = x * y
    out = T.exp(z + w) * x + 2
    leaves = graph.inputs([out])
    assert [v.name for v in leaves if not isinstance(v, T.TensorConstant)] == ["x", "y", "w"]
    assert len(leaves) == 4
    above = graph.ancestors([out])
    assert above[0] == out
    assert len(above) == len(set(above)) == 9
    assert y not in graph.ancestors([out], blockers=[z])
    assert graph.inputs([x]) == [x]


def test_a_chain_has_ancestors_without_recursion() -> None:
    x = v = T.dscalar("x")
    for _ in range(5_000):
        v = -v
    assert len(graph.ancestors([v])) == 5_001
    assert graph.inputs([v]) == [x]


@pytest.mark.parametrize(
    ("linker", "name"),
    [
        (link.CLinker(), "c"),
        (link.PerformLinker(), "py"),
        (link.OpWiseCLinker(), "c|py"),
        (link.OpWiseCLinker(allow_gc=False), "c|py_nogc"),
        (link.VM_Linker(), "vm"),
        (link.VM_Linker(use_cloop=True, allow_gc=False), "cvm_nogc"),
    ],
)
def test_linkers_by_class_are_linkers_by_name(linker: str, name: str) -> None:
    mode = exprd.Mode(optimizer="fast_run", linker=linker)
    assert mode.linker == name
    x = T.dvector("x")
    assert exprd.function([x], x.sum(), mode=mode)([1, 2]) == 3


def test_products_with_logarithms_are_0_at_0(mode: str) -> None:
    x, y = T.dvectors("x", "y")
    f = exprd.function([x, y], [T.xlogx.xlogx(x), T.xlogx.xlogy0(x, y)])
    one, two = f([0, 1, 2], [0, 3, 4])
    np.testing.assert_allclose(one, [0, 0, 2 * np.log(2)])
    np.testing.assert_allclose(two, [0, np.log(3), 2 * np.log(4)])


def test_conversions_by_name(mode: str) -> None:
    x = T.dvector("x")
    dtypes = ("bool", "int8", "uint16", "float16", "float32", "complex64")
    outputs = [getattr(T, f"convert_to_{dtype}")(x) for dtype in dtypes]
    got = exprd.function([x], [*outputs, T.iround(x), T.make_vector(x.sum(), 1), T.copy(x)])(
        [0.5, 1.6, 2.5]
    )
    assert tuple(value.dtype.name for value in got[:6]) == dtypes
    assert got[1].tolist() == [0, 1, 2]
    assert (got[6].dtype, got[6].tolist()) == ("int64", [0, 2, 2])
    assert got[7].tolist() == [pytest.approx(4.6), 1]
    assert got[8].tolist() == [0.5, 1.6, 2.5]
    assert T.alloc_diag(T.dvector()).ndim == 2
    assert T.extract_diag(T.dmatrix()).ndim == 1


def test_the_lazy_conditional_is_not_there_yet() -> None:
    place = importlib.import_module("exprd.ifelse")
    assert not hasattr(place, "ifelse")
