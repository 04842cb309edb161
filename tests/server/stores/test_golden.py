"""State directories that earlier versions wrote: this version reads each of them.

A directory is added when the format changes, by `python -m tests.server.stores.test_golden <name>`,
and never written again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.ir.counts import EventCount
from exprd_server.store import CallRecord, Change
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import Durability, ExecuteReply
from tests.server.stores.facts import change, keys, variable

GOLDEN = Path(__file__).parents[2] / "golden" / "state"
VALUES = {
    "float64": np.linspace(0, 1, 12).reshape(3, 4),
    "complex64": np.array([1 + 2j, -3j], "complex64"),
    "bool": np.array(True),
    "int8": np.zeros((0, 2), "int8"),
}
REPLY = ExecuteReply(
    outputs=(np.arange(3.0), None),
    versions=(("float64", 2),),
    timings=(("execute", 0.5),),
    warnings=(EventCount("shift", "lshift", 4, 2),),
)


def write(path: Path) -> None:
    """Writes a directory with something of everything."""
    store = SqliteStore(StateFolder(path))
    for name, value in VALUES.items():
        store.create(variable(name, np.zeros_like(value)))
    store.create(variable("constant", 1.0, Durability.CONSTANT))
    changes = [change(name, 1, value) for name, value in VALUES.items() if name != "float64"]
    changes.append(patched(store))
    record = CallRecord(client_id="c", seq=3, digest=b"digest", reply=REPLY, nbytes=24)
    store.commit(changes, record)
    store.forget("c", 2)
    store.put_entry("kind", "key", b"data")
    Checkpoints(path / "checkpoints").write("kept", store.variables())
    store.close()


def patched(store: SqliteStore) -> Change:
    """A change of one variable that is kept as a patch."""
    store.delete(["float64"])
    value = VALUES["float64"].copy()
    value[2, 3] = 0
    store.create(variable("float64", value))
    ranges = ((88, 96),)
    assert store.may_patch("float64", ranges)
    value[2, 3] = VALUES["float64"][2, 3]
    return change("float64", 1, value, ranges)


@pytest.mark.parametrize("version", sorted(p.name for p in GOLDEN.iterdir()))
def test_states_of_earlier_versions_are_read(open_store, tmp_path, version, figure):
    path = shutil.copytree(GOLDEN / version, tmp_path / "copy")
    store = open_store(path=path)
    found = {v.uuid: v for v in store.variables()}
    assert set(found) == {*VALUES, "constant"}
    for name, value in VALUES.items():
        assert found[name].version == 2
        assert found[name].value.dtype == value.dtype
        assert found[name].value.tolist() == value.tolist()
    assert found["constant"].durability is Durability.CONSTANT
    assert (keys(store), store.floors()) == ([("c", 3)], {"c": 2})
    reply = store.records()[0].reply
    assert reply.outputs[0].tolist() == [0, 1, 2]
    assert (reply.outputs[1], reply.versions) == (None, REPLY.versions)
    assert (reply.timings, reply.warnings) == (REPLY.timings, REPLY.warnings)
    assert store.entries("kind") == {"key": b"data"}
    assert store.incarnations()[0].clean
    kept = {v.uuid: v.value.tolist() for v in Checkpoints(path / "checkpoints").read("kept")}
    assert kept == {v.uuid: v.value.tolist() for v in found.values()}
    figure("upgrade", state_of=version, variables_read=len(found))


if __name__ == "__main__":
    write(GOLDEN / sys.argv[1])
