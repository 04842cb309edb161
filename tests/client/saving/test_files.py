"""Files of `save`: what comes back, what numpy sees of them, and that damage is found."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError, DamagedFile, GraphError, UnsupportedVersion
from exprd.saving import archive
from exprd_compiler.ir.dtype import numpy_dtype
from tests.client.saving.models import check_golden, golden_objects

GOLDEN = Path(__file__).parents[2] / "golden" / "files"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "model.any"


def again(value: Any, path: Path) -> Any:
    """A value after a journey through a file."""
    exprd.save(value, path)
    return exprd.load(path)


@pytest.mark.usefixtures("mode")
def test_every_kind_comes_back(path: Path) -> None:
    check_golden(again(golden_objects(), path))


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.exprd")), ids=lambda path: path.name)
def test_files_of_earlier_versions_load(file: Path) -> None:
    check_golden(exprd.load(file))


def test_there_is_a_golden_file(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(exist_ok=True)
        exprd.save(golden_objects(), GOLDEN / "version-1.exprd")
    assert list(GOLDEN.glob("*.exprd"))


def test_plain_values_come_back_as_they_were(path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    value: dict[Any, Any] = {
        "list": [1, -0.0, float("inf"), None, True, "text", 2 - 1j],
        "tuple": (array, array, np.float32(1.5)),
        "nested": OrderedDict[str, Any]([("b", {}), ("a", [])]),
        3: b"bytes",
    }
    back = again(value, path)
    assert list(back) == list(value)
    assert back["list"] == value["list"]
    assert str(back["list"][1]) == "-0.0"
    first, second, number = back["tuple"]
    assert first is second
    assert np.array_equal(first, array)
    assert (type(number), number) == (np.float32, 1.5)
    assert isinstance(back["nested"], OrderedDict)
    assert back[3] == b"bytes"


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 1, 2)])
def test_arrays_of_every_form(dtype: str, shape: tuple[int, ...], path: Path) -> None:
    value = np.ones(shape, dtype)
    back = again(value, path)
    assert (back.dtype, back.shape) == (value.dtype, shape)
    assert np.array_equal(back, value)
    assert np.array_equal(again(np.array(value, order="F"), path), value)


@pytest.mark.usefixtures("mode")
def test_buffers_are_saved_by_value(path: Path) -> None:
    assert again(exprd.put([1.0, 2.0]), path).tolist() == [1, 2]


@pytest.mark.usefixtures("mode")
def test_numpy_reads_the_parameters_without_exprd(path: Path, tmp_path: Path) -> None:
    w, b = shared([1.0, 2.0], name="w"), shared(3.0, name="b")
    exprd.save(function([], w + b), path)
    code = (
        "import sys, numpy\n"
        "sys.modules['exprd'] = sys.modules['exprd_compiler'] = None\n"
        f"file = numpy.load({str(path)!r})\n"
        "print(file['w'].tolist(), float(file['b']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "[1.0, 2.0] 3.0\n"


def test_names_of_members_are_no_paths(path: Path) -> None:
    exprd.save({"../../etc/passwd": np.zeros(1), "a/b": np.ones(1), "a_b": np.ones(2)}, path)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    assert not [name for name in names if "/" in name or name.startswith(".")]
    assert len(names) == len(set(names)) == 4
    assert exprd.load(path)["a/b"].tolist() == [1]


def test_what_cannot_be_saved_is_named(path: Path) -> None:
    with pytest.raises(CallError, match=r"a\.1 is function.*cannot be saved"):
        exprd.save({"a": [1, lambda: 0]}, path)
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    with pytest.raises(CallError, match="nested deeper"):
        exprd.save(nested, path)
    assert not path.exists()
    assert list(path.parent.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exprd.save([1], path)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            exprd.save([2], path)
    assert exprd.load(path) == [1]
    assert list(path.parent.iterdir()) == [path]


# ---- damage
@pytest.fixture
def written(path: Path) -> bytes:
    """A file with arrays, variables and structure."""
    x = T.dvector("x")
    w = shared(np.arange(40.0), name="w")
    exprd.save({"expression": x * w, "array": np.arange(100), "text": "t" * 50}, path)
    return path.read_bytes()


def content(value: Any) -> tuple[Any, ...]:
    """What can be compared of the value of `written`."""
    expression = value["expression"]
    w = expression.owner.inputs[1]
    return exprd.pp(expression), w.get_value().tolist(), value["array"].tolist(), value["text"]


def test_a_changed_bit_is_found_or_changes_nothing(
    written: bytes, path: Path, rng: np.random.Generator
) -> None:
    expected = content(exprd.load(path))
    found = 0
    for place in rng.integers(0, len(written) * 8, 500):
        data = bytearray(written)
        data[place // 8] ^= 1 << (place % 8)
        path.write_bytes(data)
        try:
            back = exprd.load(path)
        except (DamagedFile, UnsupportedVersion):
            found += 1
            continue
        assert content(back) == expected  # a date, say: nothing that is read
    assert found > 400


def test_a_cut_file_is_found(written: bytes, path: Path) -> None:
    for length in range(0, len(written), 37):
        path.write_bytes(written[:length])
        with pytest.raises(DamagedFile):
            exprd.load(path)


def rewritten(path: Path, **changes: Any) -> None:
    """Writes the file again with another manifest."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = {**json.loads(members.pop(archive.MANIFEST)), **changes}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(archive.MANIFEST, json.dumps(manifest))
        for name, data in members.items():
            file.writestr(name, data)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"version": 99}, UnsupportedVersion, "newer exprd"),
    ({"format": "other"}, DamagedFile, "not one of exprd.save"),
    ({"members": {}}, DamagedFile, "is missing, or not in"),
    ({"members": []}, DamagedFile, "lists no members"),
    ({"structure": 1}, DamagedFile, "not one of exprd.save"),
    ({"structure": {"value": {"object": 3}, "objects": []}}, DamagedFile, "object 3"),
    ({"structure": {"value": {"object": -1}, "objects": []}}, DamagedFile, "object -1"),
    ({"structure": {"value": {"array": "no"}, "objects": []}}, DamagedFile, "no member 'no'"),
    ({"structure": {"value": {"eval": "1"}, "objects": []}}, DamagedFile, "holds 'eval'"),
    ({"structure": {"value": {"dict": [[[], 1]]}, "objects": []}}, DamagedFile, "holds"),
    (
        {"structure": {"value": None, "objects": [{"kind": "x", "version": 1, "data": []}]}},
        UnsupportedVersion,
        "'x' in version 1",
    ),
    (
        {"structure": {"value": None, "objects": [{"kind": "type", "version": 1, "data": []}]}},
        DamagedFile,
        "structure",
    ),
]


