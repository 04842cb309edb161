"""Fuzz targets: every reader of bytes that somebody else may have written, by name.

A target makes an input out of choices, mostly a good one with a few places changed, and gives it to
the real reader. It returns, or raises an error of the tree; anything else is a finding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from exprd_compiler.errors import CompilerBug, ExprdError
from tests.fuzz import bell, calls, files, wires
from tests.fuzz.source import Source

SECONDS = 1.0  # of one core, for any input
TARGETS: Mapping[str, Callable[[Source], None]] = MappingProxyType(
    {
        "graph": wires.graph,
        "requests": wires.requests_of_all_kinds,
        "framing": wires.framing,
        "put": calls.put,
        "session": calls.session,
        "doorbell": bell.frames,
        "state": files.state,
        "rows": files.rows,
        "safetensors": files.safetensors,
        "checkpoint": files.checkpoint,
        "entries": files.entries,
    }
)


def judge(name: str, data: bytes) -> bool:
    """Whether the input that some bytes make was accepted; raises on a finding."""
    start = time.thread_time()
    try:
        TARGETS[name](Source(data))
        accepted = True
    except CompilerBug:
        raise
    except ExprdError as error:
        accepted = False
        said = error.message
        if not said or not _is_one_line(said):
            raise AssertionError(f"a line of a log could be forged by {said!r}") from error
    seconds = time.thread_time() - start
    assert seconds < SECONDS, f"{seconds:.1f} s for one input"
    return accepted


def _is_one_line(text: str) -> bool:
    return not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
