"""A TCP proxy in front of a Unix socket that can cut connections at chosen moments.

For tests of retries: what passes through it is real traffic between a real client and server.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class _Pair:
    """The two ends of a connection, each read by a thread of its own; closed when both are done.

    Closed, and not only shut down: a sender whose bytes nobody reads any more must be told so.
    """

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = (client, server)
        self._lock = threading.Lock()
        self._readers = 2

    def end(self) -> None:
        """Has both threads end."""
        for each in self.ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Notes that one of the threads is done."""
        self.end()
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                for each in self.ends:
                    each.close()


class Proxy:
    """Forwards bytes both ways, until told to cut."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._armed = threading.Event()
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self.cuts = 0
        self.sent = 0  # bytes from clients
        self.received = 0  # bytes for them
        self._allowed: dict[bool, int] = {}
        self._once: Callable[[], bool] | None = None
        self._start(self._accept)

    @property
    def target(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def cut_next_reply(self) -> None:
        """Drops the next bytes of the server, and the connection with them."""
        self._armed.set()

    def cut_after(
        self, nbytes: int, *, replies: bool, once: Callable[[], bool] | None = None
    ) -> None:
        """Cuts the connection when so many more bytes have gone one way.

        Args:
            nbytes: so many.
            replies: of the server, or of the client.
            once: what must have come true by then; nothing goes that way meanwhile.
        """
        self._once = once
        self._allowed[replies] = nbytes

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in tuple(self._pairs):
            pair.end()
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            self._pairs.append(pair := _Pair(client, server))
            self._start(self._forward, pair, client, server, False)
            self._start(self._forward, pair, server, client, True)

    def _forward(
        self, pair: _Pair, source: socket.socket, sink: socket.socket, replies: bool
    ) -> None:
        try:
            while data := source.recv(1 << 16):
                if replies and self._armed.is_set():
                    self._armed.clear()
                    self.cuts += 1
                    break
                if self._is_cut(len(data), replies):
                    break
                sink.sendall(data)
        except OSError:
            pass
        pair.leave()

    def _is_cut(self, nbytes: int, replies: bool) -> bool:
        if replies:
            self.received += nbytes
        else:
            self.sent += nbytes
        if replies not in self._allowed:
            return False
        self._allowed[replies] -= nbytes
        if self._allowed[replies] >= 0:
            return False
        del self._allowed[replies]
        while self._once is not None and not self._once():
            threading.Event().wait(0.001)
        self.cuts += 1
        return True
