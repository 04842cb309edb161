"""Files for torch: `written.pt` is what torch 2.13 was shown to read (tools/torch_files.py)."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
from exprd.errors import CallError
from exprd.formats import load_torch, save_torch
from exprd_compiler.ir.half import converted

GOLDEN = Path(__file__).parents[2] / "golden" / "torch" / "written.pt"
DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16"),
    *("float32", "float64", "complex64", "complex128", "uint16", "uint32", "uint64"),
)


def content() -> dict[str, Any]:
    """What the golden file holds."""
    arrays: dict[str, Any] = {name: converted(np.array([0.0, 1.0, 1.0]), name) for name in DTYPES}
    return {
        **arrays,
        "again": arrays["float32"],
        "turned": np.arange(6.0).reshape(2, 3).T,
        "empty": np.zeros((0, 3), "float32"),
        "scalar": np.float32(2.5),
        "plain": [1, -(2**40), 2**80, 2.5, None, True, "text \u00e9", ("a", ()), {1: []}],
    }


def test_the_file_is_the_one_that_torch_reads(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    save_torch(content(), tmp_path / "x.pt")
    if request.config.getoption("--update-golden"):  # then show it to torch again
        GOLDEN.write_bytes((tmp_path / "x.pt").read_bytes())
    assert (tmp_path / "x.pt").read_bytes() == GOLDEN.read_bytes()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    expected = content()
    save_torch(expected, tmp_path / "x.pt")
    found = exprd.load(tmp_path / "x.pt")
    assert list(found) == list(expected)
    for name in (*DTYPES, "turned", "empty", "scalar"):
        assert found[name].dtype == expected[name].dtype
        assert np.array_equal(found[name], expected[name])
    assert found["plain"] == expected["plain"]
    assert found["again"] is found["float32"]


def test_what_torch_wrote_is_written_again(tmp_path: Path) -> None:
    state = load_torch(GOLDEN.with_name("mlp.pt"))
    save_torch(state, tmp_path / "x.pt")
    found = load_torch(tmp_path / "x.pt")
    assert isinstance(found, OrderedDict)
    assert all(found[name].tobytes() == x.tobytes() for name, x in state.items())


def test_an_array_that_is_met_twice_is_stored_once(tmp_path: Path) -> None:
    x = np.ones(100)
    save_torch([x, {"x": x}, x + 0], tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        assert sorted(n for n in archive.namelist() if "/data/" in n) == [
            "archive/data/0",
            "archive/data/1",
        ]
    first, second, third = load_torch(tmp_path / "x.pt")
    assert first is second["x"]
    assert third is not first


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"x": [{1, 2}]}, r"the value\['x'\]\[0\] is set"),
        ([np.array(["a"])], r"the value\[0\] has dtype <U1"),
        ({(1, 2): 3}, "key of tuple"),
        (2**3000, "255 bytes"),
        (exprd.shared(1.0), "TensorSharedVariable"),
    ],
)
def test_what_cannot_be_written(value: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=match):
        save_torch(value, tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_what_holds_itself_cannot_be_written(tmp_path: Path) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CallError, match="nested deeper"):
        save_torch(value, tmp_path / "x.pt")
