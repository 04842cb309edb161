"""Targets: files and rows of a state directory, damaged, or forged with checksums that fit."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from exprd_compiler.errors import DamagedFile
from exprd_compiler.ir.text import parse_graph
from exprd_compiler.ops.table import find_op
from exprd_server.keeping import kept_of, read_kept
from exprd_server.outline import outline_of
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.faults import FAULTS, fault_of
from exprd_server.stores.marker import read_marker
from exprd_server.stores.packing import pack_reply, unpack_reply
from exprd_server.stores.reading import read_state
from exprd_server.stores.safetensors import read_safetensors
from exprd_server.stores.schema import prepare, row_crc
from exprd_server.values import CompileChoices
from exprd_server.versions import name_bytes, read_name, read_version
from tests.fuzz.source import Source, damaged
from tests.fuzz.world import checkpoint as good_checkpoint
from tests.fuzz.world import folder, opened, reply, state_file, version
from tests.server import graphs

PATH = Path("state.db")
_NUMBERS = (0, 1, -1, 2**31, 2**62, 2**63, 2**70, 1.5, 1e308)
_TEXTS = ("", "a\nb", "float64", "x" * 300, "[]", "{}", "null", "[1e9]", '["float64", [null]]')


def _read(connection: sqlite3.Connection) -> None:
    """Reads a whole state; the first damage is raised."""
    try:
        prepare(connection, PATH)
    except FAULTS as error:
        raise fault_of(error, PATH, reading=True) from error
    found = read_state(connection, PATH)
    if found.damage:
        raise found.damage[0]


def state(source: Source) -> None:
    """A state file with a few bytes changed."""
    data = bytearray(state_file())
    for _ in range(source.number(1, 8)):
        place = source.number(0, len(data) - 1) if source.yes() else source.number(0, 16_384)
        data[place] ^= 1 << source.number(0, 7)
    connection = opened(bytes(data))
    try:
        _read(connection)
    finally:
        connection.close()


def rows(source: Source) -> None:
    """Rows that say other things, with the checksums of what they say."""
    connection = opened(state_file())
    try:
        for _ in range(source.number(1, 3)):
            table = source.of(("variables", "calls", "floors", "entries", "runs"))
            _forge(connection, table, source)
        _read(connection)
    finally:
        connection.close()


def _forge(connection: sqlite3.Connection, table: str, source: Source) -> None:
    found = connection.execute(f"SELECT * FROM {table}").fetchall()
    if not found:
        return
    columns = list(source.of(found)[:-1])
    at = source.number(0, len(columns) - 1)
    columns[at] = _other(columns[at], source)
    places = ",".join("?" * (len(columns) + 1))
    try:
        connection.execute(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})", (*columns, row_crc(*columns))
        )
    except (sqlite3.Error, OverflowError) as error:  # the table itself refuses such a row
        raise DamagedFile("no such row") from error


def _other(value: Any, source: Source) -> Any:
    if isinstance(value, int | float) and not source.yes(8):
        return source.edge(-(2**63), 2**63 - 1)
    if isinstance(value, bytes):
        return damaged(value, source)
    text = str(value)
    if source.yes(3):
        return source.of(_TEXTS)
    try:
        return json.dumps(_edited(json.loads(text), source))
    except ValueError:
        return source.text(8)


def _edited(value: Any, source: Source) -> Any:
    """A plain value with something in it changed."""
    if isinstance(value, dict) and value and not source.yes(5):
        key = source.of(sorted(value))
        return {**value, key: _edited(value[key], source)}
    if isinstance(value, list) and value and not source.yes(5):
        at = source.number(0, len(value) - 1)
        return [*value[:at], _edited(value[at], source), *value[at + source.number(0, 2) :]]
    return source.of((*_NUMBERS, *_TEXTS, None, True, [], {}, [value], {"class": "TensorType"}))


def _written(name: str, data: bytes) -> Path:
    path = folder() / name
    path.write_bytes(data)
    return path


def safetensors(source: Source) -> None:
    """Files of tensors: bytes changed, or a header that says other things."""
    _, data, _ = good_checkpoint()
    _written("x.safetensors", _other_tensors(data, source))
    read_safetensors(folder() / "x.safetensors")


def _other_tensors(data: bytes, source: Source) -> bytes:
    if source.yes():
        return damaged(data, source)
    length = int.from_bytes(data[:8], "little")
    header = _edited(json.loads(data[8 : 8 + length]), source)
    text = json.dumps(header).encode()
    size = len(text) if not source.yes(8) else source.edge(0, 2**64 - 1)
    return size.to_bytes(8, "little") + text + data[8 + length :]


def checkpoint(source: Source) -> None:
    """Checkpoints: a manifest that says other things, with all checksums as they should be."""
    place, values, manifest = good_checkpoint()
    if source.yes(3):
        values = _other_tensors(values, source)
    facts = json.loads(manifest)
    facts.pop("manifest_crc32")
    facts["crc32"] = zlib.crc32(values)
    if not source.yes(4):
        facts = _edited(facts, source)
    if isinstance(facts, dict):
        facts["manifest_crc32"] = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    text = json.dumps(facts).encode()
    if source.yes(4):
        text = damaged(text, source)
    (place / "a" / "variables.safetensors").write_bytes(values)
    (place / "a" / "manifest.json").write_bytes(text)
    found = Checkpoints(place)
    found.names()
    found.read("a")


def _marker(data: bytes) -> None:
    read_marker(_written("acknowledged", data), "0" * 16)


@cache
def _readers() -> tuple[tuple[bytes, Callable[[bytes], object]], ...]:
    """Bytes that the store keeps for others, and who reads them."""
    packed = pack_reply(reply())
    assert packed is not None
    kept = kept_of(
        outline_of(graphs.transfer()),
        bindings=("a", "b"),
        choices=CompileChoices(),
        name="f",
        holders=frozenset({"c"}),
    ).to_bytes()
    text = kept.partition(b"\n")[2]
    return (
        (packed, unpack_reply),
        (kept, lambda data: read_kept("fn", data)),
        (text, lambda data: parse_graph(data.decode("utf-8", "replace"), find_op)),
        (name_bytes(3, {"stable": [1, 3]}), read_name),
        (version(), read_version),
        (b"exprdack" + b"0" * 16 + bytes(12), _marker),
    )


def entries(source: Source) -> None:
    """Answers, functions, names and markers as they are stored."""
    good, read = source.of(_readers())
    head, newline, rest = good.partition(b"\n")
    if head[:1] in (b"{", b"[") and source.yes():
        read(json.dumps(_edited(json.loads(head), source)).encode() + newline + rest)
    else:
        read(damaged(good, source))
