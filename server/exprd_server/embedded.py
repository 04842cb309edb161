"""The engine inside a client's own process: no network, no workers, no leases to lose.

Invariant: imports no gRPC and no wire messages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exprd_server.compilers import InProcessCompiler
from exprd_server.engine import LocalEngine
from exprd_server.settings import Limits, Settings
from exprd_server.store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

_UNBOUNDED = 1 << 62


def embedded_engine(
    settings: Settings | None = None, *, cache: Path | None = None, room: int = 0
) -> LocalEngine:
    """A new engine whose only caller is this process.

    Args:
        settings: limits; none that protect a server from its clients when not given.
        cache: directory of the object cache; none when not given.
        room: bytes that one call of native code may take; 0 is as many as there are.
    """
    # The caller's own memory needs no quota, and its leases never lapse.
    limits = Limits(
        client_bytes=_UNBOUNDED,
        tensor_bytes=_UNBOUNDED,
        functions=_UNBOUNDED,
        buffers=_UNBOUNDED,
        variables=_UNBOUNDED,
        published=_UNBOUNDED,
    )
    chosen = settings or Settings(lease_seconds=math.inf, limits=limits)
    return LocalEngine(chosen, InProcessCompiler(cache, room), MemoryStore())
