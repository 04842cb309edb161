"""What is written by hand is what protobuf reads, and what protobuf itself would write."""

from __future__ import annotations

import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.ir.counts import EventCount
from exprd_server import replies
from exprd_server.answers import batch_frame, execute_answer, session_frame
from exprd_server.values import BufferInfo, ExecuteReply

INCARNATION = "f00d"
KEPT = BufferInfo(handle="buf-1", dtype="float64", shape=(3, 4), nbytes=96)
REPLIES = {
    "nothing": ExecuteReply(outputs=()),
    "a scalar": ExecuteReply(outputs=(np.array(2.5),)),
    "empty": ExecuteReply(outputs=(np.empty((0, 3), "float32"),)),
    "large": ExecuteReply(outputs=(np.arange(5000.0), np.arange(6).reshape(2, 3).T)),
    "bools": ExecuteReply(outputs=(np.array([True, False]),)),
    "kept and dropped": ExecuteReply(outputs=(KEPT, None, np.arange(3))),
    "committed": ExecuteReply(
        outputs=(), versions=(("a" * 36, 1), ("b", 1 << 40)), timings=(("execute", 0.25),)
    ),
    "replayed": ExecuteReply(outputs=(), versions=(("a", 2),), replayed=True),
    "remarks": ExecuteReply(
        outputs=(np.arange(2),),
        warnings=(EventCount("division by zero", "div", 3, 7), EventCount("x", "y", -1, 1)),
        printed=("one", "two"),
    ),
}


@pytest.mark.parametrize("name", REPLIES)
def test_an_answer_is_that_of_protobuf(name: str) -> None:
    reply = REPLIES[name]
    answer = execute_answer(reply, INCARNATION)
    assert wire.ExecuteResponse.FromString(answer.data) == replies.execute_response(
        reply, INCARNATION
    )


def test_a_frame_has_the_outcomes_in_order() -> None:
    failure = wire.CallFailure(code=3, detail=wire.ErrorDetail(kind="CallError", message="no"))
    for frame, kind in (
        (session_frame(INCARNATION), wire.SessionResponse),
        (batch_frame(INCARNATION), wire.ExecuteBatchResponse),
    ):
        assert kind.FromString(frame.answer().data) == kind()
        for seq, reply in enumerate(REPLIES.values()):
            frame.add(seq * 1000, reply)
        frame.fail(9, failure)
        outcomes = kind.FromString(frame.answer().data).outcomes
        assert frame.count == len(outcomes) == len(REPLIES) + 1
        for seq, (outcome, reply) in enumerate(zip(outcomes, REPLIES.values(), strict=False)):
            assert outcome.seq == seq * 1000
            assert outcome.response == replies.execute_response(reply, INCARNATION)
        assert outcomes[-1] == wire.CallOutcome(seq=9, failure=failure)


def test_an_answer_counts_what_was_done_and_not_what_was_told_again() -> None:
    frame = session_frame(INCARNATION)
    for seq, reply in enumerate(REPLIES.values()):
        frame.add(seq, reply)
    answer = frame.answer()
    assert answer.commits == 1
    assert list(answer.timings) == [("execute", 0.25)]
