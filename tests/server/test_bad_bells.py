"""The named bad inputs of the doorbell: what a client may say of shared memory that is not so.

Each is answered with its typed error, or ends the connection that it came by; nothing is taken,
nothing else is served worse, and the server has met no error that it does not know. What a case
needs before it goes wrong is sent first, by the frames of its list but the last.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exprd_proto as wire
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import input_
from exprd_proto import doorbell
from exprd_proto.arrays import dtype_to_wire
from exprd_server.values import CompileCall
from tests.server import graphs
from tests.server.bells import Belfry, Speaker, belfry, described, failure

PIECE = doorbell.PIECE_BYTES
REGION_BYTES = 2 * PIECE
MOST = (1 << 64) - 1
ENDS = "the connection ends"
OWN, FOREIGN = f"buf-{1:032x}", f"buf-{2:032x}"


@dataclass(frozen=True)
class Frame:
    """One frame that asks; `text` may want the world."""

    kind: int
    number: int = 0
    seq: int = 0
    acked: int = 0
    text: Any = b""

    def sent(self, speaker: Speaker, world: World) -> tuple[int, int, bytes]:
        text = self.text(world) if callable(self.text) else self.text
        return speaker.asked(self.kind, self.number, seq=self.seq, acked=self.acked, text=text)


@dataclass
class World:
    """A server with a function, and an array of another client."""

    tower: Belfry
    handle: str


def array(*shape: int, handle: str = OWN, dtype: int = 0, nbytes: int | None = None) -> bytes:
    """The text of a frame that announces an array; of what it says, some may not be so."""
    message = wire.DoorbellArray(handle=handle)
    message.header.dtype = dtype or dtype_to_wire("uint8")
    message.header.shape.extend(shape)
    message.header.nbytes = int(np.prod(shape, dtype=object)) if nbytes is None else nbytes
    return message.SerializeToString()


def call(*forms: Any, **facts: Any) -> Any:
    """The text of a frame that prepares a call of the world's function."""

    def text(world: World) -> bytes:
        message = wire.DoorbellCall.FromString(described(world.handle, *forms))
        message.deliveries.extend(facts.get("deliveries", ()))
        return message.SerializeToString()

    return text


def piece(half: int = 0, offset: int = 0, nbytes: int = PIECE) -> Frame:
    return Frame(doorbell.PUT_PIECE, half, offset, nbytes)


def got(half: int = 0, offset: int = 0, nbytes: int = 8) -> Frame:
    return Frame(doorbell.GET_PIECE, half, offset, nbytes)


def region(nbytes: int) -> Frame:
    return Frame(doorbell.REGION, seq=nbytes)


