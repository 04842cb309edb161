"""The safetensors format: against the package of that name, and the rules one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import exprd
from exprd.errors import CallError, DamagedFile
from exprd.formats import load_safetensors, safetensors_metadata, save_safetensors
from exprd.formats.safetensors import read_safetensors

GOLDEN = Path(__file__).parents[2] / "golden" / "torch" / "tensors.safetensors"
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
)
SHAPES = ((), (0,), (3,), (2, 0, 4), (2, 3, 4))


@pytest.fixture
def tensors(rng: np.random.Generator) -> dict[str, Any]:
    """Arrays of every dtype and shape."""
    return {
        f"{dtype} {shape}": np.asarray(rng.integers(0, 2, shape)).astype(dtype)
        for dtype in DTYPES
        for shape in SHAPES
    }


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether two dicts of arrays are equal in every bit, whatever their order."""
    return found.keys() == expected.keys() and all(
        (x.dtype, x.shape, x.tobytes())
        == (expected[n].dtype, expected[n].shape, expected[n].tobytes())
        for n, x in found.items()
    )


def file_of(header: Any, body: bytes = b"") -> bytes:
    """A file with a header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(begin: int = 0, end: int = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    """An entry of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# ---- both ways
def test_the_package_reads_what_is_written(tensors: dict[str, Any], tmp_path: Path) -> None:
    save_safetensors(tensors, tmp_path / "x", {"model": "one"})
    assert same(safetensors.numpy.load_file(tmp_path / "x"), tensors)
    with safetensors.safe_open(tmp_path / "x", "numpy") as file:
        assert file.metadata() == {"model": "one"}


def test_what_the_package_writes_is_read(tensors: dict[str, Any], tmp_path: Path) -> None:
    safetensors.numpy.save_file(tensors, tmp_path / "x", {"model": "one"})
    assert same(load_safetensors(tmp_path / "x"), tensors)
    assert safetensors_metadata(tmp_path / "x") == {"model": "one"}


def test_equal_files_but_for_the_order_of_equal_widths(
    tensors: dict[str, Any], tmp_path: Path
) -> None:
    save_safetensors(tensors, tmp_path / "ours")
    safetensors.numpy.save_file(tensors, tmp_path / "theirs")
    assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size


def test_a_golden_file_loads_by_its_content() -> None:
    found = exprd.load(GOLDEN)
    assert found["bfloat16"].dtype.name == "bfloat16"
    assert all(found[name].tolist() == [0, 1, 1] for name in (*DTYPES, "bfloat16"))
    assert (found["scalar"].shape, found["empty"].shape) == ((), (0, 3))
    found["float32"][:] = 5  # it is the caller's own


def test_any_order_of_bytes_and_axes_is_written(tmp_path: Path) -> None:
    x = np.arange(6, dtype=">f4").reshape(2, 3).T
    half = load_safetensors(GOLDEN)["bfloat16"]
    save_safetensors({"x": x, "half": half, "number": np.float32(2)}, tmp_path / "x")
    found = load_safetensors(tmp_path / "x")
    assert np.array_equal(found["x"], x)
    assert found["half"].tobytes() == half.tobytes()
    assert found["number"].shape == ()


def test_tensors_are_aligned(tmp_path: Path) -> None:
    arrays = {"a": np.ones(3, "int8"), "b": np.ones(5), "c": np.ones(1, "int16")}
    save_safetensors(arrays, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    for name, row in header.items():
        assert row["data_offsets"][0] % arrays[name].itemsize == 0


def test_no_tensors_at_all(tmp_path: Path) -> None:
    save_safetensors({}, tmp_path / "x")
    assert load_safetensors(tmp_path / "x") == {}
    assert safetensors.numpy.load_file(tmp_path / "x") == {}


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"x": [1, 2]}, "x' is list"),
        ({1: np.ones(2)}, "cannot name"),
        ({"__metadata__": np.ones(2)}, "cannot name"),
        ({"x": np.ones(2, "complex128")}, "no complex128"),
        ({"x": np.array(["a"])}, "dtype <U1"),
    ],
)
def test_what_cannot_be_written(value: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=match):
        save_safetensors(value, tmp_path / "x")
    with pytest.raises(CallError, match="strings to strings"):
        save_safetensors({}, tmp_path / "x", {"a": 1})
    assert list(tmp_path.iterdir()) == []


