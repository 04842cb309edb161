"""Sessions: many calls of one client over one stream, in order, in frames.

Invariant: each call is the call that Execute alone would run, with its own identity and its own
outcome; a stream that breaks leaves nothing undone or done twice, because the client sends what was
not answered again under the same numbers.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_server.answers import Answer, session_frame
from exprd_server.lane import Lane
from exprd_server.leases import check_client_id
from exprd_server.likeness import Reader
from exprd_server.outcomes import failure_of
from exprd_server.statuses import RETRY_FIELD
from exprd_server.throttle import BESIDE, Lap
from exprd_server.values import ExecuteCall

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.settings import Settings

_FLUSH_SECONDS: Final = 0.002  # answers wait no longer than this for the rest of their frame
_FLUSH_BYTES: Final = 1 << 20
_GREETING_SECONDS: Final = 10.0
_RETRY_MS: Final = "50"


class Stream(Protocol):
    """What a session needs of its RPC."""

    def cancel(self) -> object:
        """Breaks the RPC off."""
        ...

    def add_callback(self, callback: Callable[[], None], /) -> object:
        """Has a function called when the RPC ends, for whatever reason."""
        ...


class _Session:
    """One open stream, whose calls run in a lane."""

    __slots__ = ("busy", "client_id", "gone", "lane", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.client_id = ""  # of its first frame, which is still to come
        self.busy = True
        self.gone = False
        self.lane = Lane("")

    def left(self) -> None:
        """Notes that the caller has gone."""
        self.gone = True
        self.lane.leave()


class SessionTable:
    """The open sessions of a server. Thread safe."""

    def __init__(self, engine: LocalEngine, settings: Settings, log: Logger) -> None:
        self._engine = engine
        self._settings = settings
        self._log = log
        self._lock = threading.Lock()
        self._open: set[_Session] = set()
        self._ending = False

    def serve(
        self, frames: Iterator[wire.SessionFrame], stream: Stream
    ) -> Iterator[wire.SessionResponse | Answer]:
        """The answers to the frames of one stream.

        Raises:
            LimitExceeded: too many sessions, or a frame above the window.
            CallError: the first frame does not say whose calls they are, or a call is no message.
        """
        limits = self._settings.limits
        with self._opened(stream) as session:
            client_id = self._greeted(session, frames)
            self._engine.renew(client_id)
            window = wire.SessionWindow(calls=limits.session_calls, bytes=limits.session_bytes)
            yield wire.SessionResponse(window=window)
            reader = Reader(client_id, limits)
            while self._rest(session) and (frame := next(frames, None)) is not None:
                self._work(session)
                self._engine.throttle.rest(client_id)
                yield from self._answers(session, reader, frame)

    def end(self) -> None:
        """Ends sessions as soon as they have answered what they have read; the idle ones now."""
        with self._lock:
            self._ending = True
            idle = [s for s in self._open if not s.busy]
        for session in idle:
            session.stream.cancel()

    def _greeted(self, session: _Session, frames: Iterator[wire.SessionFrame]) -> str:
        """Whose calls they are, as the first frame says, for which we do not wait for ever."""
        timer = threading.Timer(_GREETING_SECONDS, session.stream.cancel)
        timer.daemon = True
        timer.start()
        try:
            first = next(frames, None)
        finally:
            timer.cancel()
        if first is None or first.calls:
            raise CallError("a session begins with a frame that has a client_id and no calls")
        check_client_id(first.client_id)
        limit = self._settings.limits.client_sessions
        with self._lock:
            session.client_id = session.lane.client_id = first.client_id
            if sum(s.client_id == first.client_id for s in self._open) > limit:
                raise _too_many("client_sessions", f"{limit} sessions of this client")
        return first.client_id

    @contextmanager
    def _opened(self, stream: Stream) -> Generator[_Session]:
        session = _Session(stream)
        limit = self._settings.limits.sessions
        with self._lock:
            if len(self._open) >= limit:
                raise _too_many("sessions", f"{limit} sessions")
            self._open.add(session)
        stream.add_callback(session.left)
        running = self._engine.running
        running.join(session.lane)
        try:
            yield session
        finally:
            running.part(session.lane)
            session.lane.close()
            with self._lock:
                self._open.discard(session)

    def _rest(self, session: _Session) -> bool:
        """Marks a session as idle, unless it is to end."""
        with self._lock:
            session.busy = False
            return not self._ending

    def _work(self, session: _Session) -> None:
        with self._lock:
            session.busy = True

    def _answers(
        self, session: _Session, reader: Reader, frame: wire.SessionFrame
    ) -> Iterator[Answer]:
        client_id, calls = session.client_id, frame.calls
        if len(calls) > self._settings.limits.session_calls:
            raise LimitExceeded(
                f"{len(calls)} calls in one frame, at most {self._settings.limits.session_calls}",
                hint="keep to the window of the first answer",
                fields={"limit": "session_calls"},
            )
        longest = self._settings.execute_seconds
        seconds = min(longest, frame.seconds) if frame.seconds > 0 else longest
        engine, lane = self._engine, session.lane
        lap = Lap(engine.throttle, client_id)
        answers, flushed = session_frame(engine.incarnation), time.monotonic()
        for seq, call in reader.read(calls, frame.acked_through):
            lane.begin(seq, seconds)
            if session.gone:  # the call before may have been stopped by that: none overtakes it
                break
            try:
                reply = engine.execute(call if isinstance(call, ExecuteCall) else call(), lane)
            except Exception as error:
                answers.fail(seq, failure_of(error, seq, self._log))
            else:
                answers.add(seq, reply)
            now = time.monotonic()
            if answers.nbytes > _FLUSH_BYTES or now - flushed > _FLUSH_SECONDS:
                yield answers.answer()
                lap.rest(answers.count)
                answers, flushed = session_frame(engine.incarnation), time.monotonic()
        lane.over()
        if answers.count:
            yield answers.answer()
        # after the answers, for which somebody waits; each call has renewed the lease as well
        lap.end(answers.count)
        engine.renew(client_id)
        engine.throttle.spend(client_id, BESIDE)


def _too_many(limit: str, what: str) -> LimitExceeded:
    return LimitExceeded(
        f"{what} are open already",
        hint="make single calls, or try again in a moment",
        fields={"limit": limit, RETRY_FIELD: _RETRY_MS},
    )


def stream_of(context: Any) -> Stream:
    """The RPC of a context, whose stubs say less than it does."""
    return context  # type: ignore[no-any-return]