READY = region(REGION_BYTES)
PUT = Frame(doorbell.PUT, text=array(3 * PIECE))
GET = Frame(doorbell.GET, text=array(handle=FOREIGN))
VECTOR = ("float64", (2,))
LARGE = ("float64", (REGION_BYTES // 8 + 1,))

CASES: dict[str, tuple[list[Frame], str]] = {
    # regions: the server makes them, and says how large
    "region beyond the limit": ([region((64 << 20) + 1)], "LimitExceeded"),
    "region of all there is": ([region(MOST)], "LimitExceeded"),
    "region beyond the memory of its client": ([region(64 << 20)], "LimitExceeded"),
    # pieces that are put
    "piece of no array": ([READY, piece()], "CallError"),
    "piece without a region": ([PUT, piece()], "CallError"),
    "piece of nothing": ([READY, PUT, piece(nbytes=0)], "CallError"),
    "piece larger than its half": ([READY, PUT, piece(nbytes=PIECE + 1)], "CallError"),
    "piece of all there is": ([READY, PUT, piece(nbytes=MOST)], "CallError"),
    "piece in a third half": ([READY, PUT, piece(2)], "CallError"),
    "piece in the last half that fits a frame": ([READY, PUT, piece(0xFFFF)], "CallError"),
    "piece in a region that is too small": ([region(1), PUT, piece(1)], "CallError"),
    "piece out of order": ([READY, PUT, piece(offset=PIECE)], "CallError"),
    "piece twice": ([READY, PUT, piece(), piece()], "CallError"),
    "piece at the end of numbers": ([READY, PUT, piece(offset=MOST)], "CallError"),
    "offset and size overflow": ([READY, PUT, piece(offset=MOST - PIECE + 1)], "CallError"),
    "piece beyond the end of its array": (
        [READY, Frame(doorbell.PUT, text=array(10)), piece(nbytes=11)],
        "CallError",
    ),
    "end before the last piece": ([READY, PUT, piece(), Frame(doorbell.PUT_END)], "CallError"),
    "end of no array": ([Frame(doorbell.PUT_END)], "CallError"),
    # arrays that are put
    "array of more bytes than numbers": (
        [Frame(doorbell.PUT, text=array(1 << 62, 8, nbytes=0))],
        "CallError",
    ),
    "array of a negative extent": ([Frame(doorbell.PUT, text=array(-1, nbytes=1))], "CallError"),
    "array of other bytes than announced": (
        [Frame(doorbell.PUT, text=array(10, nbytes=11))],
        "CallError",
    ),
    "array beyond the limit": ([Frame(doorbell.PUT, text=array((32 << 20) + 1))], "LimitExceeded"),
    "array of an unknown dtype": ([Frame(doorbell.PUT, text=array(1, dtype=99))], "CallError"),
    "array of rank 33": ([Frame(doorbell.PUT, text=array(*[1] * 33))], "CallError"),
    "array under another client's handle": (
        [
            READY,
            Frame(doorbell.PUT, text=array(8, handle=FOREIGN)),
            piece(nbytes=8),
            Frame(doorbell.PUT_END),
        ],
        "Conflict",
    ),
    "array under a path": (
        [
            READY,
            Frame(doorbell.PUT, text=array(8, handle="../../etc/passwd")),
            piece(nbytes=8),
            Frame(doorbell.PUT_END),
        ],
        "CallError",
    ),
    "array that is no message": ([Frame(doorbell.PUT, text=b"\xff" * 9)], "CallError"),
    # arrays that are got
    "array that is nobody's": ([Frame(doorbell.GET, text=array(handle=OWN))], "UnknownHandle"),
    "piece of an array not asked for": ([got()], "CallError"),
    "piece of an array beyond its end": ([GET, got(nbytes=25)], "CallError"),
    "piece of an array at the end of numbers": ([GET, got(offset=MOST)], "CallError"),
    "piece of an array of nothing": ([GET, got(nbytes=0)], "CallError"),
    "piece of an array into a third half": ([GET, got(2)], "CallError"),
    # calls
    "call that is not prepared": ([Frame(doorbell.CALL, 7)], "CallError"),
    "call under a number too large": (
        [Frame(doorbell.PREPARE, 1024, text=call(VECTOR))],
        "CallError",
    ),
    "call of no function": ([Frame(doorbell.PREPARE, text=described("x"))], "UnknownHandle"),
    "call that is no message": ([Frame(doorbell.PREPARE, text=b"\xff" * 9)], "CallError"),
    "call with arrays and no region": (
        [Frame(doorbell.PREPARE, text=call(LARGE))],
        "LimitExceeded",
    ),
    "call with arrays beyond its region": (
        [READY, Frame(doorbell.PREPARE, text=call(LARGE))],
        "LimitExceeded",
    ),
    "call with an extent that overflows": (
        [Frame(doorbell.PREPARE, text=call(("float64", (1 << 62, 4))))],
        "CallError",
    ),
    "call with an unknown delivery": (
        [Frame(doorbell.PREPARE, text=call(VECTOR, deliveries=[9]))],
        "CallError",
    ),
    "call with too few bytes": (
        [Frame(doorbell.PREPARE, 1, text=call(VECTOR)), Frame(doorbell.CALL, 1, seq=1)],
        "CallError",
    ),
    "call with a buffer that is nobody's": (
        [Frame(doorbell.PREPARE, 1, text=call(None)), Frame(doorbell.CALL, 1, 1, text=bytes(16))],
        "UnknownHandle",
    ),
    # frames
    "frame of no kind": ([Frame(0)], ENDS),
    "frame of an unknown kind": ([Frame(0xFFFF)], ENDS),
    "a second greeting": ([Frame(doorbell.HELLO, text=bytes(32))], ENDS),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bad-bells")
    with belfry(folder, client_bytes=64 << 20, tensor_bytes=32 << 20) as tower:
        x = graphs.named(input_, "x", graphs.VECTOR)
        asked = CompileCall(client_id="tester", graph=Graph((x,), (add(x, x),)))
        handle = tower.engine.compile(asked).handle
        tower.engine.put("another", np.arange(3.0), FOREIGN)
        yield World(tower, handle)
        assert not tower.log.failures()


def serves(world: World) -> bool:
    """Whether another connection prepares a call and makes it."""
    speaker = world.tower.connected()
    ready = Frame(doorbell.PREPARE, 5, text=call(VECTOR)).sent(speaker, world)
    pad = bytes(doorbell.aligned(doorbell.ASK.size) - doorbell.ASK.size)
    made = Frame(doorbell.CALL, 5, 1, text=pad + np.ones(2).tobytes()).sent(speaker, world)
    speaker.close()
    return (ready[0], made[0]) == (doorbell.DONE, doorbell.RESULT)


def descriptors() -> int:
    """How many this process has open; the server is in it."""
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused(name: str, world: World) -> None:
    frames, expected = CASES[name]
    speaker = world.tower.connected()
    for frame in frames[:-1]:
        assert frame.sent(speaker, world)[0] == doorbell.DONE
    answer = frames[-1].sent(speaker, world)
    assert (ENDS if answer[0] == 0 else failure(answer)) == expected
    if expected != ENDS:  # which then takes what is right
        assert READY.sent(speaker, world)[0] == doorbell.DONE
    speaker.close()
    assert serves(world)
    assert world.tower.engine.get("another", FOREIGN).tolist() == [0, 1, 2]


@pytest.mark.parametrize("frame", [b"\x04", bytes(31), doorbell.ASK.pack(4, 0, 9, 0, 0, 0.0)])
def test_a_frame_that_cannot_be_read_ends_its_connection(frame: bytes, world: World) -> None:
    speaker = world.tower.connected()
    speaker.send(frame)
    assert speaker.answer()[0] == 0
    assert serves(world)


def test_a_descriptor_of_a_client_is_not_taken(world: World) -> None:
    """The server opens nothing that a client names, and nothing that it sends."""
    speaker = world.tower.connected()
    assert READY.sent(speaker, world)[0] == doorbell.DONE
    before = descriptors()
    asked = doorbell.ASK.pack(doorbell.REGION, 0, 0, REGION_BYTES, 0, 0.0)
    with Path(os.devnull).open("rb") as own:
        for _ in range(8):
            socket.send_fds(speaker.end, [asked], [own.fileno()])
            assert speaker.answer()[0] == doorbell.DONE
    assert descriptors() < before + 8  # one or two may be gRPC's, which come and go
    speaker.close()


def test_what_is_arriving_counts_for_its_client(tmp_path: Path) -> None:
    """Two connections of a client put at a time; at its limit, and one byte beyond."""
    most = 2 * REGION_BYTES + 2 * REGION_BYTES + 2 * PIECE  # two regions, which count twice
    with belfry(tmp_path, client_bytes=most) as tower:
        this, held = World(tower, ""), tower.engine._leases.held_bytes
        one, other = tower.connected(), tower.connected()
        for speaker in (one, other):
            assert READY.sent(speaker, this)[0] == doorbell.DONE
        regions = held("tester")
        assert regions == most - 2 * PIECE
        for frame in (Frame(doorbell.PUT, text=array(PIECE)), piece()):
            assert frame.sent(one, this)[0] == doorbell.DONE
        assert held("tester") == regions + PIECE
        larger = Frame(doorbell.PUT, text=array(PIECE + 1, handle=FOREIGN))
        assert larger.sent(other, this)[0] == doorbell.DONE
        refused = piece().sent(other, this)
        assert failure(refused) == "LimitExceeded"
        assert wire.CallFailure.FromString(refused[2]).detail.fields["limit"] == "client_bytes"
        assert held("tester") == regions + PIECE  # of the other, nothing is left
        assert failure(piece().sent(other, this)) == "CallError"
        same = Frame(doorbell.PUT, text=array(PIECE, handle=FOREIGN))
        for frame in (same, piece(), Frame(doorbell.PUT_END)):
            assert frame.sent(other, this)[0] == doorbell.DONE
        assert held("tester") == most
        assert tower.engine.get("tester", FOREIGN).nbytes == PIECE
        assert Frame(doorbell.PUT, text=array(1)).sent(one, this)[0] == doorbell.DONE
        assert held("tester") == most - PIECE  # what it had put so far is gone
        for frame in (Frame(doorbell.PUT, text=array(PIECE)), piece()):
            assert frame.sent(one, this)[0] == doorbell.DONE
        one.close()
        other.close()
        deadline = time.monotonic() + 20
        while held("tester") != PIECE and time.monotonic() < deadline:
            pass
        assert held("tester") == PIECE


def test_what_was_lent_comes_back(world: World) -> None:
    """Whatever the cases before have asked for."""
    deadline = time.monotonic() + 20
    while len(world.tower.doorbell) and time.monotonic() < deadline:
        for speaker in world.tower._speakers:
            speaker.close()
    assert world.tower.engine._leases.held_bytes("tester") == 0


def test_there_are_as_many_as_are_told(figure: Any) -> None:
    figure("named bad inputs", shared_memory_cases=len(CASES) + 4)
