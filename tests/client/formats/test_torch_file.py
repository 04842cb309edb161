"""Files that torch 2.13 wrote (tools/torch_files.py), read without torch."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd
from exprd.errors import DamagedFile, LimitExceeded, UnsupportedVersion
from exprd.formats import load_torch
from exprd.formats.torch_file import read_torch

GOLDEN = Path(__file__).parents[2] / "golden" / "torch"
DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16"),
    *("float32", "float64", "complex64", "complex128", "uint16", "uint32", "uint64"),
)
FILES = ("tensors.pt", "tensors-old.pt", "tensors-protocol5.pt")


def members(name: str = "tensors.pt") -> dict[str, bytes]:
    """The members of a golden file."""
    with zipfile.ZipFile(GOLDEN / name) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members, with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_pickle(data: bytes, storage: bytes = bytes(16)) -> bytes:
    """A file with a pickle and one storage."""
    content = {"a/data.pkl": data, "a/data/0": storage, "a/version": b"3\n"}
    return packed(content)


def tensor_pickle(
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    length: int = 4,
    marks: str = "",
    dtype: str = "Float",
) -> bytes:
    """The pickle of one tensor of float32, in the text form of protocol 0 for the numbers."""

    def number(value: int) -> str:
        return f"I{value}\n"

    def numbers(values: tuple[int, ...]) -> str:
        return "(" + "".join(map(number, values)) + "t"

    storage = f"(Vstorage\nctorch\n{dtype}Storage\nV0\nVcpu\n{number(length)}tQ"
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}{number(offset)}"
    call += f"{numbers(shape)}{numbers(strides)}\x89ccollections\nOrderedDict\n)R{marks}tR."
    return b"\x80\x02" + call.encode("latin1")


# ---- what comes back
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(file: str, name: str) -> None:
    array = load_torch(GOLDEN / file)[name]
    assert array.dtype.name == name
    assert array.tolist() == [0, 1, 1]
    array[:] = 0  # it is the caller's own


@pytest.mark.parametrize("file", FILES)
def test_views_and_shared_storages(file: str) -> None:
    found = load_torch(GOLDEN / file)
    base = np.arange(12, dtype="float32")
    assert np.array_equal(found["base"], base)
    assert np.array_equal(found["part"], base[2:8].reshape(2, 3).T)
    found["base"][2] = 77
    assert found["part"][0, 0] == 77
    assert np.array_equal(found["expanded"], np.full((2, 5), 3.0))
    assert not found["expanded"].flags.writeable
    assert (found["scalar"].shape, int(found["scalar"])) == ((), 5)
    assert found["empty"].shape == (0, 3)
    assert np.array_equal(found["parameter"], [0, 1])


@pytest.mark.parametrize("file", FILES)
def test_views_that_are_computed_when_they_are_read(file: str) -> None:
    found = load_torch(GOLDEN / file)
    assert found["conjugate"].tolist() == [1 - 2j, 3 + 4j]
    assert found["negative"].tolist() == [-2, 4]


@pytest.mark.parametrize("file", FILES)
def test_plain_data(file: str) -> None:
    expected = [1, -(2**40), 2.5, None, True, "text \u00e9", ("a", 2), (1, 2)]
    assert load_torch(GOLDEN / file)["plain"] == expected


@pytest.mark.parametrize("file", ["mlp.pt", "mlp-old.pt"])
def test_load_knows_the_file_by_its_content(file: str) -> None:
    state = exprd.load(GOLDEN / file)
    assert isinstance(state, OrderedDict)
    shapes = {name: x.shape for name, x in state.items()}
    assert list(shapes) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    assert shapes["hidden.weight"] == (4, 3)
    assert np.array_equal(state["hidden.weight"], np.arange(12).reshape(4, 3) / 8 - 0.5)


def test_bfloat16_without_its_package_is_float32() -> None:
    program = f"""
import sys
sys.modules["ml_dtypes"] = None
import exprd
x = exprd.load({str(GOLDEN / "tensors.pt")!r})["bfloat16"]
y = exprd.load({str(GOLDEN / "tensors.safetensors")!r})["bfloat16"]
print(x.dtype, x.tolist(), y.dtype, y.tolist())
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "float32 [0.0, 1.0, 1.0] float32 [0.0, 1.0, 1.0]"


