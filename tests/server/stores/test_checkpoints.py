"""Checkpoints: files that others read, whole or not there, restored while a server serves."""

from __future__ import annotations

import json
import queue
import struct
import threading
import time
from dataclasses import replace

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import CallError, Conflict, DamagedFile, UnknownHandle
from exprd_server.checkpointing import Checkpointer, CheckpointSchedule, until_due
from exprd_server.leases import LeaseTable
from exprd_server.settings import Limits
from exprd_server.stores.checkpoints import Checkpoints, scheduled_name
from exprd_server.stores.safetensors import read_safetensors
from exprd_server.values import Durability
from exprd_server.variables import VariableTable
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.stores.facts import variable
from tests.server.wire import bundle

DTYPES = ["bool", "int8", "uint64", "float16", "float32", "float64", "complex64", "complex128"]


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def every_dtype(rng):
    values = [rng.integers(0, 2, (3, k)).astype(dtype) for k, dtype in enumerate(DTYPES)]
    return [variable(dtype, value) for dtype, value in zip(DTYPES, values, strict=True)]


def test_variables_come_back_to_the_bit(checkpoints, rng):
    stored = [*every_dtype(rng), variable("scalar", 2.5, Durability.CONSTANT, version=7)]
    info = checkpoints.write("first", stored)
    assert (info.variables, info.nbytes) == (9, sum(v.value.nbytes for v in stored))
    found = checkpoints.read("first")
    for before, after in zip(stored, found, strict=True):
        assert after.value.dtype == before.value.dtype
        assert after.value.shape == before.value.shape
        assert after.value.tobytes() == before.value.tobytes()
        assert replace(after, value=before.value) == before


def test_the_file_is_what_the_format_says(checkpoints, tmp_path, rng):
    checkpoints.write("a", [variable("w", np.arange(6.0).reshape(2, 3)), variable("b", True)])
    data = (tmp_path / "checkpoints" / "a" / "variables.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "exprd"}
    assert header == {
        "w": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48]},
        "b": {"dtype": "BOOL", "shape": [], "data_offsets": [48, 49]},
    }
    assert np.frombuffer(data[8 + length :][:48]).tolist() == [0, 1, 2, 3, 4, 5]
    assert len(data) == 8 + length + 49


def test_others_read_the_file(checkpoints, tmp_path, rng):
    library = pytest.importorskip("safetensors.numpy")
    stored = [v for v in every_dtype(rng) if not v.name.startswith("complex")]
    checkpoints.write("a", stored)
    found = library.load_file(tmp_path / "checkpoints" / "a" / "variables.safetensors")
    assert all((found[v.name] == v.value).all() for v in stored)


def test_variables_of_one_name_are_told_apart_by_their_uuids(checkpoints, tmp_path):
    checkpoints.write("a", [variable("1", 1.0, name="w"), variable("2", 2.0, name="w")])
    found = read_safetensors(tmp_path / "checkpoints" / "a" / "variables.safetensors")
    assert {k: float(v) for k, v in found.items()} == {"1": 1.0, "2": 2.0}


def test_a_variable_called_like_the_uuid_of_another_takes_nobodys_place(checkpoints):
    checkpoints.write("a", [variable("1", 1.0, name=""), variable("2", 2.0, name="1")])
    assert {v.uuid: float(v.value) for v in checkpoints.read("a")} == {"1": 1.0, "2": 2.0}


def test_names_are_unique_and_plain(checkpoints):
    checkpoints.write("a", [])
    with pytest.raises(Conflict):
        checkpoints.write("a", [])
    for name in ("", "../up", ".hidden", "a/b", "x" * 101, "-flag"):
        with pytest.raises(CallError, match="no name"):
            checkpoints.write(name, [])
    with pytest.raises(UnknownHandle, match="there are: a"):
        checkpoints.read("b")


def test_an_unfinished_checkpoint_is_none(checkpoints, tmp_path):
    half = tmp_path / "checkpoints" / ".unfinished-a"
    half.mkdir(parents=True)
    (half / "variables.safetensors").write_bytes(b"half")
    assert checkpoints.names() == ()
    checkpoints.write("a", [variable("w")])
    assert checkpoints.names() == ("a",)
    assert not half.exists()