@pytest.mark.parametrize(("changes", "error", "text"), WRONG)
def test_a_wrong_manifest_is_refused(
    written: bytes, path: Path, changes: Any, error: type[Exception], text: str
) -> None:
    assert written
    rewritten(path, **changes)
    with pytest.raises(error, match=text):
        exprd.load(path)


def test_compressed_members_are_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo(archive.MANIFEST), "{}")
        file.writestr("bomb.npy", b"\0" * 10_000_000)
    with pytest.raises(DamagedFile, match=r"bomb\.npy.* is compressed"):
        exprd.load(path)


def test_other_files_are_refused(path: Path) -> None:
    path.write_bytes(b"not a zip")
    with pytest.raises(DamagedFile, match="no file of"):
        exprd.load(path)
    with pytest.raises(FileNotFoundError):
        exprd.load(path.with_name("missing"))


# ---- graphs as bytes
@pytest.mark.usefixtures("mode")
def test_graphs_as_bytes() -> None:
    x, w = T.dvector("x"), shared([1.0, 2.0], name="w")
    f = function([x], (x * w).sum(), updates={w: w + 1})
    graph = exprd.load_graph(exprd.dump_graph(f))
    assert [n.name for n in graph.inputs] == ["x"]
    assert [n.name for n in graph.shared] == ["w"]
    assert len(graph.updates) == 1
    y = exprd.load_graph(exprd.dump_graph([T.exp(x), x + 1]))
    exp, plus = function(list(y.inputs), list(y.outputs))([1.0])
    np.testing.assert_allclose([exp[0], plus[0]], [np.e, 2])
    assert exprd.dump_graph(f) == exprd.dump_graph(f)
    with pytest.raises(CallError, match="no graph"):
        exprd.dump_graph([1, "a"])
    with pytest.raises(GraphError, match="no graph"):
        exprd.load_graph(b"\xff\xff\xff")


@pytest.mark.usefixtures("mode")
def test_bfloat16_comes_back(path: Path) -> None:
    numbers = np.array([1.5, -0.0, 3.0e38, np.inf]).astype(numpy_dtype("bfloat16"))
    w = shared(numbers, name="w")
    found = again({"a": numbers, "b": numbers, "one": numbers[2], "w": w}, path)
    assert found["a"] is found["b"]
    for value in (found["a"], found["w"].get_value()):
        assert value.dtype == numbers.dtype
        np.testing.assert_array_equal(value.view("uint16"), numbers.view("uint16"))
    assert found["one"].dtype == numbers.dtype
    assert float(found["one"]) == float(numbers[2])
    assert np.load(path)["w"].tolist() == numbers.view("uint16").tolist()