def test_a_file_of_a_machine_with_the_high_byte_first() -> None:
    content = members("mlp.pt")
    folder = next(iter(content)).partition("/")[0]
    content[f"{folder}/byteorder"] = b"big"
    for name, data in content.items():
        if "/data/" in name:
            content[name] = np.frombuffer(data, "<f4").astype(">f4").tobytes()
    found = read_torch(packed(content))
    expected = load_torch(GOLDEN / "mlp.pt")
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert found["hidden.bias"].dtype.isnative


# ---- what is refused
@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("module", "torch.nn.modules.linear.Linear"),
        ("float8", "torch.float8_e4m3fn"),
        ("sparse", "torch._utils._rebuild_sparse_tensor"),
        ("numpy", "numpy._core.multiarray._reconstruct"),
        ("dtype", "torch.float32"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(file: str, named: str) -> None:
    with pytest.raises(DamagedFile, match=named):
        load_torch(GOLDEN / f"refused-{file}.pt")


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("this ran",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_code_is_run(protocol: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DamagedFile, match=r"print, which is not loaded"):
        read_torch(with_pickle(pickle.dumps(Evil(), protocol)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"bytes", 1 + 2j, {(1, 2): 3}, Path("x"), np.float64(1.0), range(3), [1, int]],
    ids=repr,
)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_other_objects_are_refused(value: object, protocol: int) -> None:
    with pytest.raises(DamagedFile):
        read_torch(with_pickle(pickle.dumps(value, protocol)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_of_every_protocol(protocol: int) -> None:
    shared = [1, "x" * 300]
    value = OrderedDict(
        a=[shared, shared], b=(None, True, 1.5, -3, 2**80), c={}, d=((), [], {1: 2})
    )
    found = read_torch(with_pickle(pickle.dumps(value, protocol)))
    assert found == value
    assert found["a"][0] is found["a"][1]


def test_a_module_in_the_old_format_is_refused_by_name() -> None:
    head = (GOLDEN / "mlp-old.pt").read_bytes()
    place = head.index(b"ccollections")
    start = head.rindex(b"\x80\x02", 0, place)
    data = head[:start] + b"\x80\x02(Vmodule\nc__main__\nNet\nVfile\nVsource\ntQ."
    with pytest.raises(DamagedFile, match=r"__main__\.Net"):
        read_torch(data)


def test_a_program_is_refused() -> None:
    content = {**members("mlp.pt"), "mlp/constants.pkl": b"."}
    with pytest.raises(DamagedFile, match="TorchScript"):
        read_torch(packed(content))


def test_later_versions_are_named() -> None:
    content = members("mlp.pt")
    folder = next(iter(content)).partition("/")[0]
    with pytest.raises(UnsupportedVersion, match="11"):
        read_torch(packed({**content, f"{folder}/version": b"11\n"}))
    old = (GOLDEN / "mlp-old.pt").read_bytes().replace(b"\x80\x02M\xe9\x03.", b"\x80\x02M\xea\x03.")
    with pytest.raises(UnsupportedVersion, match="old format"):
        read_torch(old)


# ---- what does not fit
def test_the_tensor_of_these_tests_is_one() -> None:
    data = with_pickle(tensor_pickle(1, (2,), (2,)), np.arange(4, dtype="float32").tobytes())
    assert read_torch(data).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "match"),
    [
        (0, (5,), (1,), "ends behind"),
        (4, (), (), "ends behind"),
        (0, (2, 2), (3, 1), "ends behind"),
        (0, (2**62, 2**62), (2**62, 2**62), "ends behind"),
        (0, (2,), (-1,), "no size"),
        (-1, (2,), (1,), "no size"),
        (0, (-2,), (1,), "no size"),
        (0, (2**70,), (0,), "no size"),
        (0, (2,), (1, 1), "strides"),
        (0, (1,) * 65, (1,) * 65, "at most 64"),
        (0, (0, 2**62, 2**62), (1, 1, 1), "damaged"),
        (0, (2**62, 2**62), (0, 0), "damaged"),
    ],
)
def test_tensors_that_leave_their_storage(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], match: str
) -> None:
    with pytest.raises(DamagedFile, match=match):
        read_torch(with_pickle(tensor_pickle(offset, shape, strides)))


@pytest.mark.parametrize("length", [-1, 0, 3, 5, 2**62])
def test_storages_of_another_length(length: int) -> None:
    with pytest.raises(DamagedFile, match="16 bytes"):
        read_torch(with_pickle(tensor_pickle(0, (), (), length=length)))


def test_a_view_costs_nothing_however_large() -> None:
    found = read_torch(with_pickle(tensor_pickle(0, (10**9, 10**6), (0, 0))))
    assert found.shape == (10**9, 10**6)


def test_computed_views_are_limited() -> None:
    data = with_pickle(tensor_pickle(0, (10**9,), (0,), marks="}Vconj\n\x88s"))
    with pytest.raises(LimitExceeded, match="far larger than the file"):
        read_torch(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02ca\\T\nb\n.",  # a name with an odd escape, of which pickletools warns
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02N",
        b"\x80\x02NN.",
        b"\x80\x02h\x00.",
        b"\x80\x02\x85.",
        b"\x80\x02t.",
        b"\x80\x02Na.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02(K\x01d.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02I" + b"9" * 5000 + b"\n.",
        b"\x80\x02\xff.",
        b"\x80\x02ccollections\nOrderedDict\n(K\x01K\x02tR.",
        b"\x80\x02]K\x01b.",
        b"\x80\x02K\x07Q.",
    ],
)
def test_a_pickle_that_makes_no_sense(data: bytes) -> None:
    with pytest.raises(DamagedFile, match=r"the pickle|not loaded"):
        read_torch(with_pickle(data))


