"""Memory of the server process: how much there is, and a bound that holds.

Invariant: with a bound, an allocation that asks for too much fails, and costs its own
call; without one, the kernel would grant it and later kill the whole server.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from exprd_compiler.errors import CallError

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_LEAST = 256 << 20  # below, gRPC ends the process for want of threads
_SHARE = 0.8  # the rest is for workers, the system's cache, and other processes


def machine_bytes() -> int:
    """The memory this process may use: that of the machine, or of its container."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(text)) if text.isdecimal() else physical


def wanted_bytes(nbytes: int) -> int:
    """What a setting asks for; 0 takes a share of the machine.

    Raises:
        CallError: a server cannot even start with so few.
    """
    wanted = nbytes or int(machine_bytes() * _SHARE)
    if wanted < _LEAST:
        raise CallError(
            f"{wanted} bytes of memory are too few for a server",
            hint=f"give --memory-bytes {_LEAST} or more",
        )
    return wanted


def bound_memory(nbytes: int) -> int:
    """Bounds the data of this process; 0 takes a share of the machine. Gives the bound."""
    wanted = wanted_bytes(nbytes)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    return bound