def test_what_a_killed_process_has_left_is_removed_by_the_next_checkpoint(checkpoints, tmp_path):
    half = tmp_path / "checkpoints" / ".unfinished-auto-20260101T000000.000"
    half.mkdir(parents=True)
    (half / "variables.safetensors").write_bytes(bytes(1000))
    checkpoints.write("a", [variable("w")])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["a"]


def test_only_scheduled_ones_are_pruned(checkpoints):
    checkpoints.write("mine", [])
    for second in range(5):
        checkpoints.write(scheduled_name(second + 0.5), [])
    checkpoints.prune(2)
    assert checkpoints.names() == (
        "mine",
        "auto-19700101T000003.500",
        "auto-19700101T000004.500",
    )


def test_a_clock_that_is_put_back_keeps_what_is_made_from_then_on(checkpoints):
    later = [scheduled_name(time.time() + 10_000 + k) for k in range(3)]
    for name in later:
        checkpoints.write(name, [])
    now = scheduled_name(time.time())
    checkpoints.write(now, [])
    checkpoints.prune(3)
    assert set(checkpoints.names()) == {now, *later[1:]}


def test_damage_and_strangers_keep_nobody_from_pruning(checkpoints, tmp_path):
    for second in range(4):
        checkpoints.write(scheduled_name(second), [])
    oldest, *others = checkpoints.names()
    (tmp_path / "checkpoints" / oldest / "manifest.json").write_text("{}")
    (tmp_path / "checkpoints" / "notes.txt").write_text("not ours")
    with pytest.raises(DamagedFile, match=oldest):
        checkpoints.names()
    checkpoints.prune(2)
    assert checkpoints.names() == tuple(others[1:])


def test_every_flipped_bit_is_found(checkpoints, tmp_path, rng):
    checkpoints.write("a", [variable("w", rng.standard_normal(500))])
    for name in ("variables.safetensors", "manifest.json"):
        path = tmp_path / "checkpoints" / "a" / name
        good = path.read_bytes()
        for offset in rng.integers(0, len(good), 100):
            bad = bytearray(good)
            bad[offset] ^= 1 << int(rng.integers(8))
            path.write_bytes(bad)
            with pytest.raises(DamagedFile, match="'a'"):
                checkpoints.read("a")
        for size in (0, 7, 8, len(good) - 1):
            path.write_bytes(good[:size])
            with pytest.raises(DamagedFile, match="'a'"):
                checkpoints.read("a")
        path.write_bytes(good)
    checkpoints.read("a")


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 9]}}',
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [-8, 0]}}',
        b'{"a": {"dtype": "F64", "shape": [9], "data_offsets": [0, 72]}}',
        b'{"a": {"dtype": "F128", "shape": [1], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}',
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header):
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(DamagedFile):
        read_safetensors(path)


@pytest.fixture
def durable(start_server, tmp_path):
    """A client of a server with a state directory, and that server."""
    flags = ("--checkpoint-every", "0.2", "--checkpoint-keep", "2")
    server = start_server(
        "--listen", f"unix://{tmp_path}/s", "--state", str(tmp_path / "d"), *flags
    )
    with grpc.insecure_channel(server.target) as channel:
        yield Client(channel), server


def test_a_checkpoint_is_written_and_restored_while_calls_go_on(durable):
    """Two variables are always equal, also in every checkpoint and after every restore."""
    client, _ = durable
    a, b = client.variable(0.0, name="a"), client.variable(0.0, name="b")
    handles = [client.compile(bundle(graphs.counter()), x).handle for x in (a, b)]
    ended = threading.Event()

    def work() -> None:
        other = Client(client.channel)
        while not ended.is_set():
            for handle in handles:
                other.call(handle, 1.0, call_id=other.next_id())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        info = client.admin.Checkpoint(wire.CheckpointRequest(name="here")).checkpoint
        assert info.variables == 2
        kept = {}
        for name in (a, b):
            before = client.version(name)
            kept[name] = before
        done = client.admin.RestoreCheckpoint(wire.RestoreCheckpointRequest(name="here"))
        assert (done.assigned, done.created) == (2, 0)
        assert all(client.version(name) > version for name, version in kept.items())
    finally:
        ended.set()
        thread.join()
    with pytest.raises(grpc.RpcError) as caught:
        client.admin.Checkpoint(wire.CheckpointRequest(name="here"))
    assert caught.value.code() is grpc.StatusCode.ABORTED


