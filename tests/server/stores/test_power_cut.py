"""Power cuts: what a recorded process had not synced is dropped, torn or kept, and a store opened.

30 cuts and more in every run; `make soak` makes 3,000 (`EXPRD_SOAK` scales them).
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.errors import DamagedFile, ExprdError
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.database import connect
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.salvage import repair_state
from exprd_server.stores.sqlite import SqliteStore
from tests.server.stores.power import Disk
from tests.server.stores.power_writer import SIZES, SPARSE, sparse
from tests.server.stores.recording import Recorder, operations, rule

CUTS = 30
SOAKED = int(3_000 * float(os.environ.get("EXPRD_SOAK", "1")))
LOST_SECONDS = 1.0  # the bar under `interval`
RUNS, STEPS = 3, 8
WRITER = "tests.server.stores.power_writer"


class Told:
    """What a process had said before the cut."""

    def __init__(self, said: list[tuple[float, bytes]]) -> None:
        lines = [(when, line.split()) for when, data in said for line in data.decode().splitlines()]
        self.steps = [(when, int(words[1])) for when, words in lines if words[0] == "step"]
        self.checkpoints = {words[1]: int(words[2]) for _, words in lines if len(words) == 3}
        self.step = max((step for _, step in self.steps), default=0)
        self.closed = max((int(w[1]) for _, w in lines if w[0] == "closed"), default=0)


def cuts(
    log: Path, root: Path, place: Path, count: int, since: bytes = b""
) -> Iterator[tuple[float, Disk]]:
    """Leaves in `place` what each of many cuts leaves; when it came, and the disk that was cut.

    Args:
        log: of a recording.
        root: the folder that was recorded.
        place: where to leave it.
        count: of cuts.
        since: no cut comes before this was said.
    """
    done = list(operations(log))
    chance = random.Random(20070911)
    first = next((n for n, x in enumerate(done) if x.op == "o" and x.data == since), -1) + 1
    at = sorted(chance.randint(first, len(done)) for _ in range(count))
    disk, position = Disk(root), 0
    for number in at:
        while position < number:
            disk.do(done[position])
            position += 1
        shutil.rmtree(place, ignore_errors=True)
        disk.cut(place, chance)
        yield (done[position - 1].seconds if position else 0.0), disk


def step_of(store: SqliteStore) -> int:
    """The step that all variables and the newest record agree on; 0 before all are there."""
    found = store.variables()
    if len(found) <= len(SIZES):
        assert not store.records()
        return 0
    steps = {v.version for v in found} | {
        float(x) for v in found if v.uuid != SPARSE for x in (v.value.min(), v.value.max())
    }
    (step,) = steps
    (value,) = (v.value for v in found if v.uuid == SPARSE)
    np.testing.assert_array_equal(value, sparse(int(step)))
    assert max((r.seq for r in store.records()), default=1) == step
    return int(step)


def reopened(state: Path) -> int:
    """The step after a cut; nothing is damaged, and the store goes on."""
    store = SqliteStore(StateFolder(state))
    try:
        (answer,) = store._database.connection.execute("PRAGMA integrity_check").fetchone()
        assert answer == "ok"
        store.put_entry("kind", "key", b"after")
        return step_of(store)
    finally:
        store.close()


def check_checkpoints(state: Path, told: Told) -> None:
    """What was said of checkpoints holds, and those that are there are whole."""
    checkpoints = Checkpoints(state / "checkpoints")
    names = checkpoints.names()
    newest = max(told.checkpoints, default=None)
    assert newest is None or newest in names
    for name in names:
        (step,) = {float(v.value.max()) for v in checkpoints.read(name)}
        assert told.checkpoints.get(name, step) == step


@pytest.fixture
def cut_power(recorder: Recorder, tmp_path: Path):
    def cut(policy: str, count: int, runs: int = RUNS, steps: int = STEPS, *more: str):
        """By how many seconds of told steps each cut set the state back."""
        root, log, place = tmp_path / "root", tmp_path / "log", tmp_path / "cut"
        root.mkdir()
        arguments = (str(root / "state"), policy, str(runs), str(steps), *more)
        said = recorder.run(WRITER, *arguments, root=root, log=log)
        assert said.endswith(f"closed {1 + runs * steps}\n")
        lost = []
        for when, disk in cuts(log, root, place, count):
            told = Told(disk.said)
            found = reopened(place / "state")
            check_checkpoints(place / "state", told)
            assert told.closed <= found <= told.step + 1
            missing = [then for then, step in told.steps if step > found]
            lost.append(when - min(missing) if missing else 0.0)
        return lost

    return cut


def test_a_power_cut_loses_nothing_that_was_told_under_always(cut_power, figure):
    lost = cut_power("always", CUTS)
    assert set(lost) == {0.0}
    figure("power cut", cuts=CUTS, policy="always", lost=0, torn=0)


@pytest.mark.parametrize("policy", ["interval=0.05"])
def test_a_power_cut_loses_the_interval_at_most(cut_power, figure, policy):
    lost = cut_power(policy, CUTS // 2)
    assert max(lost) <= LOST_SECONDS
    figure("power cut", cuts=CUTS // 2, policy=policy, torn=0, longest_loss_s=round(max(lost), 3))


@pytest.mark.parametrize("synchronous", ["OFF"])
def test_a_disk_that_is_not_asked_to_sync_is_noticed(cut_power, synchronous):
    """The judge is judged."""
    with pytest.raises((AssertionError, ExprdError)):
        assert set(cut_power("always", CUTS, RUNS, STEPS, synchronous)) == {0.0}


def test_a_power_cut_during_a_repair_leaves_what_can_be_repaired(recorder, tmp_path):
    """A log that outlived its file is never read into the one that took its place."""
    root, log, place = tmp_path / "root", tmp_path / "log", tmp_path / "cut"
    root.mkdir()
    state = str(root / "state")
    ended = rule("s", "state.db-wal", 20, "after")  # in the second run: one checkpoint is there
    recorder.run(WRITER, state, "always", "2", "12", root=root, log=log, rule=ended)
    assert (root / "state" / "state.db-wal").stat().st_size
    said = recorder.run("tests.server.stores.power_repair", state, root=root, log=log)
    assert said == "spoilt\nrepaired\n"
    found = set()
    for _, disk in cuts(log, root, place, CUTS // 2, since=b"spoilt\n"):
        folder = StateFolder(place / "state")
        try:
            connect(folder.database).close()
        except DamagedFile:
            assert (b"repaired\n") not in [said for _, said in disk.said]
            repair_state(folder)
        folder.close()
        found.add(reopened(place / "state"))
    assert len(found) == 1  # that of the checkpoint


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_power_cuts_lose_nothing_that_was_told(cut_power, figure):
    lost = cut_power("always", SOAKED, runs=6, steps=25)
    assert set(lost) == {0.0}
    figure("power cut", cuts=SOAKED, policy="always", lost=0, torn=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_power_cuts_lose_the_interval_at_most(cut_power, figure):
    lost = cut_power("interval=0.05", SOAKED, runs=6, steps=25)
    assert max(lost) <= LOST_SECONDS
    figure("power cut", cuts=SOAKED, policy="interval=0.05", longest_loss_s=round(max(lost), 3))
