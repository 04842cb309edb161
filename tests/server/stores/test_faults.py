"""Faults, injected: killed writers, torn logs, flipped bits, full disks, directories read-only."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.errors import DamagedFile, ExprdError, LimitExceeded
from exprd_server.policy import ALWAYS, OFF, Policy
from exprd_server.values import Durability
from tests.server.stores.facts import change, content, keys, record, variable
from tests.server.stores.recording import rule
from tests.server.stores.test_power_cut import reopened
from tests.server.stores.writer import SIZES

KILLS = 5
FRAME_BYTES = 24 + 16384  # a record of the log: its head and a page
POWER_WRITER = "tests.server.stores.power_writer"
ROOT = Path(__file__).parents[3]


def soaked(whole: int) -> int:
    """How often a soak does something."""
    return max(1, int(whole * float(os.environ.get("EXPRD_SOAK", "1"))))


def killed_writer(env: dict[str, str], path: Path, policy: str, steps: int) -> int:
    """Has a process commit so many steps, kills it in the next one; the last it acknowledged."""
    command = [sys.executable, "-m", "tests.server.stores.writer", str(path), policy]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT)
    said = [process.stdout.readline() for _ in range(steps)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return int([line for line in said if line.endswith(b"\n")][-1])


def whole_step(store) -> int:
    """The step that all variables and the newest record agree on."""
    steps = {float(x) for v in store.variables() for x in (v.value.min(), v.value.max(), v.version)}
    assert len(store.variables()) == len(SIZES)
    (step,) = steps
    assert max((r.seq for r in store.records()), default=1) == step  # step 1 is no call
    return int(step)


def kill_and_check(env, path, open_store, policy: str, kills: int, rng) -> list[int]:
    """How far each reopened state was behind what had been acknowledged."""
    behind = []
    for _ in range(kills):
        acknowledged = killed_writer(env, path, policy, int(rng.integers(1, 12)))
        store = open_store(path=path)
        found = whole_step(store)
        behind.append(acknowledged - found)
        run = store.incarnations()[-2]
        # What the marker tells is what the client saw, or one commit more that it never saw.
        assert run.lost in (max(behind[-1], 0), max(behind[-1] + 1, 0))
        store.close()
    return behind


def test_killed_writers_lose_nothing_that_was_acknowledged(child_env, tmp_path, open_store, rng):
    behind = kill_and_check(child_env, tmp_path / "k", open_store, "always", KILLS, rng)
    assert max(behind) <= 0
    assert min(behind) >= -1


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_killed_writers_for_long(child_env, tmp_path, open_store, rng, figure):
    kills = soaked(500)
    behind = kill_and_check(child_env, tmp_path / "k", open_store, "always", kills, rng)
    assert max(behind) <= 0
    assert min(behind) >= -1
    figure("crash", kills_of_the_store=kills, lost=0, torn=0)


def test_under_interval_a_killed_writer_loses_whole_steps_and_says_so(
    child_env, tmp_path, open_store, rng
):
    behind = kill_and_check(child_env, tmp_path / "k", open_store, "interval=0.02", 4, rng)
    assert min(behind) >= -1


@pytest.mark.parametrize(
    ("op", "what", "passes"), [("w", "before", 120), ("w", "tear", 150), ("s", "before", 7)]
)
def test_killed_while_the_log_is_folded_in(recorder, tmp_path, op, what, passes):
    state = tmp_path / "state"
    text = rule(op, "state.db$", passes, what)
    said = recorder.run(POWER_WRITER, str(state), "always", "1", "40", root=tmp_path, rule=text)
    last = said.splitlines()[-1]
    assert last.startswith("step ")  # it did not come to its end
    assert int(last.removeprefix("step ")) <= reopened(state) <= int(last.split()[1]) + 1


def crash(open_store, tmp_path, sizes, steps: int) -> Path:
    """A state as a crash leaves it, with a long log; what was acknowledged is the last step."""
    store = open_store(path=tmp_path / "live")
    for k, size in enumerate(sizes):
        store.create(variable(str(k), np.ones(size)))
    for step in range(1, steps):
        changes = [change(str(k), step, np.full(n, step + 1.0)) for k, n in enumerate(sizes)]
        store.commit(changes, record(step + 1, value=step + 1.0))
    return shutil.copytree(tmp_path / "live", tmp_path / "crashed")


@pytest.fixture
def crashed(open_store, tmp_path):
    return crash(open_store, tmp_path, SIZES, 40)


def harmed(crashed: Path, place: Path) -> Path:
    """A fresh copy."""
    shutil.rmtree(place, ignore_errors=True)
    return shutil.copytree(crashed, place)


@pytest.mark.parametrize("kind", ["cut", "garbled", "flipped"])
def test_a_torn_log_gives_some_whole_step_and_the_loss_is_known(
    crashed, open_store, tmp_path, rng, kind
):
    size = (crashed / "state.db-wal").stat().st_size
    found = set()
    for offset in rng.integers(0, size, 15):
        path = harmed(crashed, tmp_path / "torn")
        with (path / "state.db-wal").open("r+b") as log:
            log.seek(int(offset))
            byte = log.read(1)
            log.seek(int(offset))
            if kind == "cut":
                log.truncate()
            elif kind == "garbled":
                log.write(rng.bytes(4096))
            else:
                log.write(bytes([byte[0] ^ 1 << int(rng.integers(8))]))
        store = open_store(path=path)
        runs = store.incarnations()
        if len(runs) > 1 and len(store.variables()) == len(SIZES) and store.records():
            step = whole_step(store)
            assert runs[-2].lost == 40 - step
            found.add(step)
        else:  # the cut came before the first step
            assert not store.records()
        store.close()
    assert len(found) > 2


def cut_last_record(open_store, tmp_path, count: int) -> int:
    """Cuts a log at bytes of its last record: the step before is found, whole, and the loss known.

    Returns:
        the number of cuts.
    """
    crashed = crash(open_store, tmp_path, (1, 16, 1000, 4096, 5), 6)
    last = (crashed / "state.db-wal").stat().st_size
    offsets = np.unique(np.linspace(last - FRAME_BYTES, last - 1, count).astype(int))
    for offset in offsets:
        path = harmed(crashed, tmp_path / "torn")
        os.truncate(path / "state.db-wal", int(offset))
        store = open_store(path=path)
        assert whole_step(store) == 5
        assert store.incarnations()[-2].lost == 1
        store.close()
    return len(offsets)


def test_a_log_cut_within_its_last_record_loses_that_alone(open_store, tmp_path):
    cut_last_record(open_store, tmp_path, 25)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_log_cut_at_every_byte_of_its_last_record_loses_that_alone(open_store, tmp_path, figure):
    cuts = cut_last_record(open_store, tmp_path, soaked(FRAME_BYTES))
    figure("torn files", cuts_of_the_last_record=cuts, detected=cuts)


def flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


@pytest.fixture
def at_rest(open_store, tmp_path, rng):
    """A closed state whose bytes are nearly all chunks, and what it holds."""
    path = tmp_path / "rest"
    store = open_store(path=path)
    for name in ("alpha", "beta"):
        store.create(variable(name, rng.standard_normal(200_000)))
    store.commit([], record(1, value=1.0))
    store.put_entry("kind", "key", b"data")
    held = content(store), keys(store), store.entries("kind")
    store.close()
    return path, held


def test_flipped_bits_in_values_are_found_and_the_variable_named(
    at_rest, open_store, tmp_path, rng
):
    path, _ = at_rest
    data = (path / "state.db").read_bytes()
    store = open_store(path=harmed(path, tmp_path / "copy"))
    values = {v.name: v.value.tobytes() for v in store.variables()}
    store.close()
    places = []  # where the file has 64 bytes of a value, and whose they are
    for name, value in values.items():
        for start in rng.choice(len(value) - 64, 250):
            at = data.find(value[start : start + 64])
            if at >= 0:  # else the piece crosses a page
                places.append((name, at))
    assert len(places) >= 200
    copy = harmed(path, tmp_path / "copy")
    for name, at in places:
        offset, bit = at + int(rng.integers(64)), int(rng.integers(8))
        flip(copy / "state.db", offset, bit)
        with pytest.raises(DamagedFile, match=name):
            open_store(path=copy)
        flip(copy / "state.db", offset, bit)
    open_store(path=copy)


def flip_bits_anywhere(at_rest, open_store, tmp_path, rng, count: int) -> int:
    """Flips a bit at each of many offsets: it is found, or nothing has changed by it.

    Returns:
        how often it was found.
    """
    path, held = at_rest
    size = (path / "state.db").stat().st_size
    copy = tmp_path / "copy"
    # Half of them in the first pages, where the tables' descriptions and small rows are.
    offsets = [*rng.integers(0, min(size, 8 * 8192), count), *rng.integers(0, size, count)]
    found = 0
    for offset in map(int, offsets):
        harmed(path, copy)
        flip(copy / "state.db", offset, int(rng.integers(8)))
        try:
            store = open_store(path=copy)
        except ExprdError:
            found += 1
            continue
        assert (content(store), keys(store), store.entries("kind")) == held
        store.close()
    return found


def test_flipped_bits_anywhere_are_found_or_change_nothing(at_rest, open_store, tmp_path, rng):
    assert flip_bits_anywhere(at_rest, open_store, tmp_path, rng, 35) > 30


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_flipped_bits_at_thousands_of_places(at_rest, open_store, tmp_path, rng, figure):
    count = soaked(1000)
    found = flip_bits_anywhere(at_rest, open_store, tmp_path, rng, count)
    assert found >= count // 2
    figure("torn files", flipped_bits=2 * count, found=found, without_effect=2 * count - found)


def full_after(store, pages: int) -> None:
    """Lets the file grow by so many pages and no further, as a full disk would."""
    connection = store._database.connection  # the fault is injected below SQLite
    (now,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={now + pages}")


@pytest.mark.parametrize("policy", [ALWAYS, Policy(0.01), OFF])
def test_on_a_full_disk_writes_are_refused_and_reads_go_on(open_store, policy):
    store = open_store(policy)
    store.create(variable("a", np.zeros(1000)))
    store.create(variable("v", 0.0, Durability.VOLATILE))
    store.flush()
    full_after(store, 4)
    with pytest.raises(LimitExceeded, match="full"):
        store.commit([change("a", 1, np.ones(100_000))], record(1), ALWAYS)
    assert content(store)["a"] == (1, [0.0] * 1000)
    assert keys(store) == []
    if policy is ALWAYS:
        with pytest.raises(LimitExceeded, match="full"):
            store.create(variable("b", np.ones(100_000)))
        assert set(content(store)) == {"a", "v"}
    else:  # the disk was met full a moment ago
        with pytest.raises(LimitExceeded, match="full"):
            store.commit([change("a", 1, np.ones(1000))], None)
    store.commit([change("v", 1, 1.0)], None)  # asks nothing of the disk
    full_after(store, 10_000)
    store.commit([change("a", 1, np.ones(100_000))], record(1), ALWAYS)
    store.close()
    store = open_store()
    assert content(store)["a"] == (2, [1.0] * 100_000)
    assert keys(store) == [("c", 1)]


LIMITED = """
import sys, resource, signal
from pathlib import Path
import numpy as np
from exprd_compiler.errors import LimitExceeded
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.facts import change, content, variable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(StateFolder(Path(sys.argv[1])))
store.create(variable("a", np.zeros(1000)))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
refused = 0
for _ in range(3):
    try:
        store.commit([change("a", 1, np.ones(200_000))], None)
    except LimitExceeded as error:
        refused += 1