def test_a_deleted_variable_comes_back_with_its_checkpoint(durable):
    client, _ = durable
    uuid = client.variable(np.arange(3.0), name="w", durability=wire.Durability.DURABILITY_DURABLE)
    client.admin.Checkpoint(wire.CheckpointRequest(name="here"))
    client.state.Delete(wire.StateServiceDeleteRequest(uuids=[uuid]))
    done = client.admin.RestoreCheckpoint(wire.RestoreCheckpointRequest(name="here"))
    assert (done.assigned, done.created) == (0, 1)
    assert client.value(uuid).tolist() == [0, 1, 2]


def test_what_is_removed_while_the_list_is_made_is_not_in_it(checkpoints, monkeypatch):
    checkpoints.write("kept", [variable("w", 1.0)])
    folder = checkpoints._folder
    seen = [folder / "kept", folder / "gone"]
    monkeypatch.setattr(type(folder), "iterdir", lambda _: iter(seen))
    assert checkpoints.names() == ("kept",)
    (folder / "gone").mkdir()  # one without its files is damage, and told
    with pytest.raises(UnknownHandle, match="gone"):
        checkpoints.names()


def test_scheduled_checkpoints_come_and_go(durable):
    client, server = durable
    client.variable(1.0)
    names = set()
    while len(names) < 4:
        found = client.admin.ListCheckpoints(wire.ListCheckpointsRequest()).checkpoints
        assert len(found) <= 3  # for a moment, the new one and those that were kept
        names |= {info.name for info in found}
    assert all(name.startswith("auto-") for name in names)
    assert server.stop() == 0


@pytest.fixture
def scheduled(open_store, tmp_path):
    """A function that starts a schedule of an hour, and gives it what its log will say."""
    opened = []

    def schedule() -> tuple[CheckpointSchedule, queue.Queue]:
        log = Log()
        checkpointer = Checkpointer(table, tmp_path / "state")
        opened.append(CheckpointSchedule(checkpointer, 3600.0, 2, log))
        return opened[-1], log.said

    limits = Limits()
    table = VariableTable(open_store(), LeaseTable(60.0, limits, time.monotonic), limits)
    yield schedule
    for one in opened:
        one.close()


class Log:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.said = queue.Queue()

    def info(self, event, **facts):
        self.said.put(event)

    error = info


def test_a_server_that_is_often_started_anew_makes_checkpoints(scheduled, tmp_path, monkeypatch):
    def made() -> int:
        return len(list((tmp_path / "state" / "checkpoints").glob("auto-*")))

    first, said = scheduled()
    assert said.get(timeout=60) == "checkpoint"  # there was none
    first.close()
    second, _ = scheduled()
    second.close()
    assert (made(), second._first_pause() > 3500) == (1, True)
    late = time.time() + 4000.0
    monkeypatch.setattr("time.time", lambda: late)
    _, said = scheduled()
    assert (said.get(timeout=60), made()) == ("checkpoint", 2)


def test_when_a_checkpoint_is_due(checkpoints, tmp_path):
    checkpointer = Checkpointer(None, tmp_path)
    checkpoints.write("mine", [])
    assert checkpointer.last_scheduled(time.time()) is None
    checkpoints.write(scheduled_name(time.time()), [])
    made = checkpointer.last_scheduled(time.time())
    assert [until_due(made, made + age, 60.0) for age in (0.0, 50.0, 70.0)] == [60.0, 10.0, 0.0]
    assert checkpointer.last_scheduled(made - 1.0) is None  # somebody has put the clock back
    assert until_due(None, made, 60.0) == 0.0


def test_a_server_without_a_directory_says_so(client):
    with pytest.raises(grpc.RpcError) as caught:
        client.admin.Checkpoint(wire.CheckpointRequest(name="x"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "keeps its state in memory" in caught.value.details()
