"""A server of this process with a doorbell, and a plain speaker of its frames."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import exprd_proto as wire
from exprd_proto import doorbell
from exprd_proto.arrays import dtype_to_wire
from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.serve import Server
from exprd_server.settings import Limits, Settings
from exprd_server.store import MemoryStore


class Quiet:
    """A logger that keeps the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    debug = warning = error = info

    def is_enabled_for(self, level: int) -> bool:
        return level > 0

    def failures(self) -> list[dict[str, Any]]:
        return [facts for event, facts in self.events if event == "failed"]


class Belfry:
    """A running server in this process, its log and its gRPC channel."""

    def __init__(self, folder: Path, limits: Limits, tokens: Path | None, token: str) -> None:
        self.path = f"{folder}/s"
        self.settings = Settings(
            listen=f"unix://{self.path}", limits=limits, tokens=tokens, drain_seconds=0
        )
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.engine = LocalEngine(self.settings, InProcessCompiler(), MemoryStore())
        self.log = Quiet()
        self.server = Server(self.settings, self.engine, self.log)
        self.server.start()
        self.channel = grpc.insecure_channel(self.settings.listen)
        self.executor = wire.ExecutorServiceStub(self.channel)
        self._speakers: list[Speaker] = []

    @property
    def target(self) -> str:
        return self.settings.listen

    @property
    def doorbell(self) -> Any:
        return self.server._doorbell

    def offer(self, client_id: str = "tester") -> wire.OpenDoorbellResponse:
        asked = wire.OpenDoorbellRequest(client_id=client_id)
        return self.executor.OpenDoorbell(asked, metadata=self._metadata)

    def speaker(self) -> Speaker:
        self._speakers.append(Speaker(self.path))
        return self._speakers[-1]

    def connected(self, client_id: str = "tester") -> Speaker:
        ticket = self.offer(client_id).ticket
        speaker = self.speaker()
        speaker.ask(doorbell.HELLO, text=ticket)
        assert speaker.answer()[0] == doorbell.DONE
        return speaker

    def close(self) -> None:
        for speaker in self._speakers:
            speaker.close()
        self.channel.close()
        self.server.stop(1.0)


@contextlib.contextmanager
def belfry(
    folder: Path, *, tokens: Path | None = None, token: str = "", **limits: int
) -> Iterator[Belfry]:
    given = Limits(**{"doorbells": 1024, "client_doorbells": 1024, **limits})
    made = Belfry(folder, given, tokens, token)
    try:
        yield made
    finally:
        made.close()


class Speaker:
    """One connection, frame by frame."""

    def __init__(self, path: str) -> None:
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(20)
        try:
            self.end.connect(path + doorbell.SUFFIX)
        except OSError:
            self.end.close()
            raise
        self.region: np.ndarray[Any, Any] | None = None

    def close(self) -> None:
        self.end.close()

    def send(self, frame: bytes) -> bool:
        """Whether the frame could still be sent."""
        try:
            self.end.send(frame)
        except OSError:
            return False
        return True

    def ask(
        self,
        kind: int,
        number: int = 0,
        *,
        seq: int = 0,
        acked: int = 0,
        seconds: float = 10.0,
        text: bytes = b"",
    ) -> bool:
        return self.send(doorbell.ASK.pack(kind, number, len(text), seq, acked, seconds) + text)

    def answer(self) -> tuple[int, int, bytes]:
        """Kind, flags and text; kind 0 when the server has ended the connection."""
        try:
            frame = self.end.recv(doorbell.FRAME_BYTES)
        except ConnectionError:
            return 0, 0, b""
        if not frame:
            return 0, 0, b""
        kind, flags, nbytes, seq = doorbell.ANSWER.unpack_from(frame)
        text = frame[doorbell.ANSWER.size :]
        assert len(text) == nbytes
        if kind == doorbell.GROWN:
            self._map(seq, flags)
            return self.answer()
        if flags & doorbell.MORE:
            following = self.answer()
            return kind, following[1], text + following[2]
        return kind, flags, text

    def asked(self, kind: int, number: int = 0, **facts: Any) -> tuple[int, int, bytes]:
        return self.answer() if self.ask(kind, number, **facts) else (0, 0, b"")

    def _map(self, nbytes: int, flags: int) -> None:
        _, descriptors, _, _ = socket.recv_fds(self.end, 1, 1)
        readable = flags & doorbell.OUTSIDE
        access = mmap.PROT_READ if readable else mmap.PROT_READ | mmap.PROT_WRITE
        memory = np.frombuffer(mmap.mmap(descriptors[0], nbytes, prot=access), np.uint8)
        if readable:
            with contextlib.suppress(PermissionError):
                mmap.mmap(descriptors[0], nbytes)
                raise AssertionError("the region of answers can be written to")
        for size in (0, nbytes - 1, nbytes + 1):
            with contextlib.suppress(PermissionError):
                os.ftruncate(descriptors[0], size)
                raise AssertionError("a region has changed its size")
        os.close(descriptors[0])
        if not readable:
            self.region = memory


def described(handle: str, *forms: tuple[str, tuple[int, ...]] | None) -> bytes:
    """The text of a frame that prepares a call; None is a buffer."""
    request = wire.DoorbellCall(handle=handle)
    for form in forms:
        given = request.inputs.add()
        if form is None:
            given.buffer.SetInParent()
        else:
            given.array.dtype = dtype_to_wire(form[0])
            given.array.shape.extend(form[1])
    return request.SerializeToString()


def failure(answer: tuple[int, int, bytes]) -> str:
    """The class of an error."""
    assert answer[0] == doorbell.FAILURE, answer
    return wire.CallFailure.FromString(answer[2]).detail.kind
