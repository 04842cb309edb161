"""The connections of one client to the doorbell of its server, if there is one on this host.

A call takes a connection for its time, so that calls of several threads run beside each other; when
none is free, it goes over gRPC, and one more is opened behind it. Whatever a connection cannot do,
gRPC does, under the same number, so that nothing happens twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Generator, Sequence
from typing import Final

import grpc
import numpy as np

import exprd_proto as wire
from exprd.bell import Bell, BellLost, Rung, Unfit
from exprd.bell_bulk import getting, putting
from exprd.config import config
from exprd.connection import MESSAGE_BYTES, Connection, written_inputs
from exprd.healing import Needs
from exprd.looping import Given
from exprd.remote_loops import Line
from exprd.transport import Array, BufferRef, Expected, InputValue, Run
from exprd_compiler.errors import (
    ConnectionLost,
    DeadlineExceeded,
    ExprdError,
    LimitExceeded,
    UnknownHandle,
)
from exprd_proto import framing

__all__ = ["Bells"]

_MOST: Final = 8  # connections; calls of more threads go over gRPC
_LARGE: Final = 1 << 20
_OPEN_SECONDS: Final = 2.0
_HEADS: Final = 1 << 16  # of a message, beside its arrays
_PAUSE: Final = 5.0  # after a connection could not be opened
_POSSIBLE: Final = sys.byteorder == "little" and hasattr(socket, "SO_PEERCRED")


class Bells:
    """The doorbell as one client sees it. Thread safe.

    Args:
        line: the client's transport.
        connection: its gRPC connection.
    """

    def __init__(self, line: Line, connection: Connection) -> None:
        self._line = line
        self._connection = connection
        self._path = path_of(connection.target) if _POSSIBLE else ""
        self._idle: deque[Bell] = deque()
        self._every: set[Bell] = set()
        self._seconds = connection.rider.seconds
        self._opening = threading.Lock()
        self._next = 0.0
        self._ended = [0, 0]  # traffic of connections that are no longer open
        if self._path:
            connection.shortcut = self
        _EVERY.add(self)

    @property
    def open(self) -> tuple[Bell, ...]:
        """The connections that there are."""
        return tuple(self._every)

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far, arrays in shared memory included."""
        bells = self.open
        sent, received = self._ended
        return sent + sum(b.sent for b in bells), received + sum(b.received for b in bells)

    def close(self) -> None:
        """Ends all connections; who waits on one goes over gRPC, which is closed as well."""
        self._path = ""
        for bell in self.open:
            bell.break_off()
        while self._idle:
            self._end(self._idle.pop())

    def abandon(self) -> None:
        """Leaves all connections to the process that this one was forked from."""
        self._path = ""
        self._idle.clear()
        for bell in self.open:
            bell.close()
        self._every.clear()

    # ---- calls
    def runner(self, handle: str, outputs: int, run: Run) -> Run:
        """The callable of a handle that rings where it can, and does as `run` where it cannot."""
        if not self._path:
            return run
        loops = self._line.loops

        def call(inputs: Sequence[InputValue], keep: bool, expected: Expected = ()) -> Given:
            if expected or loops.entered:
                return run(inputs, keep, expected)
            bell = self._taken()
            if bell is not None:
                return self._call(bell, handle, inputs, outputs if keep else 0)
            found = run(inputs, keep, expected)
            self._open_one()
            return found

        return call

    # ---- arrays
    def put(self, handle: str, value: Array) -> wire.BufferInfo | None:
        """Puts an array through shared memory; None when that cannot be."""
        with self._borrowed(value.nbytes) as bell:
            if bell is not None and value.dtype.isnative:
                return putting(bell, handle, value, self._connection.rider.left())
        return None

    def get(self, handle: str) -> Array | None:
        """Gets an array through shared memory; None when that cannot be."""
        with self._borrowed(_LARGE) as bell:
            if bell is not None:
                return getting(bell, handle, self._connection.rider.left())
        return None

    @contextlib.contextmanager
    def _borrowed(self, nbytes: int) -> Generator[Bell | None]:
        """A connection for some time; one is opened for what is large."""
        if nbytes >= _LARGE and not self._idle:
            self._open_one()
        bell = self._taken()
        try:
            yield bell
        except (BellLost, Unfit, LimitExceeded):  # then the caller goes on over gRPC
            pass
        except BaseException as error:
            if bell is not None and not isinstance(error, ExprdError):
                bell.close()
            raise
        finally:
            if bell is not None:
                self._give(bell)

    def _call(self, bell: Bell, handle: str, inputs: Sequence[InputValue], kept: int) -> Given:
        line, ids = self._line, self._line.ids
        seq, acked = ids.take()
        try:
            rung = self._rung(bell, handle, inputs, kept, seq, acked)
            if rung is None:
                most = bell.offer.region_bytes
                return self._again(handle, inputs, kept, seq, acked, most)
        finally:
            ids.close((seq,))
        if rung.versions:
            line.healer.saw(rung.versions, bell.offer.incarnation)
        if rung.message is None:
            return rung.outputs, ()
        return line.given(rung.message, keep=bool(kept))

    def _rung(
        self,
        bell: Bell,
        handle: str,
        inputs: Sequence[InputValue],
        kept: int,
        seq: int,
        acked: int,
    ) -> Rung | None:
        """The answer of a call; None when it is to be made over gRPC."""
        try:
            return bell.call(handle, inputs, kept, seq, acked, self._seconds())
        except (BellLost, Unfit, UnknownHandle):
            return None
        except LimitExceeded as error:
            if "retry_after_ms" not in error.fields:
                raise
            return None
        except DeadlineExceeded:
            if bell.closed:  # the server has not said so
                self._connection.stop(seq)
            raise
        except KeyboardInterrupt:
            bell.close()
            self._connection.stop(seq)
            raise
        finally:
            self._give(bell)

    def _again(
        self, handle: str, inputs: Sequence[InputValue], kept: int, seq: int, acked: int, most: int
    ) -> Given:
        """The outputs and events of a call over gRPC, under a number that it has already."""
        line, healer, connection = self._line, self._line.healer, self._connection
        number = wire.CallId(client_id=connection.client_id, seq=seq, acked_through=acked)
        tail = framing.field(4, number.SerializeToString())
        if kept:
            tail += framing.field(3, bytes([wire.Delivery.DELIVERY_KEEP] * kept))
        names = tuple(x.handle for x in inputs if isinstance(x, BufferRef))
        with self._as_before(inputs, most) as sent:
            parts = [framing.text_field(1, handle), *written_inputs(2, sent), tail]

            def attempt() -> Given:
                named = framing.text_field(32, healer.incarnation)
                data = framing.joined((*parts, named))
                reply = connection.execute_or_stop(data, seq)
                line.count(len(data), reply.ByteSize())
                healer.saw([(v.uuid, v.version) for v in reply.versions], reply.incarnation)
                return line.given(reply, keep=bool(kept))

            try:
                return line.healed(Needs(functions=(handle,), buffers=names), attempt)
            except ConnectionLost as error:
                error.add_note("the server may have done this call before the connection was lost")
                raise

    def _as_before(
        self, inputs: Sequence[InputValue], most: int
    ) -> contextlib.AbstractContextManager[Sequence[InputValue]]:
        """The inputs as they are sent, for some time; arrays that may have rung are a part again.

        A server that has done the call knows it by the bytes of its arrays, not by the names of
        buffers that hold the same.
        """
        total = sum(x.nbytes for x in inputs if isinstance(x, np.ndarray))
        return contextlib.nullcontext(inputs) if total <= most else self._line.sending(inputs)

    # ---- connections
    def _taken(self) -> Bell | None:
        """A connection that nobody uses, to the server that the client knows."""
        try:
            bell = self._idle.pop()
        except IndexError:
            return None
        healer = self._line.healer
        known = bell.offer.incarnation == healer.incarnation and not healer.untold
        if known and config.doorbell == "auto":
            return bell
        self._end(bell)
        return None

    def _give(self, bell: Bell) -> None:
        if bell.closed or not self._path:
            self._end(bell)
        else:
            self._idle.append(bell)

    def _end(self, bell: Bell) -> None:
        bell.close()
        if bell in self._every:
            self._every.discard(bell)
            self._ended[0] += bell.sent
            self._ended[1] += bell.received

    def _open_one(self) -> None:
        """Opens a connection for the next call, if there may be one more."""
        if len(self._every) >= _MOST or time.monotonic() < self._next or not self._path:
            return
        if config.doorbell != "auto" or not self._opening.acquire(blocking=False):
            return
        try:
            self._next = time.monotonic() + _PAUSE
            bell = self._opened()
            if bell is not None:
                self._next = 0.0
                self._every.add(bell)
                self._give(bell)
        finally:
            self._opening.release()

    def _opened(self) -> Bell | None:
        asked = wire.OpenDoorbellRequest(client_id=self._connection.client_id)
        # What the server says against it, or does not know, is no concern of a call that is done.
        with contextlib.suppress(grpc.RpcError, ValueError, BellLost):
            offer = self._connection.executor.OpenDoorbell(asked, timeout=_OPEN_SECONDS)
            offer.region_bytes = min(offer.region_bytes, MESSAGE_BYTES - _HEADS)
            return Bell(self._path, offer, _OPEN_SECONDS, config.doorbell_spin)
        return None


_EVERY: weakref.WeakSet[Bells] = weakref.WeakSet()


def _abandon_all() -> None:
    for bells in tuple(_EVERY):
        bells.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def path_of(target: str) -> str:
    """The path of a Unix socket; "" of any other target."""
    if not target.startswith("unix:"):
        return ""
    return os.path.abspath(target.removeprefix("unix:").removeprefix("//"))  # noqa: PTH100
