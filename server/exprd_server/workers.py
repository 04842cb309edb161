"""Worker processes: where compilation and per-node Python run, with bounds.

Invariant: one request at a time per worker; a worker that hangs, dies or speaks
nonsense costs that request, is killed, and is replaced at once. A message is two
frames, a JSON header and a body of bytes; a frame is its length in 8 little-endian
bytes, then its bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import select
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from exprd_compiler import errors
from exprd_compiler.errors import CompilerBug, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from exprd_server.deadline import Deadline
    from exprd_server.settings import WorkerSettings

WORKER_COMMAND: Final = (sys.executable, "-m", "exprd_server.tasks")
_LENGTH: Final = struct.Struct("<Q")
_MAX_FRAME: Final = 4 << 30
_RETRY_MS: Final = "200"  # when the queue is full: about one small compilation
_POLL_MS: Final = 50  # how soon a cancellation is noticed
_REQUESTS_PER_WORKER: Final = 1_000  # then a fresh process, whatever may have leaked
_NICEST: Final = 19
# Of a session's share, where the kernel shares cores out by session: a third of the server's.
_SESSION_NICENESS: Final = "5"
_FIRST_TO_GO: Final = "500"  # for the kernel, when it is out of memory: workers before the server


class WorkerLost(Exception):
    """A worker ended, or answered with something that is no message."""


class Worker:
    """One process and its two pipes."""

    def __init__(
        self, command: Sequence[str], settings: WorkerSettings, env: Mapping[str, str] | None
    ) -> None:
        self.served = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            # A Ctrl-C on the server's terminal is not for workers. Where Linux shares the cores out
            # by session first (sched_autogroup), this also has them go on beside a server that is
            # flooded with calls; in its session a compilation then takes more than a minute.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin.fileno()
        self._from = self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self._bound(settings)
        self._behind = _put_behind(self.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def exchange(
        self, header: Mapping[str, Any], body: bytes, deadline: Deadline
    ) -> tuple[dict[str, Any], bytes]:
        """Sends a message and waits for the answer.

        Raises:
            WorkerLost: the worker ended or broke the protocol.
            DeadlineExceeded: it took too long; the worker is in an unknown state.
            Cancelled: the caller has gone; likewise.
        """
        self.served += 1
        if not self._behind:
            self._behind = _put_behind(self.pid)
        head = json.dumps(header).encode()
        for part in (_LENGTH.pack(len(head)), head, _LENGTH.pack(len(body)), body):
            self._write(memoryview(part), deadline)
        try:
            answer = json.loads(self._frame(deadline))
        except ValueError:
            raise WorkerLost("answered with something that is no JSON") from None
        if not isinstance(answer, dict):
            raise WorkerLost("answered with a header that is no object")
        return cast("dict[str, Any]", answer), self._frame(deadline)

    def kill(self) -> None:
        """Ends the process. Its pipes stay: a thread may be reading from them."""
        self._process.kill()
        self._process.wait()

    def discard(self) -> int:
        """Ends the process and closes its pipes; its exit status. For whoever took it."""
        self.kill()
        status = self._process.returncode
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return status

    def _bound(self, settings: WorkerSettings) -> None:
        """Bounds the memory, and puts the process behind the server wherever both want the same."""
        with contextlib.suppress(ProcessLookupError):
            memory = (settings.memory_bytes, settings.memory_bytes)
            resource.prlimit(self.pid, resource.RLIMIT_AS, memory)
            niceness = os.getpriority(os.PRIO_PROCESS, 0) + settings.niceness
            os.setpriority(os.PRIO_PROCESS, self.pid, min(niceness, _NICEST))
        with contextlib.suppress(OSError):  # it has gone, or a container forbids it
            os.sched_setscheduler(self.pid, os.SCHED_BATCH, os.sched_param(0))
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(_FIRST_TO_GO)

    def _frame(self, deadline: Deadline) -> bytes:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        if length > _MAX_FRAME:
            raise WorkerLost(f"announced a frame of {length} bytes")
        return self._read(length, deadline)

    def _read(self, count: int, deadline: Deadline) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._wait(self._from, select.POLLIN, deadline)
            with contextlib.suppress(BlockingIOError):
                piece = os.read(self._from, min(count - len(data), 1 << 20))
                if not piece:
                    raise WorkerLost("ended")
                data += piece
        return bytes(data)

    def _write(self, data: memoryview, deadline: Deadline) -> None:
        while data:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                data = data[os.write(self._to, data[: 1 << 16]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise WorkerLost("ended") from None

    def _wait(self, pipe: int, event: int, deadline: Deadline) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        while not poll.poll(min(_POLL_MS, deadline.remaining() * 1000)):
            deadline.check("the worker answered")


class WorkerPool:
    """A bounded number of workers, and the requests that wait for one.

    Args:
        settings: how many there are, and what each may take.
        command: what a worker runs.
        env: its environment; that of this process by default.
        lazy: start workers when they are first needed.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        command: Sequence[str] = WORKER_COMMAND,
        env: Mapping[str, str] | None = None,
        lazy: bool = False,
    ) -> None:
        self._settings = settings
        self._command = command
        self._env = env
        self._lock = threading.Lock()
        self._closed = False
        self._workers: set[Worker] = set()
        self._waiting = 0
        # Last in, first out: a warm worker is the better one.
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for _ in range(0 if lazy else settings.count):
            self._add()

    @property
    def waiting(self) -> int:
        """How many requests wait for a worker."""
        return self._waiting

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the pool."""
        with self._lock:
            return tuple(worker.pid for worker in self._workers)

    def request(
        self, header: Mapping[str, Any], body: bytes, deadline: Deadline
    ) -> tuple[dict[str, Any], bytes]:
        """Has a message answered by some worker.

        Raises:
            ExprdError: of the class that the worker's answer names.
            LimitExceeded: too many wait already.
            DeadlineExceeded: no worker became free, or it took too long.
            CompilerBug: the worker died.
        """
        with self._queued():
            worker = self._take(deadline)
        try:
            answer, payload = worker.exchange(header, body, deadline)
        except WorkerLost as error:
            raise _death(str(error), self._replace(worker)) from None
        except BaseException:
            self._replace(worker)
            raise
        self._give_back(worker)
        if not answer.get("ok"):
            raise _error_of(answer.get("error"))
        return answer, payload

    def close(self) -> None:
        """Ends all workers; may be called again."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, set()
        for worker in workers:
            worker.kill()
        while not self._idle.empty():
            self._idle.get_nowait().discard()

    def _add(self) -> None:
        """Starts a worker, if there may be one more."""
        with self._lock:
            if self._closed or len(self._workers) >= self._settings.count:
                return
            worker = Worker(self._command, self._settings, self._env)
            self._workers.add(worker)
        self._idle.put(worker)

    @contextlib.contextmanager
    def _queued(self) -> Generator[None]:
        """A place among those who wait for a worker; when there is none, they are told at once."""
        with self._lock:
            if self._waiting >= self._settings.queue:
                raise LimitExceeded(
                    f"{self._waiting} requests wait for a compile worker already",
                    hint="try again in a moment",
                    fields={"limit": "queue", "retry_after_ms": _RETRY_MS},
                )
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _take(self, deadline: Deadline) -> Worker:
        while True:
            deadline.check("a worker was free")
            if self._closed:
                raise CompilerBug("the worker pool is closed")
            if self._idle.empty():
                self._add()
            with contextlib.suppress(queue.Empty):
                worker = self._idle.get(timeout=min(_POLL_MS / 1000, deadline.remaining()))
                if worker.alive:
                    return worker
                self._replace(worker)  # it died while it was idle; no request pays for that

    def _give_back(self, worker: Worker) -> None:
        if worker.served >= _REQUESTS_PER_WORKER:
            self._replace(worker)
        else:
            self._idle.put(worker)

    def _replace(self, worker: Worker) -> int:
        with self._lock:
            self._workers.discard(worker)
        status = worker.discard()
        self._add()
        return status


