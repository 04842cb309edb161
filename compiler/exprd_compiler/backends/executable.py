"""Executable: linked native code as a function of arrays.

Arguments are checked once against their types; outputs are fresh memory that numpy arrays own.
Calls may run at the same time: each takes an execution context of its own, and the interpreter
lock is released while native code runs. A call can be asked to stop: a guard, which runs the native
code, is given the means.
"""

from __future__ import annotations

import ctypes
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from exprd_compiler import errors
from exprd_compiler.backends.addresses import data_address
from exprd_compiler.backends.llvm import layout
from exprd_compiler.backends.llvm.blas import host_blas
from exprd_compiler.backends.llvm.jit import Linked
from exprd_compiler.backends.native_call import Bind, binder, is_owner
from exprd_compiler.backends.patch import Patch
from exprd_compiler.errors import CallError, CompilerBug, ExprdError, ShapeError
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.type import TensorType
from exprd_compiler.kernel.form import Counter, Site
from exprd_compiler.kernel.memory import NO_MEMORY, MemoryPlan, Need

_WORD: Final = 8  # bytes of an address or extent
_PLAIN: Final = 0x0101  # numpy's flags C_CONTIGUOUS and ALIGNED
_LIBC = ctypes.CDLL(None)
_ALL_ONES: Final = 2**64 - 1
_as_array: Final[Callable[..., Array]] = np.asarray
_FEW: Final = 2  # contexts that are kept for the next calls, whatever they hold
_SMALL: Final = 1 << 20  # bytes up to which all are kept
# Distinct shapes of one function whose needs are remembered; then all are worked out anew.
_SHAPES: Final = 256
_free = _LIBC.free
_free.argtypes = (ctypes.c_void_p,)
_free.restype = None


class Guard(Protocol):
    """Whoever runs native code on behalf of a caller that may want it to stop."""

    def __call__(self, native: Callable[[], int], stop: Callable[[], None], /) -> int:
        """The status of `native()`; `stop` may be called while it runs, and not afterwards."""
        ...


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
    """One execution context: what a call passes, error record, cancel flag, temporaries' memory.

    Attributes:
        steps: the native side of its calls, if there is one.
        asked: whether a call was asked to stop.
    """

    __slots__ = ("address", "asked", "buffer", "call", "passed", "slots", "steps")

    def __init__(
        self, slots: int, counters: int, frame: _Frame, room: int, bind: Bind | None
    ) -> None:
        size = layout.counters_offset(slots) + counters * layout.COUNTER_BYTES
        self.buffer = (ctypes.c_char * size)()
        self.address = ctypes.addressof(self.buffer)
        self.call = (ctypes.c_char * frame.size)()
        first = ctypes.addressof(self.call)
        places = (self.address, first + frame.pointers, first, first + frame.results)
        self.passed = tuple(map(ctypes.c_void_p, places))
        self.steps = None if bind is None else bind(places)
        self.slots, self.asked = slots, False
        ctypes.c_int64.from_address(self.address + layout.ROOM_OFFSET).value = room

    def cancel(self) -> None:
        """Ask the running call to stop at its next cancel point."""
        self.asked = True  # before the flag, which would stay otherwise
        ctypes.c_int32.from_address(self.address + layout.CANCEL_OFFSET).value = 1

    def resume(self) -> None:
        """Forget that a call was to stop."""
        ctypes.c_int32.from_address(self.address + layout.CANCEL_OFFSET).value = 0
        self.asked = False

    def counts(self, counters: int) -> tuple[int, ...]:
        """What the last call counted."""
        first = layout.counters_offset(self.slots)
        return struct.unpack_from(f"<{counters}q", self.buffer, first)

    def site(self) -> int:
        """The site of the last failure."""
        return ctypes.c_int32.from_address(self.address + layout.SITE_OFFSET).value

    def memory(self) -> tuple[int, int]:
        """Bytes that the last call had when it ended, and that it was allowed to have."""
        taken, held, room = (
            ctypes.c_int64.from_address(self.address + offset).value
            for offset in (layout.TAKEN_OFFSET, layout.HELD_OFFSET, layout.ROOM_OFFSET)
        )
        return taken + held, room

    def held(self) -> int:
        """Bytes that the slots have."""
        return ctypes.c_int64.from_address(self.address + layout.HELD_OFFSET).value

    def values(self) -> list[int]:
        """The values recorded with the last failure."""
        kind = ctypes.c_int64 * layout.VALUES
        return list(kind.from_address(self.address + layout.VALUES_OFFSET))

    def __del__(self) -> None:
        for slot in range(self.slots):
            place = self.address + layout.SLOTS_OFFSET + slot * layout.SLOT_BYTES
            _free(ctypes.c_void_p.from_address(place).value)


