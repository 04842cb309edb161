"""The SQLite store: what survives, what is written, what is known of what was lost."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import sqlite3
import threading

import numpy as np
import pytest

from exprd_compiler.errors import CallError, Conflict, DamagedFile, UnsupportedVersion
from exprd_compiler.ir.counts import EventCount
from exprd_server import start
from exprd_server.log import make_logger
from exprd_server.policy import ALWAYS, OFF, Policy, parse_policy
from exprd_server.settings import Settings
from exprd_server.store import CallRecord
from exprd_server.stores import database
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.chunks import CHUNK_BYTES, changed_chunks, checksum
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.salvage import check_state, repair_state
from exprd_server.stores.schema import VERSION, prepare
from exprd_server.values import BufferInfo, Durability, ExecuteReply, SetReply
from exprd_server.variables import Variable, info_of
from tests.server.stores.facts import change, content, keys, record, variable

WORDS = CHUNK_BYTES // 8
DTYPES = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex128"]


def copied(path, to):
    """A directory as a crash would leave it: the files of a store that goes on."""
    shutil.copytree(path, to)
    return to


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (5, 2), (3, CHUNK_BYTES // 2)])
def test_a_value_comes_back_to_the_bit(open_store, rng, dtype, shape):
    value = rng.integers(0, 2, shape).astype(dtype)
    store = open_store()
    store.create(variable("a", value))
    before = store.variables()[0]
    store.close()
    (after,) = open_store().variables()
    assert (after.uuid, after.name, after.type, after.owner) == ("a", "a", before.type, "me")
    assert after.value.dtype == dtype
    assert after.value.shape == shape
    assert after.value.tobytes() == value.tobytes()
    assert not after.value.flags.writeable


def test_bfloat16_and_other_orders_come_back(open_store, rng):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    turned = rng.standard_normal((4, 6)).T
    store = open_store()
    store.create(variable("h", np.ones(3, bfloat16)))
    store.create(variable("t", turned))
    store.close()
    values = {v.uuid: v.value for v in open_store().variables()}
    assert values["h"].dtype == bfloat16
    assert (values["t"] == turned).all()


def test_what_survives_a_restart(open_store):
    store = open_store()
    store.create(variable("d", 1.0))
    store.create(variable("v", 1.0, Durability.VOLATILE))
    store.create(variable("k", 1.0, Durability.CONSTANT))
    store.commit([change("d", 1, 2.0), change("v", 1, 2.0)], record(1, value=7.0))
    store.commit([change("v", 2, 3.0)], record(2))  # of no lasting effect
    store.put_entry("function", "h", b"bytes")
    store.put_entry("function", "gone", b"bytes")
    store.drop_entry("function", "gone")
    store.forget("c", 0)
    store.close()
    store = open_store()
    assert content(store) == {"d": (2, 2.0), "k": (1, 1.0)}
    assert keys(store) == [("c", 1)]
    assert store.records()[0].reply.outputs[0] == 7.0
    assert store.entries("function") == {"h": b"bytes"}


def test_acknowledged_calls_and_their_clients_are_forgotten_for_good(open_store):
    store = open_store()
    for seq in range(1, 6):
        store.commit([], record(seq))
    store.commit([], record(1, "other"))
    store.forget("c", 3)
    store.drop_client("other")
    store.close()
    store = open_store()
    assert keys(store) == [("c", 4), ("c", 5)]
    assert store.floors() == {"c": 3}


def test_after_a_crash_a_call_is_on_record_or_known_to_be_forgotten(open_store, tmp_path):
    """Records go a few at a time, and never before the number through which they are gone."""
    store = open_store()
    store.create(variable("a", 0.0))
    for seq in range(1, 41):
        store.commit([change("a", seq, float(seq))], record(seq))
        store.forget("c", seq - 1)
    assert keys(store) == [("c", 40)]
    again = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    floor = again.floors()["c"]
    assert 40 - 17 <= floor < 40
    assert keys(again) == [("c", seq) for seq in range(floor + 1, 41)]


def test_a_record_that_never_came_to_the_disk_leaves_its_number_there(open_store, tmp_path):
    store = open_store(OFF)
    store.create(variable("a", 0.0))
    store.commit([change("a", 1, 1.0)], record(1))
    store.forget("c", 1)
    store.commit([change("a", 2, 2.0)], record(2), ALWAYS)
    again = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    assert (keys(again), again.floors()) == ([("c", 2)], {"c": 1})


def assigned() -> Variable:
    stored = variable("a", np.ones((2, 3)))
    facts = {"uuid": "a", "name": "a", "owner": "me", "version": 4}
    return Variable(**facts, type=stored.type, durability=Durability.DURABLE, value=stored.value)


def test_answers_come_back_whole_and_those_with_buffers_have_expired(open_store):
    full = ExecuteReply(
        outputs=(np.arange(6.0).reshape(2, 3), None, np.asarray(True)),
        versions=(("a", 3),),
        timings=(("execute", 0.25),),
        warnings=(EventCount("shift", "lshift", 4, 2),),
    )
    buffer = BufferInfo(handle="b", dtype="int8", shape=(1,), nbytes=1)
    info = info_of(assigned())
    replies = [full, SetReply(variable=info), ExecuteReply(outputs=(buffer,))]
    store = open_store()
    for seq, reply in enumerate(replies, start=1):
        store.commit([], CallRecord(client_id="c", seq=seq, digest=b"d", reply=reply))
    store.close()
    first, second, third = (r.reply for r in open_store().records())
    assert first.outputs[0].tolist() == full.outputs[0].tolist()
    assert first.outputs[1] is None
    assert first.outputs[2].dtype == bool
    assert (first.versions, first.timings, first.warnings) == (
        full.versions,
        full.timings,
        full.warnings,
    )
    assert second == replies[1]
    assert third is None


def test_only_chunks_that_differ_are_written(open_store):
    value = np.zeros(10 * WORDS + 5)
    store = open_store()
    store.create(variable("a", value))
    assert store.chunks_written == 11
    for version, (places, dirty, wanted) in enumerate(
        [
            ([3 * WORDS], None, 1),
            ([0, WORDS - 1, 9 * WORDS], None, 2),
            ([], None, 0),
            ([10 * WORDS + 4], ((80 * WORDS + 32, 80 * WORDS + 40),), 1),
        ],
        start=1,
    ):
        value = value.copy()
        value[places] += 1
        before = store.chunks_written
        store.commit([change("a", version, value, dirty)], None)
        assert store.chunks_written - before == wanted
    store.close()
    assert (open_store().variables()[0].value == value).all()


def test_a_value_may_grow_and_shrink(open_store, rng):
    sizes = [3 * WORDS, 5 * WORDS + 1, 10, 0, WORDS]
    store = open_store()
    store.create(variable("a", np.zeros(0)))
    for version, size in enumerate(sizes, start=1):
        value = rng.standard_normal(size)
        store.commit([change("a", version, value)], None)
        store.close()
        store = open_store()
        assert (store.variables()[0].value == value).all()


def test_dirty_ranges_of_several_commits_add_up(open_store):
    value = np.zeros(4 * WORDS)
    store = open_store(OFF)
    store.create(variable("a", value))
    store.flush()
    for version, place in enumerate((5, 2 * WORDS), start=1):
        value = value.copy()
        value[place] = version
        store.commit([change("a", version, value, ((place * 8, place * 8 + 8),))], None)
    before = store.chunks_written
    store.close()
    assert store.chunks_written - before == 2
    assert (open_store().variables()[0].value == value).all()


def test_a_checksum_knows_its_place():
    data = b"x" * 100
    sums = {checksum(u, i, data) for u in ("a", "b") for i in (0, 1)}
    assert len(sums) == 4


def test_what_a_dirty_range_leaves_out_is_not_looked_at():
    old = np.zeros(3 * CHUNK_BYTES, np.uint8)
    new = old + np.uint8(1)
    assert changed_chunks(old, new) == [0, 1, 2]
    assert changed_chunks(old, new, ((CHUNK_BYTES, CHUNK_BYTES + 1),)) == [1]
    assert changed_chunks(old, new[:-1], ((CHUNK_BYTES, CHUNK_BYTES + 1),)) == [0, 1, 2]


def test_two_stores_cannot_share_a_directory(open_store, tmp_path):
    open_store()
    with pytest.raises(CallError, match="another process"):
        StateFolder(tmp_path / "state")


@pytest.mark.parametrize(("policy", "kept"), [(ALWAYS, 3), (OFF, 1)])
def test_it_is_known_what_a_crash_has_taken(open_store, tmp_path, policy, kept):
    store = open_store(policy)
    store.create(variable("a"))
    store.flush()
    for version in (1, 2):
        last = store.commit([change("a", version, float(version))], None)
    crashed = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    assert content(crashed)["a"][0] == kept
    run = crashed.incarnations()[0]
    assert (run.clean, run.policy) == (False, str(policy))
    assert (run.acknowledged, run.lost) == (last, 3 - kept)
    # Numbers that were told are not given out again.
    assert crashed.commit([change("a", kept, 9.0)], None) > last


def test_what_is_gone_is_told_by_the_next_start_alone(open_store, tmp_path):
    store = open_store(OFF)
    store.create(variable("a"))
    store.flush()
    store.commit([change("a", 1, 1.0)], None)
    crashed = copied(tmp_path / "state", tmp_path / "crashed")
    lines = io.StringIO()
    for _ in range(3):
        start.open_store(Settings(state=crashed), make_logger(lines, "info")).close()
    told = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert told == ["state opened", "answered updates are gone", "state opened", "state opened"]


def test_a_run_that_ended_in_order_lost_nothing(open_store):
    store = open_store(OFF)
    store.create(variable("a"))
    store.commit([change("a", 1, 1.0)], None)
    store.close()
    first, second = open_store().incarnations()
    assert (first.clean, first.lost, first.durable) == (True, 0, 2)
    assert (second.first, second.clean) == (2, False)


def test_interval_writes_in_the_background(open_store, tmp_path):
    store = open_store(Policy(0.01))
    store.create(variable("a"))
    store.commit([change("a", 1, 1.0)], None)
    while store.incarnations()[-1].durable < 2:  # until the writer has come by
        pass
    crashed = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    assert content(crashed) == {"a": (2, 1.0)}


def test_an_always_commit_takes_earlier_ones_along(open_store, tmp_path):
    store = open_store(OFF)
    store.create(variable("a"))
    store.commit([change("a", 1, 1.0)], None)
    store.create(variable("b"))
    store.commit([change("b", 1, 1.0)], record(1), ALWAYS)
    crashed = open_store(path=copied(tmp_path / "state", tmp_path / "crashed"))
    assert content(crashed) == {"a": (2, 1.0), "b": (2, 1.0)}
    assert crashed.incarnations()[0].lost == 0


def test_commits_that_wait_together_share_a_transaction(open_store):
    store = open_store()
    count, each = 8, 50
    for k in range(count):
        store.create(variable(str(k)))

    def work(uuid):
        for version in range(1, each + 1):
            store.commit([change(uuid, version, float(version))], record(version, f"c{uuid}"))

    threads = [threading.Thread(target=work, args=(str(k),)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    store = open_store()
    assert content(store) == {str(k): (each + 1, float(each)) for k in range(count)}
    assert len(keys(store)) == count * each


def test_a_conflict_leaves_no_trace_on_disk(open_store):
    store = open_store()
    store.create(variable("a"))
    with pytest.raises(Conflict):
        store.commit([change("a", 7, 1.0)], record(1))
    store.close()
    store = open_store()
    assert content(store) == {"a": (1, 0.0)}
    assert keys(store) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("always", 0), ("interval", 1), ("interval=0.5", 0.5), ("off", math.inf)],
)
def test_policies_by_name(text, seconds):
    assert parse_policy(text).seconds == seconds
    assert parse_policy(str(parse_policy(text))) == parse_policy(text)


@pytest.mark.parametrize("text", ["", "never", "interval=", "interval=0", "interval=nan", "off=1"])
def test_other_words_are_no_policy(text):
    with pytest.raises(CallError, match="no durability policy"):
        parse_policy(text)


def test_a_later_format_is_refused_and_an_earlier_one_migrates(tmp_path):
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path, isolation_level=None)
    prepare(connection, path)
    with pytest.raises(UnsupportedVersion, match="no way"):
        prepare(connection, path, version=VERSION + 1)

    def step(at: sqlite3.Connection) -> None:
        at.execute("ALTER TABLE entries ADD COLUMN note TEXT")

    def fails(at: sqlite3.Connection) -> None:
        step(at)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        prepare(connection, path, version=VERSION + 1, migrations={VERSION: fails})

    def full(at: sqlite3.Connection) -> None:
        at.execute("ROLLBACK")  # as SQLite does by itself when the disk takes no more
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="is full"):
        prepare(connection, path, version=VERSION + 1, migrations={VERSION: full})
    prepare(connection, path)  # as it was
    prepare(connection, path, version=VERSION + 1, migrations={VERSION: step})
    assert connection.execute("SELECT note FROM entries").fetchall() == []
    with pytest.raises(UnsupportedVersion, match="later version"):
        prepare(connection, path)
    connection.close()


def test_another_programs_file_is_refused(open_store, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    connection = sqlite3.connect(folder / "state.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedFile, match="no state of exprd"):
        open_store()
    (folder / "state.db").write_bytes(b"no database at all " * 1000)
    with pytest.raises(DamagedFile):
        open_store()


def test_a_file_that_was_emptied_is_no_new_state(open_store, tmp_path):
    place = tmp_path / "state"
    store = open_store()
    store.create(variable("a", 5.0))
    Checkpoints(place / "checkpoints").write("good", store.variables())
    store.close()
    for empty in (lambda: (place / "state.db").write_bytes(b""), (place / "state.db").unlink):
        empty()
        with pytest.raises(DamagedFile, match=r"state\.db is empty, but up to 1 commits"):
            open_store()
    with contextlib.closing(StateFolder(place)) as folder:
        assert "is empty" in check_state(folder)[0].message
        done = repair_state(folder)
        assert [v.uuid for v, _ in done.restored] == ["a"]
        assert check_state(folder) == ()
    store = open_store()
    assert content(store) == {"a": (1, 5.0)}
    store.close()
    for name in ("state.db", "acknowledged"):  # who wants to begin anew says so
        (place / name).unlink()
    assert content(open_store()) == {}


def test_a_large_value_comes_back_whole_and_its_damaged_chunks_are_named(open_store, tmp_path, rng):
    """It is verified beside the reading."""
    value = rng.integers(0, 256, 40 * CHUNK_BYTES + 7, dtype=np.uint8)
    store = open_store()
    store.create(variable("a", value))
    store.close()
    (found,) = open_store().variables()
    assert (found.value == value).all()
    shutil.copytree(tmp_path / "state", tmp_path / "harmed")
    connection = sqlite3.connect(tmp_path / "harmed" / "state.db")
    connection.execute("UPDATE chunks SET crc = x'00000000' WHERE id & 0xff IN (5, 39)")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedFile, match="chunk 5, 39 of its value"):
        open_store(path=tmp_path / "harmed")


def test_numbers_of_variables_begin_anew_and_none_is_given_twice(open_store, monkeypatch):
    """The ids of chunks have no room for more, and what has gone makes room."""
    monkeypatch.setattr(database, "NUMBERS", 6)
    store = open_store()
    for k in range(5):
        store.create(variable(f"{k}", float(k)))
    for k in range(5, 30):
        store.delete([f"{k - 2}"])
        store.create(variable(f"{k}", float(k)))
    expected = content(store)
    assert len(expected) == 5
    store.close()
    assert content(open_store()) == expected
