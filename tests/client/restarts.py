"""A server process that tests kill and start again at the same address, and a wire that breaks."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import exprd

START_SECONDS = 60


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Has all clients wait for a server that starts: on a busy machine that takes half a minute."""
    usual, exprd.config.ride_through = exprd.config.ride_through, 300.0
    try:
        yield
    finally:
        exprd.config.ride_through = usual


class RestartableServer:
    """`exprd serve` on one socket, with one cache and, when asked for, one state directory.

    Args:
        folder: where socket, cache, state and log lie.
        env: of the process.
        flags: further ones; `--state` is given by `durable`.
        durable: whether the state lies on disk.
    """

    def __init__(
        self, folder: Path, env: dict[str, str], *flags: str, durable: bool = True
    ) -> None:
        self.path = folder / "restart.sock"
        self.log = folder / "log"
        state = ("--state", str(folder / "state")) if durable else ()
        self._flags = ("--drain-seconds", "0", "--cache-dir", str(folder / "cache"), *state, *flags)
        self._env = env
        self.starts = 0
        self.start()

    @property
    def target(self) -> str:
        return f"unix://{self.path}"

    def start(self, env: dict[str, str] | None = None) -> None:
        """Starts the server, perhaps in another environment; returns once it can be called."""
        listen = ("--listen", self.target)
        command = [sys.executable, "-m", "exprd_server", "serve", *listen, *self._flags]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, env=env or self._env, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("serving on"), self.log.read_text()
        self.starts += 1

    def kill(self) -> None:
        """Ends the server in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ends the server in order; its exit status."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kills and starts it."""
        self.kill()
        self.start()

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(START_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


class KillAt:
    """Kills and restarts a server, from a thread of its own, when a count is reached."""

    def __init__(self, server: RestartableServer, *counts: int) -> None:
        self._reached = [threading.Event() for _ in counts]
        self._counts = counts
        self._server = server
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Callable[[int], None]:
        self._thread.start()
        return self._tell

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for event in self._reached:
            event.set()
        self._thread.join()

    def _tell(self, count: int) -> None:
        """Says how far the work has come."""
        for wanted, event in zip(self._counts, self._reached, strict=True):
            if count >= wanted:
                event.set()

    def _work(self) -> None:
        for event in self._reached:
            event.wait()
            self._server.restart()


class LossyWire:
    """A socket in front of a server that breaks each connection after some random bytes.

    What was read by then is lost on the way, be it a request or an answer. While nobody serves
    behind it, connections are refused.
    """

    def __init__(self, path: Path, upstream: Path, seed: int, fewest: int, most: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._range = (fewest, most)
        self.target = f"unix://{path}"
        self.broken = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ends: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for end in [*self._ends]:
            _shut(end)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                if not _connected(server, self._upstream):
                    client.close()
                    server.close()
                    continue
                self._ends += (client, server)
                budgets = [self._random.randint(*self._range) for _ in range(2)]
                self._start(self._carry, client, server, budgets)

    def _carry(self, client: socket.socket, server: socket.socket, budgets: list[int]) -> None:
        """Both ways of a connection, to its end."""
        back = threading.Thread(target=self._pump, args=(server, client, budgets[1]))
        back.start()
        self._pump(client, server, budgets[0])
        back.join()
        for end in (client, server):
            self._ends.remove(end)
            end.close()

    def _pump(self, source: socket.socket, target: socket.socket, budget: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(512):
                budget -= len(data)
                if budget < 0:
                    self.broken += 1
                    break
                target.sendall(data)
        _shut(source)
        _shut(target)


def _connected(end: socket.socket, path: Path) -> bool:
    try:
        end.connect(str(path))
    except OSError:
        return False
    return True


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