# ---- the rules
def test_the_file_of_these_tests_is_one() -> None:
    assert read_safetensors(file_of({"x": entry()}, bytes(8)))["x"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "shorter"),
        (bytes(7), "shorter"),
        ((100).to_bytes(8, "little") + b"{}", "does not fit"),
        ((2**63).to_bytes(8, "little") + b"{}", "does not fit"),
        (file_of(b""), "begin with"),
        (file_of(b" {}"), "begin with"),
        (file_of(b"[]"), "begin with"),
        (file_of(b"{"), "no JSON"),
        (file_of(b'{"x": \xff}'), "no JSON"),
        (file_of(b'{"a":' * 50000), "no JSON"),
        (file_of(b'{"a":' + b"9" * 5000 + b"}"), "no JSON"),
        (file_of(b'{"x": 1, "x": 1}'), "twice"),
        (file_of({"__metadata__": {"a": 1}}), "strings to strings"),
        (file_of({"__metadata__": []}), "strings to strings"),
        (file_of({"x": 1}), "says not"),
        (file_of({"x": {"dtype": "F32", "shape": []}}), "says not"),
        (file_of({"x": {**entry(), "more": 1}}, bytes(8)), "says not"),
        (file_of({"x": entry(dtype="F8_E4M3")}, bytes(8)), "F8_E4M3"),
        (file_of({"x": entry(dtype="f32")}, bytes(8)), "f32"),
        (file_of({"x": entry(dtype=["F32"])}, bytes(8)), "dtype"),
        (file_of({"x": entry(shape=[-2])}, bytes(8)), "no size"),
        (file_of({"x": entry(shape=[2.0])}, bytes(8)), "no size"),
        (file_of({"x": entry(shape=[True, 2])}, bytes(8)), "no size"),
        (file_of({"x": entry(shape="2")}, bytes(8)), "no list"),
        (file_of({"x": entry(shape=[1] * 65)}, bytes(8)), "no list"),
        (file_of({"x": entry(shape=[2**62, 2**62])}, bytes(8)), "has 8 bytes"),
        (file_of({"x": entry(shape=[0, 2**62, 2**62], end=0)}), "x"),
        (file_of({"x": entry(-8, 0)}, bytes(8)), "no size"),
        (file_of({"x": entry(8, 0)}, bytes(8)), "has -8 bytes"),
        (file_of({"x": {**entry(), "data_offsets": [0, 8, 8]}}, bytes(8)), "3 entries"),
        (file_of({"x": entry(0, 4)}, bytes(8)), "has 4 bytes"),
        (file_of({"x": entry()}, bytes(7)), "end at 8"),
        (file_of({"x": entry()}, bytes(9)), "end at 8"),
        (file_of({"x": entry(1, 9)}, bytes(9)), "begins at 1"),
        (file_of({"x": entry(), "y": entry()}, bytes(8)), "begins at 0"),
        (file_of({"x": entry(), "y": entry(4, 12)}, bytes(12)), "begins at 4"),
        (file_of({"x": entry(), "y": entry(12, 20)}, bytes(20)), "begins at 12"),
        (file_of({}, bytes(1)), "end at 0"),
        (file_of({"x": entry(dtype="BOOL", end=2)}, b"\x00\x02"), "neither 0 nor 1"),
    ],
    ids=lambda value: None if isinstance(value, str) else "file",
)
def test_a_broken_rule_is_named(data: bytes, match: str) -> None:
    with pytest.raises(DamagedFile, match=match):
        read_safetensors(data)


def test_what_the_package_refuses_is_refused(rng: np.random.Generator) -> None:
    """One byte of the header changed: the two readers agree, dtypes without an array aside."""
    data = GOLDEN.read_bytes()
    size = int.from_bytes(data[:8], "little")
    accepted = 0
    for _ in range(400):
        changed = bytearray(data)
        changed[int(rng.integers(8 + size))] = int(rng.integers(32, 127))
        try:
            names = set(read_safetensors(bytes(changed)))
        except DamagedFile:
            continue
        accepted += 1
        assert {name for name, _ in safetensors.deserialize(bytes(changed))} == names
    assert 10 < accepted < 390


def test_a_cut_file_is_refused() -> None:
    data = GOLDEN.read_bytes()
    for length in range(len(data)):
        with pytest.raises(DamagedFile):
            read_safetensors(data[:length])
