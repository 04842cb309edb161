"""Durability policies: when a change that was answered is on disk.

always        before the answer
interval=<s>  at most so many seconds after it
off           when the server stops in order, and when a commit under `always` takes it along
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from exprd_compiler.errors import CallError


@dataclass(frozen=True, slots=True)
class Policy:
    """How long after its answer a change may be missing on disk: 0 is never, inf is for ever."""

    seconds: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether the answer waits for the disk."""
        return self.seconds == 0

    def __str__(self) -> str:
        named = {0.0: "always", math.inf: "off"}
        return named.get(self.seconds, f"interval={self.seconds:g}")


ALWAYS: Final = Policy(0.0)
OFF: Final = Policy(math.inf)
_NAMED: Final = {"always": ALWAYS, "off": OFF, "interval": Policy(1.0)}


def parse_policy(text: str) -> Policy:
    """The policy of ``always``, ``interval``, ``interval=<seconds>`` or ``off``.

    Raises:
        CallError: it is none of them.
    """
    if text in _NAMED:
        return _NAMED[text]
    name, _, number = text.partition("=")
    try:
        seconds = float(number)
    except ValueError:
        seconds = math.nan
    if name != "interval" or not 0 < seconds < math.inf:
        raise CallError(
            f"{text!r} is no durability policy",
            hint="use always, interval=<seconds> or off",
        )
    return Policy(seconds)
