"""Numeric warnings: what calls tell about integers that have a value, but one seldom wanted.

A call counts such elements while it runs, wherever that is, and the client warns when the results
are there.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence

from exprd.config import config
from exprd.origin import Origin, is_own
from exprd_compiler.ir.counts import EventCount

__all__ = ["NumericWarning", "warn_of"]


class NumericWarning(RuntimeWarning):
    """Elements of a call met a case like a division by zero; docs/values.md lists them all.

    Attributes:
        kind: the case, for example "integer division by zero".
        count: elements in all.
    """

    def __init__(self, message: str, kind: str = "", count: int = 0) -> None:
        super().__init__(message)
        self.kind, self.count = kind, count


def warn_of(met: Sequence[EventCount], origins: Sequence[Origin | None]) -> None:
    """Gives one warning for each kind of event that a call met.

    Args:
        met: what was counted.
        origins: the user's lines by node position.

    Raises:
        NumericWarning: if warnings are errors; the call has been committed by then.
    """
    if not config.warn_numeric:
        return
    level = _depth_of_caller()
    for kind in dict.fromkeys(one.kind for one in met):
        those = [one for one in met if one.kind == kind]
        told = "\n".join(f"  {_told(one, origins)}" for one in those)
        count = sum(one.count for one in those)
        warnings.warn(NumericWarning(f"{kind}\n{told}", kind, count), stacklevel=level)


def _told(one: EventCount, origins: Sequence[Origin | None]) -> str:
    elements = "1 element" if one.count == 1 else f"{one.count} elements"
    origin = origins[one.origin] if 0 <= one.origin < len(origins) else None
    built = "" if origin is None else f", built at {origin}"
    return f"{elements} of {one.op}{built}"


def _depth_of_caller() -> int:
    """The stack level, as `warn_of` counts it, of the innermost line outside exprd."""
    frame = inspect.currentframe()
    level = 0
    while frame is not None and is_own(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level
