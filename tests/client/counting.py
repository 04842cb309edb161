"""What tests of loops have in common: functions that count, and calls that take minutes."""

from __future__ import annotations

import threading

import numpy as np

import exprd
import exprd.tensor as T
from exprd import function, shared
from exprd.session import current_session

LONG = np.full(400_000, 1e-3)


def counter(start: float = 0.0):
    """A function that gives the old count, and whether it is above 7, and adds `by`."""
    count, by = shared(start, "count"), T.dscalar("by")
    return function([by], [count, T.gt(count, 7)], updates=[(count, count + by)]), count


def endless():
    """A function that works on `LONG` for minutes, then adds to a count."""
    count, x = shared(0.0, "count"), T.dvector("x")
    pairs = T.exp(x.dimshuffle(0, "x") * x.dimshuffle("x", 0))
    return function([x], count, updates=[(count, count + pairs.sum())]), count


def heard() -> None:
    """Returns once the server has heard which calls are to be stopped; two wishes have no order."""
    connection = getattr(current_session().transport, "_connection", None)
    while connection is not None and connection._asking:
        threading.Event().wait(0.001)


def begun(future: exprd.Future) -> exprd.Future:
    """A future whose call has been sent."""
    while not future.running():
        threading.Event().wait(0.001)
    return future
