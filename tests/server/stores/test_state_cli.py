"""`exprd state`: against a directory, against a server, and on damaged files."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner

from exprd_server.cli import main
from exprd_server.probe import info
from exprd_server.stores import database
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.values import Durability
from tests.server.stores.facts import content, record, variable
from tests.server.stores.test_faults import flip


@pytest.fixture
def state(monkeypatch):
    """A function that runs `exprd state`; its exit status and what it said."""
    for name in ("EXPRD_SERVE_STATE", "EXPRD_TARGET"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["state", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.output

    return run


@pytest.fixture
def place(open_store, tmp_path, rng):
    """A directory with two variables and a call."""
    store = open_store()
    store.create(variable("alpha", np.arange(3.0)))
    store.create(variable("beta", rng.standard_normal(200_000)))
    store.commit([], record(1, value=1.0))
    store.close()
    return tmp_path / "state"


def test_a_directory_is_listed_read_and_changed(state, place, tmp_path):
    where = ("--state", str(place))
    assert state("ls", *where)[1].splitlines() == [
        "alpha  alpha  float64[?]  v1  durable",
        "beta  beta  float64[?]  v1  durable",
    ]
    assert state("get", "alpha", *where) == (0, "[0. 1. 2.]\n")
    assert state("checkpoint", "before", *where)[0] == 0
    np.save(tmp_path / "x.npy", np.ones(5))
    assert state("set", "alpha", str(tmp_path / "x.npy"), *where) == (
        0, "alpha is at version 2\n"
    )  # fmt: skip
    assert state("get", "alpha", "-o", str(tmp_path / "y.npy"), *where)[0] == 0
    assert np.load(tmp_path / "y.npy").tolist() == [1] * 5
    assert state("restore", "before", *where) == (0, "2 variables assigned, 0 made\n")
    assert state("get", "alpha", *where) == (0, "[0. 1. 2.]\n")
    assert "checkpoint before" in state("ls", *where)[1]
    assert state("check", *where) == (0, "sound\n")
    assert state("repair", *where) == (0, "2 variables sound\n")


def test_a_file_of_the_other_byte_order_means_its_numbers(state, place, open_store, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3, dtype=np.dtype("float64").newbyteorder()))
    assert state("set", "alpha", str(tmp_path / "x.npy"), "--state", str(place))[0] == 0
    assert content(open_store())["alpha"] == (2, [0.0, 1.0, 2.0])


def test_a_file_that_another_program_has_open_is_not_damaged(state, place, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    other = sqlite3.connect(place / "state.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM variables").fetchall()
    for command in ("check", "repair", "ls"):
        status, said = state(command, "--state", str(place))
        assert (status, "another program has" in said) == (1, True)
    assert not (place / "state.db.damaged").exists()
    other.close()
    assert state("check", "--state", str(place)) == (0, "sound\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("ls",), "say either"),
        (("ls", "--state", "nowhere"), "holds no state"),
        (("check",), "say --state"),
        (("get", "gamma"), "no shared variable 'gamma'"),
        (("restore", "never"), "no checkpoint 'never'"),
        (("rm", "alpha"), "only a running server"),
        (("ls", "--target", "unix:///nobody"), "does not answer"),
    ],
)
def test_what_cannot_be_done_is_said(state, place, arguments, why):
    where = () if len(arguments) == 1 or "--" in " ".join(arguments) else ("--state", str(place))
    status, said = state(*arguments, *where)
    assert status == 1
    assert why in said


def test_a_server_that_is_named_counts_more_than_the_environment(state, place, monkeypatch):
    monkeypatch.setenv("EXPRD_SERVE_STATE", str(place))
    assert state("ls")[0] == 0
    assert "does not answer" in state("ls", "--target", "unix:///nobody")[1]
    assert "say either" in state("ls", "--target", "unix:///nobody", "--state", str(place))[1]
    monkeypatch.setenv("EXPRD_TARGET", "unix:///nobody")
    assert state("ls", "--state", str(place))[0] == 0
    assert "does not answer" in state("ls", "--target", "unix:///somebody")[1]
    assert "say which is meant" in state("ls")[1]
    monkeypatch.delenv("EXPRD_SERVE_STATE")
    assert "unix:///nobody does not answer" in state("ls")[1]


def empty(path):
    path.touch()


def text(path):
    path.write_text("1 2 3")


def words(path):
    np.save(path, np.array(["a", "b"]))


def several(path):
    with path.open("wb") as file:
        np.savez(file, x=np.ones(3))


@pytest.mark.parametrize("write", [empty, text, words, several])
def test_a_file_that_is_no_array_of_numbers_is_refused(state, place, tmp_path, write):
    write(tmp_path / "x.npy")
    status, said = state("set", "alpha", str(tmp_path / "x.npy"), "--state", str(place))
    assert (status, "no .npy file of one array of numbers" in said) == (1, True)


def test_a_file_that_cannot_be_written_is_named(state, place, tmp_path):
    wanted = str(tmp_path / "nowhere" / "x.npy")
    status, said = state("get", "alpha", "-o", wanted, "--state", str(place))
    assert (status, f"{wanted} cannot be written" in said) == (1, True)


def test_a_value_of_another_type_is_refused(state, place, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 2), "int8"))
    status, said = state("set", "alpha", str(tmp_path / "x.npy"), "--state", str(place))
    assert (status, "has type float64[?]" in said) == (1, True)


def test_a_server_is_asked_and_its_directory_left_alone(state, place, start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s", "--state", str(place))
    where = ("--target", server.target)
    status, said = state("ls", "--state", str(place))
    assert (status, "another process" in said) == (1, True)
    assert state("get", "alpha", *where) == (0, "[0. 1. 2.]\n")
    assert state("checkpoint", "first", *where)[0] == 0
    np.save(tmp_path / "x.npy", np.ones(2))
    assert state("set", "alpha", str(tmp_path / "x.npy"), *where)[0] == 0
    assert state("get", "alpha", *where) == (0, "[1. 1.]\n")
    assert state("restore", "first", *where) == (0, "2 variables assigned, 0 made\n")
    assert state("get", "alpha", *where) == (0, "[0. 1. 2.]\n")
    assert "checkpoint first" in state("ls", *where)[1]
    np.save(tmp_path / "large.npy", np.arange(600_000.0))  # too large for one message
    assert state("set", "beta", str(tmp_path / "large.npy"), *where)[0] == 0
    assert state("get", "beta", "-o", str(tmp_path / "back"), *where)[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "back"), np.arange(600_000.0))
    assert "buffers" not in info(server.target, 10.0)
    assert state("rm", "beta", *where) == (0, "beta is gone\n")
    assert "beta" not in state("ls", *where)[1]


def damage(place, open_store, name: str) -> None:
    store = open_store(path=place)
    value = next(v.value for v in store.variables() if v.name == name).tobytes()
    store.close()
    data = (place / "state.db").read_bytes()
    flip(place / "state.db", data.find(value[8000:8032]), 3)


def test_repair_saves_what_is_sound(state, place, open_store):
    damage(place, open_store, "beta")
    status, said = state("check", "--state", str(place))
    assert (status, "'beta'" in said, "1 damaged" in said) == (1, True, True)
    status, said = state("repair", "--state", str(place))
    assert (status, "lost: shared variable 'beta'" in said) == (1, True)
    store = open_store(path=place)
    assert content(store) == {"alpha": (1, [0, 1, 2])}
    assert [r.seq for r in store.records()] == [1]
    assert (place / "state.db.damaged").exists()
    assert state("repair", "--state", str(place))[0] == 1  # a server (this one) uses it


def test_repair_takes_damaged_variables_from_the_newest_checkpoint(state, place, open_store):
    store = open_store(path=place)
    whole = content(store)
    Checkpoints(place / "checkpoints").write("good", store.variables())
    store.close()
    damage(place, open_store, "beta")
    assert state("repair", "--state", str(place)) == (
        0, "1 variables sound\nbeta: version 1 of good\n"
    )  # fmt: skip
    assert content(open_store(path=place)) == whole


def test_a_damaged_checkpoint_is_named_and_a_repair_takes_another(state, place, open_store):
    store = open_store(path=place)
    for name in ("one", "two"):
        Checkpoints(place / "checkpoints").write(name, store.variables())
    store.close()
    (place / "checkpoints" / "two" / "manifest.json").write_text("{}")
    damage(place, open_store, "beta")
    where = ("--state", str(place))
    status, said = state("check", *where)
    assert (status, "checkpoint 'two' is damaged" in said, "'beta'" in said) == (1, True, True)
    assert state("repair", *where) == (0, "1 variables sound\nbeta: version 1 of one\n")
    assert content(open_store(path=place))["alpha"] == (1, [0.0, 1.0, 2.0])


def test_a_file_that_cannot_be_opened_is_rebuilt_from_a_checkpoint(state, place, open_store):
    store = open_store(path=place)
    whole = content(store)
    passing = variable("v", 1.0, Durability.VOLATILE)
    Checkpoints(place / "checkpoints").write("good", [*store.variables(), passing])
    store.close()
    assert state("restore", "good", "--state", str(place)) == (
        0, "2 variables assigned, 0 made\n"
    )  # fmt: skip
    (place / "state.db").write_bytes(b"nothing that SQLite knows" * 1000)
    status, said = state("repair", "--state", str(place))
    assert (status, "lost" in said) == (1, True)  # the calls on record, for one
    assert content(open_store(path=place)) == whole
