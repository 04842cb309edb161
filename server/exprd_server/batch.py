"""Batches: one function over several lists of inputs, in one message.

Invariant: every item is a call of its own with a number of its own, so a retry of the message
replays the items that ran. The first item that fails is the last that ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import LimitExceeded
from exprd_server.answers import Answer, batch_frame
from exprd_server.fairness import client_of
from exprd_server.likeness import batch_calls
from exprd_server.outcomes import failure_of
from exprd_server.throttle import Lap

if TYPE_CHECKING:
    import exprd_proto as wire
    from exprd_server.engine import LocalEngine
    from exprd_server.lane import Lane
    from exprd_server.log import Logger
    from exprd_server.settings import Limits

# An answer that has grown to this is sent; the client asks for the rest.
_ANSWER_BYTES: Final = 8 << 20


def run_batch(
    engine: LocalEngine,
    request: wire.BatchFrame,
    limits: Limits,
    lane: Lane,
    log: Logger,
) -> Answer:
    """Runs the items in order, up to the first that fails, or until the answer is full.

    Args:
        engine: runs them.
        request: the items.
        limits: of the server.
        lane: of the caller, with the deadline that they have together.
        log: where errors go that are ours.

    Raises:
        LimitExceeded: there are more items than one message may have.
    """
    count = len(request.items)
    if count > limits.batch_items:
        raise LimitExceeded(
            f"{count} items in one batch, at most {limits.batch_items}",
            hint="send them in several batches",
            fields={"limit": "batch_items"},
        )
    engine.running.join(lane)
    try:
        return _answered(engine, request, limits, lane, log)
    finally:
        engine.running.part(lane)
        lane.close()


def _answered(
    engine: LocalEngine,
    request: wire.BatchFrame,
    limits: Limits,
    lane: Lane,
    log: Logger,
) -> Answer:
    frame = batch_frame(engine.incarnation)
    lap = Lap(engine.throttle, client_of(request))
    for position, call in enumerate(batch_calls(request, limits)):
        seq = position if call.call_id is None else call.call_id.seq
        lane.go_on(seq)
        try:
            reply = engine.execute(call, lane)
        except Exception as error:
            frame.fail(seq, failure_of(error, seq, log))
            break
        frame.add(seq, reply)
        lap.rest()
        if frame.nbytes > _ANSWER_BYTES:
            break
    return frame.answer()
