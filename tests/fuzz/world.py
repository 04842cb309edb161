"""What targets work on: an engine with functions and variables, a state, checkpoints; made once."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.policy import OFF
from exprd_server.settings import Limits, Settings
from exprd_server.store import MemoryStore
from exprd_server.stores.checkpoints import Checkpoints
from exprd_server.stores.database import text_of
from exprd_server.stores.folder import StateFolder
from exprd_server.stores.sqlite import SqliteStore
from exprd_server.values import CompileCall, Durability, ExecuteReply
from exprd_server.variables import NewVariable
from exprd_server.versions import PublishCall, version_bytes
from tests.server import graphs
from tests.server.stores.facts import record, variable

CLIENT = "fuzz"
LIMITS = Limits(tensor_bytes=1 << 22, client_bytes=1 << 24, graph_nodes=2000, buffers=64)


@dataclass(frozen=True)
class World:
    """An engine, and what requests to it can name."""

    engine: LocalEngine
    counter: str
    scale: str
    total: str
    weights: str
    numbers: itertools.count[int]

    def client(self) -> str:
        """A client that has not called before."""
        return f"{CLIENT}-{next(self.numbers)}"

    @property
    def words(self) -> tuple[str, ...]:
        return (self.counter, self.scale, self.total, self.weights, CLIENT)


@cache
def world() -> World:
    """An engine on a store in memory, with a function that counts and one that scales."""
    engine = LocalEngine(Settings(limits=LIMITS), InProcessCompiler(), MemoryStore())
    total = engine.create_variable(CLIENT, NewVariable(value=np.array(0.0))).uuid
    weights = engine.create_variable(CLIENT, NewVariable(value=np.array([1.0, 2.0]))).uuid

    def handle(graph, uuid: str) -> str:
        call = CompileCall(client_id=CLIENT, graph=graph, bindings=(uuid,))
        return engine.compile(call).handle

    counter, scale = handle(graphs.counter(), total), handle(graphs.scale(), weights)
    return World(engine, counter, scale, total, weights, itertools.count())


@cache
def folder() -> Path:
    """A folder in memory where there is one, for readers that want files."""
    here = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="exprd-fuzz-", dir=here))


@cache
def state_file() -> bytes:
    """A state file with a row or more in every table."""
    path = folder() / "state"
    store = SqliteStore(StateFolder(path), OFF)
    for name, value in {"a": np.arange(300.0), "b": np.ones((2, 3), "int8"), "c": True}.items():
        store.create(variable(name, value))
    store.create(variable("k", 2.5, Durability.CONSTANT))
    store.commit([], record(1, value=1.0))
    store.commit([], record(2))
    store.forget("c", 1)
    store.put_entry("kind", "key", b"data")
    store.close()
    return (path / "state.db").read_bytes()


def opened(data: bytes) -> sqlite3.Connection:
    """A connection to a file in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = text_of
    # Bytes 18 and 19 of a file in WAL mode keep it from being read without its log.
    connection.deserialize(data[:18] + b"\x01\x01" + data[20:] if len(data) > 20 else data)
    return connection


@cache
def checkpoint() -> tuple[Path, bytes, bytes]:
    """The folder of checkpoints, and the two files of the checkpoint `a` in it."""
    place = folder() / "checkpoints"
    stored = [variable("w", np.arange(6.0).reshape(2, 3)), variable("b", True)]
    Checkpoints(place).write("a", [*stored, variable("z", np.ones(2, "complex64"))])
    found = place / "a"
    return (
        place,
        (found / "variables.safetensors").read_bytes(),
        (found / "manifest.json").read_bytes(),
    )


@cache
def version() -> bytes:
    """A published version as the store has it."""
    here = world()
    call = PublishCall(client_id=CLIENT, name="f", handle=here.scale, inputs=1, outputs=2)
    return version_bytes(here.engine.published.publish(call).version)


def reply() -> ExecuteReply:
    """An answer with arrays."""
    return ExecuteReply(outputs=(np.arange(3.0), None, np.array(True)), versions=(("u", 2),))
