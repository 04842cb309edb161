"""misc.pkl_utils: zips of a pickle and its arrays, as Theano writes them."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd.tensor as T
from exprd import function, shared
from exprd.errors import CallError
from exprd.misc.pkl_utils import (
    CompatUnpickler,
    PersistentNdarrayID,
    PersistentSharedVariableID,
    StripPickler,
    dump,
    load,
)


def zipped(value: Any, **options: Any) -> io.BytesIO:
    """The file of a value, at its start."""
    file = io.BytesIO()
    dump(value, file, **options)
    file.seek(0)
    return file


@pytest.mark.usefixtures("mode")
def test_names_of_the_members() -> None:
    foo_1, foo_2, unnamed = shared(0, name="foo"), shared(1, name="foo"), shared(2)
    file = zipped((foo_1, foo_2, unnamed))
    archive = np.load(file)
    assert sorted(archive.files) == ["array_0", "foo", "foo_2", "pkl"]
    assert [int(archive[name]) for name in ("foo", "foo_2", "array_0")] == [0, 1, 2]
    file.seek(0)
    back = load(file)
    assert [int(v.get_value()) for v in back] == [0, 1, 2]
    assert [v.name for v in back] == ["foo", "foo", None]


def test_names_can_be_demanded() -> None:
    for value, options, text in [
        (shared(1), {"allow_unnamed": False}, "no name"),
        ([shared(1, name="a"), shared(2, name="a")], {"allow_duplicates": False}, "called 'a'"),
        (shared(1, name="pkl"), {}, "cannot be called 'pkl'"),
    ]:
        with pytest.raises(ValueError, match=text):
            zipped(value, persistent_id=partial(PersistentSharedVariableID, **options))


@pytest.mark.usefixtures("mode")
def test_functions_and_arrays_keep_their_identity() -> None:
    w = shared(np.arange(3.0), name="w")
    array = np.ones(2)
    f = function([], w.sum(), updates={w: w + 1})
    file = zipped({"w": w, "f": f, "arrays": [array, array]})
    assert sorted(np.load(file).files) == ["array_0", "pkl", "w"]
    file.seek(0)
    back = load(file)
    assert back["f"].get_shared() == (back["w"],)
    assert back["arrays"][0] is back["arrays"][1]
    assert back["f"]() == 3
    assert back["w"].get_value().tolist() == [1, 2, 3]


@pytest.mark.usefixtures("mode")
def test_numpy_reads_the_file_without_exprd(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with path.open("wb") as file:
        dump(shared([1.0, 2.0], name="w"), file)
    code = (
        "import sys, numpy\n"
        "sys.modules['exprd'] = sys.modules['exprd_compiler'] = None\n"
        f"file = numpy.load({str(path)!r})\n"
        "print(sorted(file.keys()), file['w'].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['pkl', 'w'] [1.0, 2.0]\n"


def test_the_members_are_deflated() -> None:
    file = zipped(shared(np.zeros(100_000), name="w"))
    assert len(file.getvalue()) < 10_000
    with zipfile.ZipFile(file) as archive:
        assert {info.compress_type for info in archive.infolist()} >= {zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_protocols_and_plain_arrays(protocol: int) -> None:
    file = zipped([np.arange(3), "text"], protocol=protocol, persistent_id=PersistentNdarrayID)
    array, text = load(file)
    assert (array.tolist(), text) == ([0, 1, 2], "text")


def test_other_files_are_refused() -> None:
    with pytest.raises(CallError, match="no file of"):
        load(io.BytesIO(b"something"))


def test_picklers_of_theano() -> None:
    x = T.dvector("x")
    file = io.BytesIO()
    StripPickler(file, pickle.HIGHEST_PROTOCOL).dump([x, np.ones(1)])
    file.seek(0)
    assert CompatUnpickler(file).load()[0].name == "x"
    python2 = b"\x80\x02U\x02a\xe9q\x00."  # the byte string "a\xe9" as Python 2 pickled it
    assert CompatUnpickler(io.BytesIO(python2)).load() == "aé"