assert refused == 3, refused
assert content(store) == {"a": (1, [0.0] * 1000)}
print("reads go on")
"""


def test_when_the_file_may_not_grow_writes_are_refused(child_env, tmp_path, open_store):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "state")],
        env=child_env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "reads go on\n", done.stderr
    assert content(open_store()) == {"a": (1, [0.0] * 1000)}


REFUSED = """
import sys
from pathlib import Path
import numpy as np
from exprd_compiler.errors import LimitExceeded
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import Durability
from tests.server.stores.facts import change, content, variable
store = SqliteStore(StateFolder(Path(sys.argv[1])))
store.create(variable("a", np.zeros(1000)))
store.create(variable("v", 0.0, Durability.VOLATILE))
said = ""
for number in range(60):
    version, before = content(store)["a"]
    try:
        store.commit([change("a", version, np.full(1000, number + 1.0))], None)
    except LimitExceeded as error:
        assert content(store)["a"] == (version, before)
        said = said or error.message
    store.commit([change("v", number + 1, float(number))], None)
version, value = content(store)["a"]
print(said)
print(version, value[0])
"""


@pytest.mark.parametrize(
    ("op", "first", "number", "says", "goes_on"),
    [
        ("w", 70, errno.EDQUOT, "or a quota on it is used up", True),
        ("w", 70, errno.EIO, "cannot be written", False),
        ("s", 20, errno.EIO, "cannot be written", False),
        ("w", 70, errno.ENOSPC, "is full", True),
        ("w", 70, errno.EROFS, "cannot be written", False),
    ],
)
def test_when_the_disk_fails_reads_go_on(
    recorder, tmp_path, open_store, op, first, number, says, goes_on
):
    """The kernel itself says no, from some commit on; a full disk has room again after a while."""
    quota = number == errno.EDQUOT  # which holds for every file, and so for SQLite's and another
    text = rule(op, "state.db" if quota else "state.db-wal$", first, number, 6)
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(tmp_path / "state")],
        env=recorder.watching(tmp_path, rule=text),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    why, last = done.stdout.splitlines()
    version, value = last.split()
    assert says in why
    assert (float(value) == 60) == goes_on
    store = open_store()  # what failed may be found done after all, as a whole
    found = {v.uuid: (v.version, float(v.value[0])) for v in store.variables()}
    assert found["a"][0] in (int(version), int(version) + (not goes_on))


def serve(env, *flags: str, **facts) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exprd_server", "serve", "--listen", "127.0.0.1:0", *flags]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=60, **facts
    )


def test_a_directory_that_cannot_be_written_is_refused(child_env, tmp_path):
    place = tmp_path / "file"
    place.write_text("no directory")
    refused = serve(child_env, "--state", str(place))
    assert refused.returncode == 1
    assert "cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="drops the rights of root, which writes everywhere")
def test_a_read_only_directory_is_refused(child_env, tmp_path):
    place = tmp_path / "state"
    place.mkdir(mode=0o555)
    code = (
        "import os, sys; from pathlib import Path; from exprd_server.stores.folder import *\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "try: StateFolder(Path(sys.argv[1]))\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)],
        env=child_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("CallError")
    assert "cannot be used" in done.stdout


def test_two_servers_cannot_share_a_state(start_server, child_env, tmp_path):
    place = str(tmp_path / "state")
    server = start_server("--listen", f"unix://{tmp_path}/s", "--state", place)
    refused = serve(child_env, "--state", place)
    assert refused.returncode == 1
    assert f"another process ({server.process.pid})" in refused.stderr
    assert "Traceback" not in refused.stderr
    server.process.kill()
    server.process.wait()
    start_server("--listen", f"unix://{tmp_path}/s", "--state", place)


def test_a_server_names_the_damaged_variable_and_does_not_start(
    at_rest, child_env, tmp_path, open_store
):
    path, _ = at_rest
    data = (path / "state.db").read_bytes()
    store = open_store(path=harmed(path, tmp_path / "copy"))
    value = next(v.value for v in store.variables() if v.name == "beta").tobytes()
    flip(path / "state.db", data.find(value[8000:8032]), 3)
    refused = serve(child_env, "--state", str(path))
    assert refused.returncode == 1
    assert "'beta'" in refused.stderr
    assert "exprd state repair" in refused.stderr
