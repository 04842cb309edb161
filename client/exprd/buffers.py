"""Buffer: an array that was put where the graphs run, and stays there.

Accepted wherever an input of a function is, and in givens. Never changes; freed with its last
reference.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprd.session import Session, current_session
from exprd.transport import BufferRef, RemoteBuffer
from exprd_compiler.errors import DTypeError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.type import TensorType

__all__ = ["Buffer", "put"]


class Buffer:
    """A handle of an array that lies where the graphs run.

    Attributes:
        ref: the handle as an input of a call.
        type: dtype and shape.
        dtype: element type.
        shape: extents.
    """

    __slots__ = ("__weakref__", "_info", "_lock", "leaf", "ref", "session", "type")

    def __init__(self, session: Session, info: RemoteBuffer) -> None:
        self.session, self._info = session, info
        self._lock = threading.Lock()
        self.ref = BufferRef(info.handle)
        self.type = TensorType(info.dtype, info.shape)
        self.leaf: Any = None  # the constant shared variable that stands for it in graphs
        session.collect_with(self, "buffer", info.handle)

    @property
    def handle(self) -> str:
        """The name of the array there."""
        return self._info.handle

    @property
    def dtype(self) -> str:
        """The element type."""
        return self._info.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""
        return self._info.shape

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self._info.shape)

    def get(self) -> NDArray[Any]:
        """The value, as an array of the caller's own."""
        value = self.session.transport.get(self._info)
        return value if value.flags.writeable else np.array(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        value = self.get()
        return value if dtype is None else value.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d array has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        where = self.session.target or "this process"
        return f"<buffer {self.dtype}{list(self.shape)} in {where}>"


def put(value: object, *, resend: bool = True) -> Buffer:
    """Keeps an array where the graphs run, so that no call has to send it again.

    Args:
        value: anything numpy makes an array of; it is copied.
        resend: keep that copy in this process as long as the buffer, and send it again to a server
            that was restarted; without it, such a server does not know the buffer any more.

    Raises:
        DTypeError: its element type does not exist there.
    """
    session = current_session()
    # Without a copy that is kept, bytes that are about to travel need none.
    travels = bool(session.target) and not resend
    array = np.asarray(value, order="C") if travels else np.array(value, order="C")
    if array.dtype.name not in EVERY:
        raise DTypeError(
            f"cannot put dtype {array.dtype}", hint=f"cast it to one of {', '.join(EVERY)}"
        )
    session.sweep()
    return Buffer(session, session.transport.put(array, resend))
