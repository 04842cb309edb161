"""Idle polling: for a short time after each call, cores that have nothing to do stay awake.

A virtual core that halts takes some 50 us to wake, and a call over gRPC wakes a core half a dozen
times. So threads of the lowest priority (SCHED_IDLE) read the clock until a while after the last
answer, and then sleep as well. They are native from their first instruction to their last and know
nothing of the interpreter: a thread of this priority that held its lock could keep it for as long
as the machine is busy.

Each look at the clock offers the core to others (sched_yield): their priority makes them give way
to this process alone where the kernel groups processes, and without the offer a client's process or
a write to the disk waited for the next tick now and then (p99 of small calls 1.5 times as long).

Known elsewhere as busy polling (Linux's net.core.busy_poll) and halt polling (cpuidle-haltpoll).
"""

from __future__ import annotations

import ctypes
import os
import time
from functools import cache
from pathlib import Path
from typing import Final

from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_level

DEFAULT_SECONDS: Final = 0.001
_MOST_THREADS: Final = 4  # of a machine with more cores, most have nothing to do with us
_GROUP: Final = Path("/sys/fs/cgroup")
_FUTEX: Final = 202  # number of the system call on x86-64
_WAIT, _WAKE = 0x80, 0x81  # FUTEX_WAIT and FUTEX_WAKE, both private to this process
_ALL: Final = 0x7FFFFFFF
_UNTIL, _ASLEEP, _WOKEN = 0, 1, 2  # the words that the threads look at; see below
_ENDED: Final = -1

# The words: until when to poll, in nanoseconds of CLOCK_MONOTONIC, or -1 for the end; whether a
# thread sleeps, or is about to; how often the sleeping were woken.
_TEXT: Final = f"""
declare i32 @sched_setscheduler(i32, i32, ptr)
declare i32 @clock_gettime(i32, ptr)
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()

define ptr @poll(ptr %words) {{
start:
  %priority = alloca i32
  %clock = alloca [2 x i64]
  %second_part = getelementptr i64, ptr %clock, i64 1
  %asleep = getelementptr i64, ptr %words, i64 {_ASLEEP}
  %woken = getelementptr i64, ptr %words, i64 {_WOKEN}
  store i32 0, ptr %priority
  %refused = call i32 @sched_setscheduler(i32 0, i32 {os.SCHED_IDLE}, ptr %priority)
  %is_refused = icmp ne i32 %refused, 0
  br i1 %is_refused, label %end, label %again
again:
  %times = load atomic i32, ptr %woken seq_cst, align 8
  br label %look
look:
  %told = phi i1 [ false, %again ], [ true, %tell ], [ false, %rest ]
  %until = load atomic i64, ptr %words seq_cst, align 8
  %is_over = icmp slt i64 %until, 0
  br i1 %is_over, label %end, label %read
read:
  %ignored = call i32 @clock_gettime(i32 {time.CLOCK_MONOTONIC}, ptr %clock)
  %seconds = load i64, ptr %clock
  %nanoseconds = load i64, ptr %second_part
  %scaled = mul i64 %seconds, 1000000000
  %now = add i64 %scaled, %nanoseconds
  %goes_on = icmp slt i64 %now, %until
  br i1 %goes_on, label %rest, label %stop
rest:
  %yielded = call i32 @sched_yield()
  br label %look
stop:
  br i1 %told, label %sleep, label %tell
tell: ; then look once more, lest a call that came meanwhile saw us awake
  store atomic i64 1, ptr %asleep seq_cst, align 8
  br label %look
sleep:
  %slept = call i64 (i64, ...) @syscall(i64 {_FUTEX}, ptr %woken, i32 {_WAIT}, i32 %times, ptr null)
  br label %again
end:
  ret ptr null
}}
"""


class IdlePoll:
    """The threads that keep cores awake, from `start` to `close`.

    Args:
        seconds: how long they go on after a call; 0 for not at all.
    """

    def __init__(self, seconds: float) -> None:
        self._span = int(seconds * 1e9)
        self._memory = (ctypes.c_int64 * 3)()
        self._words = memoryview(self._memory).cast("B").cast("q")
        self._threads: list[ctypes.c_void_p] = []

    def start(self) -> None:
        """Starts the threads, as many as there are cores for this process, and at most four.

        Raises:
            OSError: the system makes no more threads.
        """
        if not self._span:
            return
        entry = ctypes.c_void_p(_native().address("poll"))
        for _ in range(min(len(os.sched_getaffinity(0)), _MOST_THREADS)):
            thread = ctypes.c_void_p()
            code = _LIBC.pthread_create(ctypes.byref(thread), None, entry, self._memory)
            if code:
                raise OSError(code, os.strerror(code))
            self._threads.append(thread)

    def touch(self) -> None:
        """Notes that a call was answered. Takes a fraction of a microsecond."""
        words = self._words
        words[_UNTIL] = time.monotonic_ns() + self._span
        # A thread that says so just now may be missed, and is then woken by the next call.
        if words[_ASLEEP]:
            self._wake()

    def close(self) -> None:
        """Ends the threads. Idempotent."""
        self._span = 0
        while self._threads:
            self._words[_UNTIL] = _ENDED
            self._wake()
            _LIBC.pthread_join(self._threads.pop(), None)

    def _wake(self) -> None:
        words = self._words
        words[_ASLEEP] = 0
        words[_WOKEN] = (words[_WOKEN] + 1) & _ALL
        place = ctypes.byref(self._memory, _WOKEN * self._words.itemsize)
        _LIBC.syscall(ctypes.c_long(_FUTEX), place, _WAKE, _ALL)


def polling_seconds(wanted: float | None) -> float:
    """How long to poll, where None leaves it to us.

    Where a container may use cores for a part of the time alone, polling would use that up.
    """
    if wanted is not None:
        return wanted
    return 0.0 if _is_rationed() else DEFAULT_SECONDS


def _is_rationed() -> bool:
    """Whether this process's share of time on the cores is limited (control groups 2 and 1)."""
    for name in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        try:
            quota = (_GROUP / name).read_text(encoding="ascii").split()[0]
        except OSError:
            continue
        return quota not in ("max", "-1")
    return False


_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@cache
def _native() -> Linked:
    return Linked(compile_ir(_TEXT, host_level()), ("poll",))
