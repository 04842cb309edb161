"""Long runs: native code that keeps a core busy for long runs at a lower priority.

Whoever takes calls in, answers or refuses them needs a core for microseconds, and gets it at once
when those that compute are nice. A thread can lower its priority and not raise it again, so there
are threads for this alone. Short runs stay where they are: the way to another thread costs 0.1 ms.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# A run of this length pays 2 % for the way to another thread.
_LONG_SECONDS: Final = 0.005
_NICENESS: Final = 5  # less nice than workers: calls come before compilations
_THREADS: Final = 1024  # as many as there can be calls, and more


class LongRuns:
    """Threads with a lower priority, as many as are needed at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(
            _THREADS, thread_name_prefix="exprd-long", initializer=_yield_to_others
        )

    def run(self, native: Callable[[], int]) -> int:
        """What `native()` gives, on one of the threads."""
        return self._threads.submit(native).result()

    def close(self) -> None:
        """Takes no more; what runs goes on."""
        self._threads.shutdown(wait=False)


class Pace:
    """How long the last run of one function computed, and so where the next one runs."""

    __slots__ = ("_long", "_runs")

    def __init__(self, runs: LongRuns) -> None:
        self._runs = runs
        self._long = False

    def run(self, native: Callable[[], int]) -> int:
        """What `native()` gives, here or on a thread for long runs."""
        if self._long:
            return self._runs.run(partial(self._timed, native))
        start = time.perf_counter()
        status = native()
        self._long = time.perf_counter() - start > _LONG_SECONDS
        return status

    def _timed(self, native: Callable[[], int]) -> int:
        # The time of this thread alone, which is dear to ask for: on a busy machine a short run may
        # last, too, and the next one is to be back where it was.
        start = time.thread_time()
        status = native()
        self._long = time.thread_time() - start > _LONG_SECONDS
        return status


def _yield_to_others() -> None:
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness, 19))
