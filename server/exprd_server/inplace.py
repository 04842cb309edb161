"""In place: an executor that does what it is given at once, on the thread of whoever gives it.

gRPC has a thread that takes calls in, and a pool whose threads handle them. Of a call that is only
refused, the way to another thread is a third of all that it costs a server.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class _InPlace(ThreadPoolExecutor):  # gRPC takes no other class; threads start when work is queued
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The result of `fn`, which is there on return."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


_IN_PLACE: Final = _InPlace(1)


def in_place(behave: Callable[..., Any]) -> Callable[..., Any]:
    """A behaviour of a call that gRPC runs on the thread that takes calls in; it must not wait.

    The attribute is gRPC's own, and experimental: where it is not known, the call gets a thread.
    """
    marked: Any = behave
    marked.experimental_thread_pool = _IN_PLACE
    return behave