class _Frame:
    """Where a call's extents, pointers and results lie in its context's memory, as structs.

    Attributes:
        size: bytes in all.
        given: extents, then addresses of the arguments; addresses of constants follow.
        found: per output its address and its extents.
    """

    __slots__ = ("_given_extents", "constants", "found", "given", "pointers", "results", "size")

    def __init__(self, interface: Interface) -> None:
        extents = sum(t.ndim for t in interface.arguments)
        count, fixed = len(interface.arguments), len(interface.constants)
        self.pointers = _WORD * extents
        self.results = self.pointers + _WORD * (count + fixed)
        self.given = struct.Struct(f"<{extents}q{count}Q")
        self._given_extents = struct.Struct(f"<{extents}q")
        self.constants = struct.Struct(f"<{fixed}Q")
        self.found = struct.Struct("<" + "".join(f"Q{t.ndim}q" for t in interface.outputs))
        self.size = self.results + self.found.size + _WORD

    def extents(self, context: _Context) -> tuple[int, ...]:
        """The extents of the arguments that a context was given."""
        return self._given_extents.unpack_from(context.call)

    def context(self, interface: Interface, room: int, bind: Bind | None) -> _Context:
        """A context with the addresses of the constants in place."""
        made = _Context(interface.slots, len(interface.counters), self, room, bind)
        addresses = [data_address(c) for c in interface.constants]
        self.constants.pack_into(made.call, self.given.size, *addresses)
        return made


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
        counters: what a call counts.
        memory: what a call takes.
    """

    arguments: tuple[TensorType, ...]
    names: tuple[str, ...]
    outputs: tuple[TensorType, ...]
    sites: tuple[Site, ...]
    slots: int
    constants: tuple[Array, ...]
    counters: tuple[Counter, ...] = ()
    memory: MemoryPlan = NO_MEMORY


class Executable:
    """A compiled graph, ready to be called.

    Args:
        image: the relocatable object.
        interface: what calling it takes.
        room: bytes that the temporaries and results of one call may take together; 0 is as many as
            the system gives.

    Attributes:
        interface: types and error sites.
    """

    def __init__(self, image: bytes, interface: Interface, room: int = 0) -> None:
        self.interface = interface
        self._limit = room
        self._room = room or layout.UNBOUNDED
        self._needs: dict[tuple[int, ...], Need] = {}
        self._linked = Linked(image, (layout.ENTRY,), host_blas().symbols)
        signature = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)
        entry = self._linked.address(layout.ENTRY)
        self._entry = signature(entry)
        self._frame = _Frame(interface)
        self._wanted = [(numpy_dtype(t.dtype), t.ndim, _known(t)) for t in interface.arguments]
        made = [(numpy_dtype(t.dtype), t.ndim) for t in interface.outputs]
        self._made = [(dtype.str, rank, dtype) for dtype, rank in made]
        wanted = [(numpy_dtype(t.dtype), t.shape) for t in interface.arguments]
        self._bind = binder(entry, wanted, made)
        self._idle: deque[_Context] = deque()

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Outputs, then new values of updated variables, as fresh arrays; see `run`."""
        return self.run(arguments)[0]

    def run(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[list[Array], tuple[EventCount, ...]]:
        """Outputs, then new values of updated variables, as fresh arrays, and the events met.

        Args:
            arguments: inputs, then values of shared variables, of the exact dtypes and ranks.
            guard: runs the native code and may stop it.

        Raises:
            CallError: count, dtype, rank or a static extent differs.
            LimitExceeded: it needs more memory than it may take, or than there is.
            ShapeError, IndexOutOfRange: what native code found.
            Cancelled: the guard stopped it.
        """
        try:
            context = self._idle.pop()
        except IndexError:
            context = self._frame.context(self.interface, self._room, self._bind)
        steps = context.steps
        if steps is not None and steps.take(*arguments):
            arrays = arguments
        else:
            arrays = self._packed(context, arguments)
        if self._limit:
            self._check_need(self._frame.extents(context))
        if guard is not None:
            status = self._guarded(guard, context, arrays)
        else:
            status = self._native(context, arrays)
        if status != layout.OK:
            self._collected(context)  # and so freed
            raise self._error(status, context)
        outputs = self._collected(context) if steps is None else steps.give()
        counts = self._counted(context) if self.interface.counters else ()
        # What many calls at a time have grown is given back, but for what a few will use again.
        if len(self._idle) < _FEW or context.held() <= _SMALL:
            self._idle.append(context)
        return outputs, counts

    def changes(
        self, arguments: Sequence[Array], guard: Guard | None = None
    ) -> tuple[Sequence[Array | Patch], tuple[EventCount, ...]]:
        """The same: all new values are whole."""
        return self.run(arguments, guard)

    def need(self, extents: tuple[int, ...]) -> Need:
        """What a call with these extents of all arguments takes, as far as they tell."""
        found = self._needs.get(extents)
        if found is None:
            if len(self._needs) >= _SHAPES:
                self._needs.clear()
            found = self._needs[extents] = self.interface.memory.need(extents)
        return found

    def _check_need(self, extents: tuple[int, ...]) -> None:
        need = self.need(extents)
        if need.nbytes > self._limit:
            raise need.error(self._limit)

    def _guarded(self, guard: Guard, context: _Context, arrays: Sequence[Array]) -> int:
        # the arrays are an argument, so that they live as long as native code can run
        native = partial(self._native, context, arrays)
        status = guard(native, context.cancel)
        if context.asked:  # possibly when all was done
            context.resume()
        return status

    def _native(self, context: _Context, _arrays: Sequence[Array]) -> int:
        steps = context.steps
        status: int = self._entry(*context.passed) if steps is None else steps.go()
        return status

    def _packed(self, context: _Context, arguments: Sequence[Array]) -> list[Array]:
        """The arguments as they are passed, which has been noted in the context."""
        arrays, extents = self._checked(arguments)
        self._frame.given.pack_into(context.call, 0, *extents, *map(data_address, arrays))
        return arrays

    def _counted(self, context: _Context) -> tuple[EventCount, ...]:
        counters = self.interface.counters
        return tuple(
            EventCount(counter.kind, counter.op, counter.origin, count)
            for counter, count in zip(counters, context.counts(len(counters)), strict=True)
            if count
        )

    def _checked(self, arguments: Sequence[Array]) -> tuple[list[Array], list[int]]:
        """The arguments as contiguous arrays, and all their extents."""
        if len(arguments) != len(self._wanted):
            raise CallError(f"takes {len(self._wanted)} arguments, got {len(arguments)}")
        arrays: list[Array] = []
        extents: list[int] = []
        for array, (dtype, rank, known) in zip(arguments, self._wanted, strict=True):
            shape = array.shape
            if (array.dtype is not dtype and array.dtype != dtype) or len(shape) != rank:
                raise CallError(self._mismatch(len(arrays), array))
            for axis, extent in known:
                if shape[axis] != extent:
                    raise ShapeError(self._mismatch(len(arrays), array))
            plain = type(array) is np.ndarray and array.flags.num & _PLAIN == _PLAIN
            arrays.append(array if plain else np.array(array, order="C", subok=False))
            extents += shape
        return arrays, extents

    def _mismatch(self, place: int, array: Array) -> str:
        wanted = self.interface.arguments[place]
        return f"{self._name(place)} is {_described(array)}, expected {wanted}"

    def _name(self, place: int) -> str:
        name = self.interface.names[place]
        return f"argument {place} ({name!r})" if name else f"argument {place}"

    def _collected(self, context: _Context) -> list[Array]:
        """Arrays over the memory that the entry handed out, those before a failure included."""
        results = self._frame.found.unpack_from(context.call, self._frame.results)
        out: list[Array] = []
        place = 0
        for typestr, rank, dtype in self._made:
            address = results[place]
            if address:
                shape = results[place + 1 : place + 1 + rank]
                array = _as_array(_Memory(address, shape, typestr))
                out.append(array if array.dtype is dtype else array.view(dtype))
            place += 1 + rank
        return out

    def _error(self, status: int, context: _Context) -> ExprdError:
        if status == layout.NO_MEMORY:
            return self._refused(context)
        if status == layout.CANCELLED:
            return errors.Cancelled("the call was cancelled")
        if status != layout.FAILED:
            return CompilerBug(f"native code returned status {status}")
        site = self.interface.sites[context.site()]
        kind = errors.by_kind()[site.kind]
        values = context.values()
        nodes = (site.origin,) if site.origin >= 0 else ()
        return kind(site.message.format(*values), op=site.op, nodes=nodes)

    def _refused(self, context: _Context) -> ExprdError:
        """The error of a call that was refused memory while it ran."""
        size, *extents = context.values()
        size &= _ALL_ONES  # what is larger than any memory is all ones
        before, room = context.memory()
        piece = self.interface.memory.piece(context.site())
        shape = tuple(extents[: len(piece.extents)])
        if before + size > room and size <= layout.LARGEST:
            return Need(before + size, piece, shape).error(room, late=True)
        return errors.LimitExceeded(
            f"{piece.dtype}{list(shape)} is larger than memory allows", op=piece.op
        )


def owns_memory(array: Array) -> bool:
    """Whether an array has its memory to itself, but for what it is the base of."""
    base: object = array.base
    return bool(array.flags.owndata) or isinstance(base, _Memory) or is_owner(base)


def _known(t: TensorType) -> tuple[tuple[int, int], ...]:
    """Axis and extent wherever the extent is static."""
    return tuple((axis, extent) for axis, extent in enumerate(t.shape) if extent is not None)


def _described(array: Array) -> str:
    name = array.dtype.name if array.dtype.isnative else array.dtype.str
    return f"{name}{list(array.shape)}"