def _put_behind(pid: int) -> bool:
    """Gives the session of a process less of the cores than others; whether there is no more to do.

    The kernel has others than root do so ten times a second at most, in all processes together.
    """
    try:
        Path(f"/proc/{pid}/autogroup").write_text(_SESSION_NICENESS, encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        return True  # the kernel shares cores out by process alone, or the process has gone
    return True


def _death(how: str, status: int) -> CompilerBug:
    return CompilerBug(
        f"a worker process {how} (exit status {status}); it was replaced",
        fields={"status": str(status)},
    )


def _error_of(facts: Any) -> Exception:
    """The exception that a worker's answer describes."""
    if not isinstance(facts, dict):
        return CompilerBug("a worker failed without saying how")
    facts = cast("dict[str, Any]", facts)
    kind, message = str(facts.get("kind")), str(facts.get("message", ""))
    if kind == "MemoryError":
        return LimitExceeded(
            "the work needs more memory than a worker process may take",
            hint="split the graph, or pass smaller arrays",
            fields={"limit": "worker_memory"},
        )
    cls = errors.by_kind().get(kind)
    if cls is None:
        return CompilerBug(f"a worker failed with {kind}: {message}")
    return cls(
        message,
        op=str(facts.get("op", "")),
        nodes=[int(node) for node in facts.get("nodes", ())],
        hint=str(facts.get("hint", "")),
        fields={str(k): str(v) for k, v in facts.get("fields", {}).items()},
    )
