"""Executable: linked native code as a function of arrays.

Arguments are checked once against their types; outputs are fresh memory that numpy arrays own.
Calls may run at the same time: each takes an execution context of its own, and the interpreter
lock is released while native code runs.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exprd_compiler import errors
from exprd_compiler.backends.llvm import layout
from exprd_compiler.backends.llvm.blas import host_blas
from exprd_compiler.backends.llvm.jit import Linked
from exprd_compiler.errors import CallError, CompilerBug, ExprdError, ShapeError
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Site

_LIBC = ctypes.CDLL(None)
_free = _LIBC.free
_free.argtypes = (ctypes.c_void_p,)
_free.restype = None


class _Memory:
    """Native memory seen as an array; freed with the last array over it."""

    __slots__ = ("__array_interface__", "_address")

    def __init__(self, address: int, shape: tuple[int, ...], typestr: str) -> None:
        self._address = address
        self.__array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": typestr,
            "version": 3,
        }

    def __del__(self) -> None:
        _free(self._address)


class _Context:
    """One execution context: error record, cancel flag and the memory of temporaries."""

    __slots__ = ("address", "buffer", "slots")

    def __init__(self, slots: int) -> None:
        size = layout.SLOTS_OFFSET + slots * layout.SLOT_BYTES
        self.buffer = (ctypes.c_char * size)()
        self.address = ctypes.addressof(self.buffer)
        self.slots = slots

    def cancel(self) -> None:
        """Ask the running call to stop at its next cancel point."""
        ctypes.c_int32.from_address(self.address + layout.CANCEL_OFFSET).value = 1

    def site(self) -> int:
        """The site of the last failure."""
        return ctypes.c_int32.from_address(self.address + layout.SITE_OFFSET).value

    def values(self) -> list[int]:
        """The values recorded with the last failure."""
        kind = ctypes.c_int64 * layout.VALUES
        return list(kind.from_address(self.address + layout.VALUES_OFFSET))

    def release(self) -> None:
        """Give the memory of temporaries back."""
        for slot in range(self.slots):
            place = self.address + layout.SLOTS_OFFSET + slot * layout.SLOT_BYTES
            _free(ctypes.c_void_p.from_address(place).value)
            ctypes.memset(place, 0, layout.SLOT_BYTES)

    def __del__(self) -> None:
        self.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What calling an object takes: types, sites and constants.

    Attributes:
        arguments: types of inputs, then of shared variables.
        names: their names for messages, "" where they have none.
        outputs: types of outputs, then of new values.
        sites: error sites.
        slots: temporary slots of a context.
        constants: arrays passed behind the arguments.
    """

    arguments: tuple[TensorType, ...]
    names: tuple[str, ...]
    outputs: tuple[TensorType, ...]
    sites: tuple[Site, ...]
    slots: int
    constants: tuple[Array, ...]


class Executable:
    """A compiled graph, ready to be called.

    Attributes:
        interface: types and error sites.
    """

    def __init__(self, image: bytes, interface: Interface) -> None:
        self.interface = interface
        self._linked = Linked(image, (layout.ENTRY,), host_blas().symbols)
        signature = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)
        self._entry = signature(self._linked.address(layout.ENTRY))
        self._dtypes = tuple(np.dtype(t.dtype) for t in interface.arguments)
        self._constants = [c.ctypes.data for c in interface.constants]
        count = len(interface.arguments)
        self._pointers = ctypes.c_void_p * max(1, count + len(self._constants))
        self._extents = ctypes.c_int64 * max(1, sum(t.ndim for t in interface.arguments))
        self._results = ctypes.c_int64 * max(1, sum(1 + t.ndim for t in interface.outputs))
        self._typestr = tuple(np.dtype(t.dtype).str for t in interface.outputs)
        self._idle: deque[_Context] = deque()

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Outputs, then new values of updated variables, as fresh arrays.

        Args:
            arguments: inputs, then values of shared variables, of the exact dtypes and ranks.

        Raises:
            CallError: count, dtype, rank or a static extent differs.
            ShapeError, IndexOutOfRange: what native code found.
        """
        arrays = self._checked(arguments)
        pointers = self._pointers(
            *[a.__array_interface__["data"][0] for a in arrays], *self._constants
        )
        extents = self._extents(*[n for a in arrays for n in a.shape])
        results = self._results()
        try:
            context = self._idle.pop()
        except IndexError:
            context = _Context(self.interface.slots)
        status = self._entry(context.address, pointers, extents, results)
        outputs = self._collected(results)
        if status != layout.OK:
            raise self._error(status, context)
        self._idle.append(context)
        return outputs

    def _checked(self, arguments: Sequence[Array]) -> list[Array]:
        types = self.interface.arguments
        if len(arguments) != len(types):
            raise CallError(f"takes {len(types)} arguments, got {len(arguments)}")
        out: list[Array] = []
        for place, (array, wanted) in enumerate(zip(arguments, types, strict=True)):
            if array.dtype != self._dtypes[place] or array.ndim != len(wanted.shape):
                raise CallError(f"{self._name(place)} is {_described(array)}, expected {wanted}")
            for have, want in zip(array.shape, wanted.shape, strict=True):
                if want is not None and have != want:
                    text = f"{self._name(place)} is {_described(array)}, expected {wanted}"
                    raise ShapeError(text)
            out.append(
                array
                if array.flags.c_contiguous and array.flags.aligned
                else np.array(array, order="C")
            )
        return out

    def _name(self, place: int) -> str:
        name = self.interface.names[place]
        return f"argument {place} ({name!r})" if name else f"argument {place}"

    def _collected(self, results: Any) -> list[Array]:
        """Arrays over the memory that the entry handed out, those before a failure included."""
        out: list[Array] = []
        place = 0
        for wanted, typestr in zip(self.interface.outputs, self._typestr, strict=True):
            rank = len(wanted.shape)
            address = results[place]
            if address:
                shape = tuple(results[place + 1 : place + 1 + rank])
                out.append(np.asarray(_Memory(address, shape, typestr)))
            place += 1 + rank
        return out

    def _error(self, status: int, context: _Context) -> ExprdError:
        if status == layout.NO_MEMORY:
            return errors.LimitExceeded("a buffer of this call is larger than memory allows")
        if status == layout.CANCELLED:
            return errors.Cancelled("the call was cancelled")
        if status != layout.FAILED:
            return CompilerBug(f"native code returned status {status}")
        site = self.interface.sites[context.site()]
        kind = errors.by_kind()[site.kind]
        values = context.values()
        nodes = (site.origin,) if site.origin >= 0 else ()
        return kind(site.message.format(*values), op=site.op, nodes=nodes)


def _described(array: Array) -> str:
    return f"{array.dtype.name}{list(array.shape)}"
