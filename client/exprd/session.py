"""Session: one client's dealings with one place where graphs run, and which one is in use.

The session in use is the innermost `connect`, else `EXPRD_TARGET`, else this process. What is no
longer referenced is given up in batches, at a moment when a call is made anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from collections import Counter, deque
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Literal

from exprd.config import config
from exprd.transport import Transport
from exprd_compiler.errors import ConnectionLost, ExprdError, MissingExtra

__all__ = ["Session", "connect", "current_session"]

Kind = Literal["function", "buffer", "variable"]


class Session:
    """A connection to a server, or the engine of this process. Thread safe; a context manager.

    Attributes:
        target: "host:port", "unix:///path", or "" for this process.
        named: the shared variables with names that outlive the client, by uuid.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._garbage: deque[tuple[Kind, str]] = deque()
        self._owners: Counter[tuple[Kind, str]] = Counter()
        self._lock = threading.Lock()
        self._busy = 0  # compilations under way: they may give a name that is about to be given up
        self._closed = False
        # Variables that can be opened by name: one object each, so that functions use one slot.
        self.named: weakref.WeakValueDictionary[str, object] = weakref.WeakValueDictionary()

    @property
    def target(self) -> str:
        """Where the graphs of this session run."""
        return self._transport.target

    @property
    def transport(self) -> Transport:
        """The open transport.

        Raises:
            ConnectionLost: the session was closed.
        """
        if self._closed:
            raise ConnectionLost(
                f"the session with {self.target or 'this process'} is closed",
                hint="connect again; functions and shared variables belong to their session",
            )
        return self._transport

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of execute messages sent and received so far; zeros within this process."""
        return self.transport.traffic

    def info(self) -> Mapping[str, str]:
        """Versions, limits and load of the server."""
        return self.transport.info()

    def collect_with(self, owner: object, kind: Kind, name: str) -> None:
        """Notes that something may be given up when its owner is gone."""
        with self._lock:
            self._owners[kind, name] += 1
        finalizer = weakref.finalize(owner, self._garbage.append, (kind, name))
        finalizer.atexit = False

    @contextlib.contextmanager
    def acquiring(self) -> Generator[None]:
        """For what asks for a name and then says `collect_with`: until then nothing is given up."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def sweep(self) -> None:
        """Gives up what has lost its last owner; an error of this is nobody's business.

        Equal functions have one name, so what loses an owner may have another.
        """
        if not self._garbage or self._closed:
            return
        with self._lock, contextlib.suppress(ExprdError):
            if self._busy:
                return
            gone: dict[Kind, list[str]] = {"function": [], "buffer": [], "variable": []}
            while self._garbage:
                kind, name = self._garbage.popleft()
                self._owners[kind, name] -= 1
                if not self._owners[kind, name]:
                    del self._owners[kind, name]
                    gone[kind].append(name)
            # Under the lock still: who acquired meanwhile could be given a name that then goes.
            self._transport.release(gone["function"], gone["buffer"], gone["variable"])

    def close(self) -> None:
        """Gives up everything this client holds there. Idempotent."""
        if self._closed:
            return
        self._closed = True
        _SESSIONS.leave(self)
        self._transport.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed " if self._closed else ""
        return f"<{state}session with {self.target or 'this process'}>"


class _Sessions:
    """The open sessions of this process, the one in use last."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stack: list[Session] = []
        self._embedded: Session | None = None

    def enter(self, session: Session) -> None:
        """Puts a session in use."""
        with self._lock:
            self._stack.append(session)

    def leave(self, session: Session) -> None:
        """Takes a session out of use."""
        with self._lock:
            self._stack = [s for s in self._stack if s is not session]
            if self._embedded is session:
                self._embedded = None

    def current(self) -> Session:
        """The session in use, made if there is none."""
        with self._lock:
            if self._stack:
                return self._stack[-1]
            if config.target:
                self._stack.append(_open(config.target))
                return self._stack[-1]
            if self._embedded is None:
                self._embedded = _open("")
            return self._embedded

    def close_all(self) -> None:
        """Ends every session, at exit."""
        with self._lock:
            rest = [*self._stack, *([self._embedded] if self._embedded is not None else [])]
        for session in rest:
            with contextlib.suppress(ExprdError):
                session.close()


def _open(target: str, **given: str | bool | None) -> Session:
    if target:
        from exprd.remote import RemoteTransport  # grpc is loaded by those who use it
        from exprd_proto.channels import Access

        access = Access(**_access(given))
        return Session(
            RemoteTransport(target, lambda: config.deadline, lambda: config.ride_through, access)
        )
    try:
        from exprd.embedded import EmbeddedTransport  # the one door to the server's package
    except ImportError as error:
        raise MissingExtra(
            f"no target is set, and compiling in this process needs {error.name}",
            hint="pip install 'exprd[server]', or exprd.connect('host:port') to a server",
        ) from error
    return Session(EmbeddedTransport(config.cache_folder(), config.memory_limit))


_SESSIONS = _Sessions()
atexit.register(_SESSIONS.close_all)


def current_session() -> Session:
    """The session in use: the innermost `connect`, else `EXPRD_TARGET`, else this process.

    Raises:
        MissingExtra: this process has no compiler installed.
        ConnectionLost: the server of `EXPRD_TARGET` does not answer.
    """
    return _SESSIONS.current()


def _access(given: Mapping[str, str | bool | None]) -> dict[str, Any]:
    """What is shown to a server: as given, else as the options say."""
    said = {name: value for name, value in given.items() if value is not None}
    access = {
        "token": config.token,
        "token_file": config.token_file,
        "ca": config.tls_ca,
        "cert": config.tls_cert,
        "key": config.tls_key,
        **said,
    }
    if "token" in said:
        access["token_file"] = ""
    return access


def connect(
    target: str | None = None,
    token: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    *,
    insecure: bool = False,
) -> Session:
    """Connects to a server and uses it from now on; as a context manager, until its end.

    Args:
        target: "host:port" or "unix:///path"; by default what `EXPRD_TARGET` says, and without
            that this process itself.
        token: what the server knows this client by; by default what `EXPRD_TOKEN` or the file of
            `EXPRD_TOKEN_FILE` says.
        ca: file of the certificates to trust, or "system" for those of this machine; encrypts.
        cert: file of this client's own certificate, where the server asks for one.
        key: file of its private key.
        insecure: send the token to another machine although the connection is not encrypted.

    Raises:
        ConnectionLost: nobody answers there, or not with a certificate to trust.
        Unauthenticated: the server asks for a token, or does not know this one.
        CallError: a file cannot be read, or the token would travel in the clear.
    """
    wanted = config.target if target is None else target
    session = _open(wanted, token=token, ca=ca, cert=cert, key=key, insecure=insecure)
    _SESSIONS.enter(session)
    return session
