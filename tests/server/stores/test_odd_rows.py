"""Rows and files that say what nobody wrote, some with checksums that fit: named, never a crash."""

from __future__ import annotations

import json
import sqlite3
import zlib
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.errors import DamagedFile, UnsupportedVersion
from exprd_server.keeping import read_kept
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.packing import unpack_reply
from exprd_server.stores.schema import row_crc
from exprd_server.versions import read_name, read_version
from tests.server.stores.facts import record, variable


@pytest.fixture
def place(open_store, tmp_path: Path) -> Path:
    """A closed state with a variable and a call on record."""
    store = open_store()
    store.create(variable("alpha", np.arange(3.0)))
    store.commit([], record(1, value=1.0))
    store.close()
    return tmp_path / "state"


def changed(place: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(place / "state.db") as connection:
        connection.execute(statement, values)
    connection.close()


def rewritten(place: Path, table: str, column: int, value: object) -> None:
    """Gives the one row of a table another value, and the checksum of that."""
    with sqlite3.connect(place / "state.db") as connection:
        (*columns, _) = connection.execute(f"SELECT * FROM {table}").fetchone()
        columns[column] = value
        places = ",".join("?" * (len(columns) + 1))
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} VALUES ({places})", (*columns, row_crc(*columns)))
    connection.close()


def test_text_that_is_none_is_damage(place, open_store):
    changed(place, "UPDATE variables SET owner = CAST(x'ff41' AS TEXT)")
    with pytest.raises(DamagedFile, match=r"'alpha' .* is damaged on disk: its desc"):
        open_store(path=place)


def test_names_of_columns_that_are_no_text_are_damage(place, open_store):
    data = (place / "state.db").read_bytes()
    assert data.count(b"digest BLOB") == 1
    (place / "state.db").write_bytes(data.replace(b"digest BLOB", b"dig\xffst BLOB"))
    with pytest.raises(DamagedFile):
        open_store(path=place)


def test_a_format_before_all_others_is_refused_at_once(place, open_store):
    changed(place, f"PRAGMA user_version={-(1 << 31)}")
    with pytest.raises(UnsupportedVersion, match="has no way to"):
        open_store(path=place)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, 1 << 40),  # an id that the ids of chunks have no room for
        (4, "eternal"),
        (5, "[]"),
        (5, '["quaternion", []]'),
        (7, "[-3]"),
        (7, "[4611686018427387904]"),
        (7, '["3"]'),
        (7, "[3, 1]"),
        (7, "[0, 9223372036854775807]"),
        (7, "[" * 100_000),
    ],
)
def test_a_description_of_no_variable_is_damage(place, open_store, column, value):
    rewritten(place, "variables", column, value)
    with pytest.raises(DamagedFile):
        open_store(path=place)


def test_no_memory_is_taken_for_a_value_that_is_not_there(place, open_store):
    rewritten(place, "variables", 7, "[5497558138880]")  # 40 TiB of float64
    with pytest.raises(DamagedFile, match="'alpha'"):
        open_store(path=place)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{",
        b'{"class":"Popen","fields":{}}',
        b'{"class":"ExecuteReply","fields":{}}',
        b'{"array":"float64","shape":[1e999]}',
        b'{"enum":"Durability","value":"durable"}',
    ],
)
def test_an_answer_that_cannot_be_read_is_damage(place, open_store, reply):
    with pytest.raises(DamagedFile, match="an answer cannot be read"):
        unpack_reply(reply)
    rewritten(place, "calls", 3, reply)
    with pytest.raises(DamagedFile, match="an answer cannot be read"):
        open_store(path=place)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"last":1,"labels":7}', b'{"name":1}', b"\xff"])
def test_a_published_function_that_cannot_be_read_is_damage(data):
    for read in (read_name, read_version):
        with pytest.raises(DamagedFile, match="published function cannot be read"):
            read(data)


def test_what_a_damaged_file_says_cannot_forge_a_line_of_a_log():
    with pytest.raises(DamagedFile) as caught:
        read_kept("fn", b'{"format":"1\\n{}"}\n')
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"), [("variables", 3), ("created", "now"), ("nbytes", None)]
)
def test_a_manifest_of_other_kinds_is_damage(tmp_path, name, value):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.write("a", [variable("w", 1.0)])
    file = tmp_path / "c" / "a" / "manifest.json"
    facts = json.loads(file.read_text())
    facts.pop("manifest_crc32")
    facts[name] = value
    facts["manifest_crc32"] = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    file.write_text(json.dumps(facts))
    for read in (checkpoints.names, lambda: checkpoints.read("a")):
        with pytest.raises(DamagedFile, match="checkpoint 'a' is damaged"):
            read()


def test_a_repair_that_was_interrupted_is_taken_back(place, open_store):
    """The new file was not in its place yet; the log had been moved away from the old one."""
    (place / "state.db.damaged").hardlink_to(place / "state.db")
    (place / "state.db.damaged-wal").write_bytes(b"")
    StateFolder(place).close()
    assert not (place / "state.db.damaged").exists()
    assert (place / "state.db-wal").exists()
    assert [v.uuid for v in open_store(path=place).variables()] == ["alpha"]