def test_a_list_that_holds_itself_is_plain_data() -> None:
    found = read_torch(with_pickle(b"\x80\x02]q\x00h\x00a."))
    assert found[0] is found


def test_unknown_marks_of_a_tensor() -> None:
    with pytest.raises(DamagedFile, match="zero"):
        read_torch(with_pickle(tensor_pickle(0, (2,), (1,), marks="}Vzero\n\x88s")))


def test_a_bool_that_is_none() -> None:
    data = with_pickle(tensor_pickle(0, (2,), (1,), length=16, dtype="Bool"), b"\x02" * 16)
    with pytest.raises(DamagedFile, match="neither 0 nor 1"):
        read_torch(data)


def test_quantized_storages_are_named() -> None:
    with pytest.raises(DamagedFile, match="QInt8Storage"):
        read_torch(with_pickle(tensor_pickle(0, (2,), (1,), dtype="QInt8")))


# ---- zips
def test_members_may_not_be_compressed() -> None:
    with pytest.raises(DamagedFile, match="compressed"):
        read_torch(packed(members("mlp.pt"), zipfile.ZIP_DEFLATED))


def test_members_may_not_be_larger_than_the_file() -> None:
    data = packed({**members("mlp.pt"), "mlp/bomb": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedFile, match="larger than itself"):
        read_torch(data)


def test_missing_members() -> None:
    content = members("mlp.pt")
    for name in [n for n in content if n.endswith(("/version", "/data/0", "/data.pkl"))]:
        with pytest.raises(DamagedFile, match=r"missing|no data\.pkl"):
            read_torch(packed({n: data for n, data in content.items() if n != name}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(100), b"{}", bytes(64)])
def test_what_is_no_file_of_torch(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile):
        read_torch(data)
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DamagedFile):
        exprd.load(tmp_path / "x")


def test_a_flipped_bit_is_an_error_or_changes_nothing_read(rng: np.random.Generator) -> None:
    """The zip's checksums cover every member; what they do not cover is no data."""
    data = (GOLDEN / "mlp.pt").read_bytes()
    expected = load_torch(GOLDEN / "mlp.pt")
    refused = 0
    for place in rng.choice(len(data), 500, replace=False):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        try:
            found = read_torch(bytes(changed))
        except (DamagedFile, UnsupportedVersion):
            refused += 1
            continue
        assert list(found) == list(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert refused > 100


def test_damage_behind_right_checksums(rng: np.random.Generator) -> None:
    """Whatever the pickle says, the answer is data or a clear error."""
    content = members("tensors.pt")
    name = next(name for name in content if name.endswith("data.pkl"))
    outcomes = {"error": 0, "data": 0}
    for _ in range(600):
        pickled = bytearray(content[name])
        pickled[int(rng.integers(len(pickled)))] = int(rng.integers(256))
        try:
            read_torch(packed({**content, name: bytes(pickled)}))
            outcomes["data"] += 1
        except (DamagedFile, LimitExceeded):
            outcomes["error"] += 1
    assert min(outcomes.values()) > 50


def test_damage_in_the_old_format(rng: np.random.Generator) -> None:
    """This format has no checksums: a changed element comes back as it is, all else is an error."""
    data = (GOLDEN / "tensors-old.pt").read_bytes()
    for _ in range(600):
        changed = bytearray(data[: int(rng.integers(1, len(data)))] if rng.random() < 0.3 else data)
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        try:
            found = read_torch(bytes(changed))
            assert isinstance(found, dict)
        except (DamagedFile, UnsupportedVersion, LimitExceeded):
            continue
