"""Regions: memory that a server shares with one client on its host.

Invariant: the server makes them and hands their descriptors out; it never opens what a client
names. Size and seals are fixed before a descriptor leaves, so no client can shrink one under the
server. What lies in a region may change at any moment, and is copied out before it is used.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FUTURE_WRITE: Final = 0x0010  # F_SEAL_FUTURE_WRITE of Linux 5.1, which Python does not name
_SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Region:
    """Shared memory of a fixed size, mapped here for reading and writing.

    Attributes:
        nbytes: its size.
        memory: its bytes.

    Raises:
        OSError: there is not so much memory.
    """

    __slots__ = ("_descriptor", "memory", "nbytes")

    def __init__(self, nbytes: int, *, readable_only: bool) -> None:
        self.nbytes = nbytes
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        self._descriptor = os.memfd_create("exprd-region", flags)
        try:
            # Pages that could not be had later would end the process that touches them.
            os.posix_fallocate(self._descriptor, 0, nbytes)
            self.memory: NDArray[Any] = np.frombuffer(mmap.mmap(self._descriptor, nbytes), np.uint8)
            # The mapping above stays writable; the client gets none that is.
            seals = _SIZE | fcntl.F_SEAL_SEAL | (_FUTURE_WRITE if readable_only else 0)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """What is sent to the client, until `close`."""
        return self._descriptor

    def close(self) -> None:
        """Closes the descriptor; the memory stays while somebody has it mapped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
