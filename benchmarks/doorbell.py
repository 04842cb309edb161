"""What calls cost on the same host, next to a raw socket with shared memory of the same run.

The peer is what such a call costs at least with Python on both sides: one frame there, x + 1 by
numpy in memory that both have mapped, one frame back; no names, no checks, no results of one's own.
"""

from __future__ import annotations

import argparse
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import exprd
import exprd.tensor as T
from exprd_proto.doorbell import PIECE_BYTES

if TYPE_CHECKING:
    from exprd.bell import Bell

SMALL, LARGE = 8, 1 << 17
BULK = 256 << 20
REGION = 1 << 20
_WARM = 20


def serve_peer(path: str) -> None:
    """Serves the peer: one connection after another, until standard input ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(1)
    print("serving on", path, flush=True)
    while True:
        end, _ = listener.accept()
        descriptor = os.memfd_create("peer")
        os.ftruncate(descriptor, REGION)
        socket.send_fds(end, [b"\0"], [descriptor])
        memory = np.frombuffer(mmap.mmap(descriptor, REGION), np.float64)
        os.close(descriptor)
        frame = bytearray(64)
        while end.recv_into(frame):
            count = int.from_bytes(frame[:8], "little")
            np.add(memory[:count], 1.0, out=memory[:count])
            end.send(frame)
        end.close()


@contextmanager
def peer(folder: Path) -> Iterator[Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]]:
    """A call of the peer: an array there and back, copied in and out."""
    path = f"{folder}/peer.sock"
    command = [sys.executable, "-m", "benchmarks.doorbell", "--peer", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("serving on"):
            raise RuntimeError("the peer did not start")
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            end.connect(path)
            _, descriptors, _, _ = socket.recv_fds(end, 1, 1)
            memory = np.frombuffer(mmap.mmap(descriptors[0], REGION), np.float64)
            os.close(descriptors[0])
            frame = bytearray(64)

            def call(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
                np.copyto(memory[: value.size], value)
                frame[:8] = value.size.to_bytes(8, "little")
                end.send(frame)
                end.recv_into(frame)
                return memory[: value.size].copy()

            yield call
        finally:
            end.close()
            process.terminate()


def one_bell(session: exprd.Session) -> Bell:
    """The open connection of a session to the doorbell."""
    bells: Any = session.transport
    (bell,) = bells.bells.open
    found: Bell = bell
    return found


def memory_rate(session: exprd.Session) -> float:
    """GB/s of `BULK` bytes copied, piece by piece, into the region that a server has lent.

    That is what a client does when it puts an array, without waiting for the server.
    """
    region = one_bell(session).room(2 * PIECE_BYTES, 10.0)
    source = np.ones(BULK, np.uint8)
    start = time.perf_counter()
    for place in range(0, BULK, PIECE_BYTES):
        half = place // PIECE_BYTES % 2 * PIECE_BYTES
        np.copyto(region[half : half + PIECE_BYTES], source[place : place + PIECE_BYTES])
    return BULK / (time.perf_counter() - start) / 1e9


def measure(
    found: Any, folder: Path, target: str, tutorial: Callable[[], tuple[Any, tuple[Any, ...]]]
) -> None:
    """Notes one round of every figure of this page.

    Args:
        found: takes them: `benchmarks.service.Figures`.
        folder: for the peer's socket.
        target: of a server on a Unix socket.
        tutorial: makes the tutorial's step and its data.
    """
    x = T.dvector("x")
    small, large = np.arange(float(SMALL)), np.arange(float(LARGE))
    with peer(folder) as call:
        found.latency("peer, socket and shared memory, x + 1 of 8", lambda: call(small), 3000)
        found.latency("peer, socket and shared memory, x + 1 of 128 K", lambda: call(large))
    (folder / "peer.sock").unlink()
    with exprd.connect(target) as session:
        add = exprd.function([x], x + 1)
        count = exprd.shared(0.0)
        tick = exprd.function([], count, updates=[(count, count + 1)])
        step, data = tutorial()
        put = [exprd.put(value) for value in data]
        for _ in range(_WARM):  # the first calls open the connection and prepare the others
            add(small), add(large), tick(), step(*data), step(*put)
        found.latency("server, x + 1 of 8, doorbell", lambda: add(small), 3000)
        found.latency("server, x + 1 of 128 K, doorbell", lambda: add(large))
        found.latency("server, counter, doorbell", tick, 3000)
        found.latency("server, tutorial step, data sent, doorbell", lambda: step(*data))
        found.latency("server, tutorial step, data put, doorbell", lambda: step(*put), 1000)
        big = np.random.default_rng(1).standard_normal(BULK // 8)
        kept: list[Any] = []
        found.bulk(
            "server, put 256 MiB, doorbell", lambda: kept.append(exprd.put(big, resend=False))
        )
        found.bulk("server, get 256 MiB, doorbell", kept[0].get)
        found.add("server, shared memory 256 MiB, GB/s", memory_rate(session))


def main() -> None:
    """Serves the peer, for a run of `benchmarks.service`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doorbell", description=__doc__)
    parser.add_argument("--peer", metavar="PATH", required=True)
    serve_peer(parser.parse_args().peer)


if __name__ == "__main__":
    main()
