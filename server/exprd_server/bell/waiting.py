"""How a connection waits for the next frame: awake for a moment, then asleep.

Awake means native code that asks the socket again and again without the interpreter lock, so that
the calls of others go on meanwhile.
"""

from __future__ import annotations

import ctypes
import socket
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np

from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_level
from exprd_proto.patience import NOTHING, Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.values import Array

# The words: descriptor, address and size of the memory, nanoseconds. What goes wrong here does so
# again, and is told, when the caller asks the socket by itself.
_TEXT: Final = f"""
declare i64 @recv(i32, ptr, i64, i32)
declare i32 @clock_gettime(i32, ptr)

define internal i64 @now() {{
  %clock = alloca [2 x i64]
  %rest = getelementptr i64, ptr %clock, i64 1
  %ignored = call i32 @clock_gettime(i32 {time.CLOCK_MONOTONIC}, ptr %clock)
  %seconds = load i64, ptr %clock
  %nanoseconds = load i64, ptr %rest
  %scaled = mul i64 %seconds, 1000000000
  %time = add i64 %scaled, %nanoseconds
  ret i64 %time
}}

define i64 @wait(ptr %words) {{
start:
  %end64 = load i64, ptr %words
  %end = trunc i64 %end64 to i32
  %memory_at = getelementptr i64, ptr %words, i64 1
  %memory = load ptr, ptr %memory_at
  %size_at = getelementptr i64, ptr %words, i64 2
  %size = load i64, ptr %size_at
  %span_at = getelementptr i64, ptr %words, i64 3
  %span = load i64, ptr %span_at
  %first = call i64 @now()
  %last = add i64 %first, %span
  br label %look
look:
  %length = call i64 @recv(i32 %end, ptr %memory, i64 %size, i32 {int(socket.MSG_DONTWAIT)})
  %is_there = icmp sge i64 %length, 0
  br i1 %is_there, label %done, label %again
again:
  %now = call i64 @now()
  %goes_on = icmp slt i64 %now, %last
  br i1 %goes_on, label %look, label %done
done:
  ret i64 %length
}}
"""

_SIGNATURE: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class Waiting:
    """What waits for the frames of one connection: called, it gives the length of the next.

    Args:
        end: the connection's socket, which blocks.
        frame: the memory into which frames are received.
        seconds: how long to wait awake, where that pays; 0 for never.
    """

    __slots__ = ("_asleep", "_linked", "_look", "_patience", "_words")

    def __init__(self, end: socket.socket, frame: Array, seconds: float) -> None:
        self._asleep = partial(end.recv_into, frame.data)
        self._patience = Patience(seconds)
        span = int(seconds * 1e9)
        self._words = np.array([end.fileno(), frame.ctypes.data, frame.nbytes, span], "int64")
        self._linked = _linked()  # whose memory the code lies in
        native = _SIGNATURE(self._linked.address("wait"))
        self._look: Callable[[], int] = partial(native, self._words.ctypes.data)

    def __call__(self) -> int:
        """The length of the next frame; 0 when there is none any more."""
        length = self._patience.wait(self._look)
        return self._asleep() if length == NOTHING else length


@cache
def _linked() -> Linked:
    return Linked(compile_ir(_TEXT, host_level()), ("wait",))
