"""One session by itself: in which order its calls are made, whatever becomes of its caller."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.errors import Cancelled
from exprd_proto.arrays import array_to_wire
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.log import make_logger
from exprd_server.session import SessionTable
from exprd_server.settings import Settings
from exprd_server.store import MemoryStore
from exprd_server.values import CompileCall
from exprd_server.variables import NewVariable
from tests.server import graphs


class Line:
    """The RPC of a session, which breaks when a test says so."""

    def __init__(self) -> None:
        self.breaks: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.breaks.append(callback)

    def cancel(self) -> None:
        raise AssertionError("nobody ends this session")


def test_a_call_does_not_overtake_one_that_its_caller_has_left(monkeypatch: pytest.MonkeyPatch):
    """That one is stopped and comes again over another session, before those behind it."""
    engine = LocalEngine(Settings(), InProcessCompiler(), MemoryStore())
    total = engine.create_variable("c", NewVariable(value=np.array(0.0))).uuid
    asked = CompileCall(client_id="c", graph=graphs.counter(), bindings=(total,))
    handle = engine.compile(asked).handle
    line, execute, ended = Line(), engine.execute, []

    def executed(call, deadline):
        if call.call_id.seq == 2:
            for callback in line.breaks:
                callback()
        try:
            return execute(call, deadline)
        except Cancelled:
            ended.append(call.call_id.seq)
            raise

    monkeypatch.setattr(engine, "execute", executed)

    def frames() -> Iterator[wire.SessionFrame]:
        yield wire.SessionFrame(client_id="c")
        one = wire.ExecuteInput(array=array_to_wire(np.array(1.0)))
        calls = [
            wire.ExecuteRequest(handle=handle, inputs=[one], call_id=wire.CallId(seq=seq))
            for seq in (1, 2, 3)
        ]
        yield wire.SessionFrame(calls=[call.SerializeToString() for call in calls])

    list(SessionTable(engine, Settings(), make_logger(io.StringIO())).serve(frames(), line))
    assert ended == [2]
    assert engine.get_variable("c", total)[1] == 1
