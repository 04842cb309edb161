"""A worker for tests of the pool: it does what the header of a request says."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys


def read(count: int) -> bytes:
    data = sys.stdin.buffer.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def frame() -> bytes:
    return read(struct.unpack("<Q", read(8))[0])


def send(*parts: bytes) -> None:
    for part in parts:
        sys.stdout.buffer.write(struct.pack("<Q", len(part)) + part)
    sys.stdout.buffer.flush()


def die(_header: dict, _body: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def deaf(_header: dict, _body: bytes) -> None:
    """Stops to read, so that the next large request fills the pipe."""
    send(b'{"ok": true}', b"")
    signal.pause()


def flood(_header: dict, _body: bytes) -> None:
    sys.stdout.buffer.write(struct.pack("<Q", 1 << 60))
    sys.stdout.buffer.flush()


def eat(header: dict, _body: bytes) -> None:
    try:
        bytearray(header["bytes"])
    except MemoryError:
        send(b'{"ok": false, "error": {"kind": "MemoryError"}}', b"")
    else:
        send(b'{"ok": true}', b"")


ACTIONS = {
    "echo": lambda _, body: send(json.dumps({"ok": True, "pid": os.getpid()}).encode(), body),
    "fail": lambda head, _: send(json.dumps({"ok": False, "error": head["error"]}).encode(), b""),
    "hang": lambda _header, _body: signal.pause(),
    "babble": lambda _header, _body: send(b"no json", b""),
    "die": die,
    "deaf": deaf,
    "flood": flood,
    "eat": eat,
}

if __name__ == "__main__":
    while True:
        request, payload = json.loads(frame()), frame()
        ACTIONS[request["do"]](request, payload)
