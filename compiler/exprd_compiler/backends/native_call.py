"""Calls from Python to native code and back: three functions in IR that Python calls directly.

`take` reads the arguments into a frame, `go` runs an entry without the interpreter lock, `give`
makes arrays of what it left. Written against the layout of CPython's and numpy's objects, which a
test decides on before; where it is another, or a dtype is not numpy's own, the caller does the same
through ctypes. The numbers of the layout are those of CPython's and numpy's headers.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.target import host_level
from exprd_compiler.ir.node import Array

_HEADER: Final = 2 * ctypes.sizeof(ctypes.c_void_p)  # reference count and type
# numpy's ndarray, behind the header: data, rank, extents, strides, base, dtype, flags
_TYPE, _DATA, _RANK, _EXTENTS, _DTYPE, _FLAGS = 8, 16, 24, 32, 56, 64
_PLAIN: Final = 0x0101  # C_CONTIGUOUS and ALIGNED
_CARRAY: Final = 0x0501  # and WRITEABLE
_TABLE: Final = "_ARRAY_API"
# places of PyArray_Type, PyArray_New and PyArray_SetBaseObject in numpy's table
_ARRAY_TYPE, _NEW, _SET_BASE = 2, 93, 282
_FASTCALL: Final = 0x80  # METH_FASTCALL
_OWNER: Final = b"exprd memory"  # the name of the capsules that free results
_NAMES: Final = ("take", "go", "give")

# A block, the data of `self`, begins with these words; the forms follow: entry, context, pointers,
# extents, results, arguments' form, outputs' form, numpy's array type, its PyArray_New and its
# PyArray_SetBaseObject.
_WORDS: Final = 10
_WORD: Final = 8  # bytes

_TEXT: Final = f"""
@owner = private constant [{len(_OWNER) + 1} x i8] c"{_OWNER.decode()}\\00"

declare ptr @PyBool_FromLong(i64)
declare ptr @PyLong_FromLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare void @Py_DecRef(ptr)
declare void @free(ptr)

define internal ptr @word(ptr %self, i64 %number) alwaysinline {{
  %place = getelementptr i8, ptr %self, i64 {_DATA}
  %block = load ptr, ptr %place
  %entry = getelementptr ptr, ptr %block, i64 %number
  %value = load ptr, ptr %entry
  ret ptr %value
}}

; the arguments' addresses and extents into the frame; False if they are not as the form says
define ptr @take(ptr %self, ptr %args, i64 %given) {{
start:
  %pointers = call ptr @word(ptr %self, i64 2)
  %extents = call ptr @word(ptr %self, i64 3)
  %form = call ptr @word(ptr %self, i64 5)
  %array = call ptr @word(ptr %self, i64 7)
  %count = load i64, ptr %form
  %first = getelementptr i64, ptr %form, i64 1
  %counted = icmp eq i64 %given, %count
  br i1 %counted, label %next, label %no
next:
  %i = phi i64 [ 0, %start ], [ %i1, %taken ]
  %wanted = phi ptr [ %first, %start ], [ %after, %taken ]
  %out = phi ptr [ %extents, %start ], [ %out1, %taken ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %typed, label %yes
typed:
  %at = getelementptr ptr, ptr %args, i64 %i
  %object = load ptr, ptr %at
  %type_at = getelementptr i8, ptr %object, i64 {_TYPE}
  %type = load ptr, ptr %type_at
  %is_array = icmp eq ptr %type, %array
  br i1 %is_array, label %plain, label %no
plain:
  %dtype_at = getelementptr i8, ptr %object, i64 {_DTYPE}
  %dtype = load ptr, ptr %dtype_at
  %dtype_wanted = load ptr, ptr %wanted
  %same_dtype = icmp eq ptr %dtype, %dtype_wanted
  %rank_at = getelementptr i8, ptr %object, i64 {_RANK}
  %rank32 = load i32, ptr %rank_at
  %rank = sext i32 %rank32 to i64
  %rank_wanted_at = getelementptr i64, ptr %wanted, i64 1
  %rank_wanted = load i64, ptr %rank_wanted_at
  %same_rank = icmp eq i64 %rank, %rank_wanted
  %flags_at = getelementptr i8, ptr %object, i64 {_FLAGS}
  %flags = load i32, ptr %flags_at
  %kept = and i32 %flags, {_PLAIN}
  %is_plain = icmp eq i32 %kept, {_PLAIN}
  %fits1 = and i1 %same_dtype, %same_rank
  %fits2 = and i1 %fits1, %is_plain
  br i1 %fits2, label %pointed, label %no
pointed:
  %data_at = getelementptr i8, ptr %object, i64 {_DATA}
  %data = load ptr, ptr %data_at
  %pointer_at = getelementptr ptr, ptr %pointers, i64 %i
  store ptr %data, ptr %pointer_at
  %shape_at = getelementptr i8, ptr %object, i64 {_EXTENTS}
  %shape = load ptr, ptr %shape_at
  %known = getelementptr i64, ptr %wanted, i64 2
  br label %axes
axes:
  %axis = phi i64 [ 0, %pointed ], [ %axis1, %measured ]
  %left = icmp ult i64 %axis, %rank
  br i1 %left, label %measure, label %taken
measure:
  %extent_at = getelementptr i64, ptr %shape, i64 %axis
  %extent = load i64, ptr %extent_at
  %known_at = getelementptr i64, ptr %known, i64 %axis
  %static = load i64, ptr %known_at
  %open = icmp slt i64 %static, 0
  %same = icmp eq i64 %static, %extent
  %fitting = or i1 %open, %same
  br i1 %fitting, label %measured, label %no
measured:
  %out_at = getelementptr i64, ptr %out, i64 %axis
  store i64 %extent, ptr %out_at
  %axis1 = add i64 %axis, 1
  br label %axes
taken:
  %out1 = getelementptr i64, ptr %out, i64 %rank
  %after = getelementptr i64, ptr %known, i64 %rank
  %i1 = add i64 %i, 1
  br label %next
yes:
  %true = call ptr @PyBool_FromLong(i64 1)
  ret ptr %true
no:
  %false = call ptr @PyBool_FromLong(i64 0)
  ret ptr %false
}}

; the status of the entry, run without the interpreter lock
define ptr @go(ptr %self, ptr %args, i64 %given) {{
  %entry = call ptr @word(ptr %self, i64 0)
  %context = call ptr @word(ptr %self, i64 1)
  %pointers = call ptr @word(ptr %self, i64 2)
  %extents = call ptr @word(ptr %self, i64 3)
  %results = call ptr @word(ptr %self, i64 4)
  %thread = call ptr @PyEval_SaveThread()
  %status = call i32 %entry(ptr %context, ptr %pointers, ptr %extents, ptr %results)
  call void @PyEval_RestoreThread(ptr %thread)
  %wide = sext i32 %status to i64
  %number = call ptr @PyLong_FromLong(i64 %wide)
  ret ptr %number
}}

; a list of arrays over the results; whatever has an array is taken out of the frame
define ptr @give(ptr %self, ptr %args, i64 %given) {{
start:
  %results = call ptr @word(ptr %self, i64 4)
  %form = call ptr @word(ptr %self, i64 6)
  %array = call ptr @word(ptr %self, i64 7)
  %new = call ptr @word(ptr %self, i64 8)
  %set_base = call ptr @word(ptr %self, i64 9)
  %count = load i64, ptr %form
  %first = getelementptr i64, ptr %form, i64 1
  %list = call ptr @PyList_New(i64 %count)
  %no_list = icmp eq ptr %list, null
  br i1 %no_list, label %nothing, label %next
next:
  %i = phi i64 [ 0, %start ], [ %i1, %stored ]
  %wanted = phi ptr [ %first, %start ], [ %after, %stored ]
  %place = phi ptr [ %results, %start ], [ %place1, %stored ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %own, label %done
own:
  %data = load ptr, ptr %place
  %owner = call ptr @PyCapsule_New(ptr %data, ptr @owner, ptr @drop)
  %no_owner = icmp eq ptr %owner, null
  br i1 %no_owner, label %failed, label %make
make:
  store ptr null, ptr %place
  %number64 = load i64, ptr %wanted
  %number = trunc i64 %number64 to i32
  %rank_at = getelementptr i64, ptr %wanted, i64 1
  %rank = load i64, ptr %rank_at
  %rank32 = trunc i64 %rank to i32
  %shape = getelementptr i64, ptr %place, i64 1
  %made = call ptr %new(ptr %array, i32 %rank32, ptr %shape, i32 %number, ptr null, ptr %data,
                        i32 0, i32 {_CARRAY}, ptr null)
  %not_made = icmp eq ptr %made, null
  br i1 %not_made, label %unmade, label %base
base:
  %refused = call i32 %set_base(ptr %made, ptr %owner)
  %is_refused = icmp ne i32 %refused, 0
  br i1 %is_refused, label %unbased, label %stored
stored:
  %ignored = call i32 @PyList_SetItem(ptr %list, i64 %i, ptr %made)
  %place1 = getelementptr i64, ptr %shape, i64 %rank
  %after = getelementptr i64, ptr %wanted, i64 2
  %i1 = add i64 %i, 1
  br label %next
done:
  ret ptr %list
unmade:
  call void @Py_DecRef(ptr %owner)
  br label %failed
unbased:
  call void @Py_DecRef(ptr %made)
  br label %failed
failed:
  call void @Py_DecRef(ptr %list)
  br label %nothing
nothing:
  ret ptr null
}}

define internal void @drop(ptr %owner) {{
  %data = call ptr @PyCapsule_GetPointer(ptr %owner, ptr @owner)
  call void @free(ptr %data)
  ret void
}}
"""


class Calls(NamedTuple):
    """The three steps of calls over one frame.

    Attributes:
        take: whether arrays could be read into the frame.
        go: the entry's status.
        give: the outputs, after success.
    """

    take: Callable[..., bool]
    go: Callable[[], int]
    give: Callable[[], list[Array]]


class _Native:
    """The linked functions, as long as the process lives."""

    def __init__(self) -> None:
        self._linked = Linked(compile_ir(_TEXT, host_level()), _NAMES)
        self._names = [ctypes.create_string_buffer(name.encode()) for name in _NAMES]
        self._methods = [  # of CPython's PyMethodDef: name, address, flags, documentation
            np.array([ctypes.addressof(text), self._linked.address(name), _FASTCALL, 0], "uint64")
            for name, text in zip(_NAMES, self._names, strict=True)
        ]
        self._function = ctypes.pythonapi.PyCFunction_NewEx
        self._function.restype = ctypes.py_object
        self._function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        table = _table()
        self._numpy = (id(np.ndarray), table[_NEW] or 0, table[_SET_BASE] or 0)
        # arrays may be freed by `drop` after everything else of this process
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def calls(self, places: Sequence[int], arguments: Array, outputs: Array) -> Calls:
        """The steps over an entry, its context, and the three parts of a frame."""
        block = np.zeros(_WORDS + arguments.size + outputs.size, "int64")
        end = _WORDS + arguments.size
        block[_WORDS:end], block[end:] = arguments, outputs
        start = block.ctypes.data
        block[:_WORDS] = (*places, start + _WORD * _WORDS, start + _WORD * end, *self._numpy)
        return Calls(*[self._function(m.ctypes.data, block, None) for m in self._methods])


def _table() -> Any:
    """Numpy's table of functions."""
    multiarray: Any = sys.modules["numpy._core._multiarray_umath"]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    table = pointer(getattr(multiarray, _TABLE), None)
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))


def is_owner(base: object) -> bool:
    """Whether an object is what frees a result."""
    if type(base).__name__ != "PyCapsule":
        return False
    valid = ctypes.pythonapi.PyCapsule_IsValid
    valid.argtypes = (ctypes.py_object, ctypes.c_char_p)
    return bool(valid(base, _OWNER))


Bind: TypeAlias = Callable[[Sequence[int]], Calls]


def binder(
    entry: int,
    arguments: Sequence[tuple[Any, Sequence[int | None]]],
    outputs: Sequence[tuple[Any, int]],
) -> Bind | None:
    """What makes the steps of calls, or None where only ctypes can.

    Args:
        entry: its address.
        arguments: dtypes and known extents.
        outputs: dtypes and ranks.

    Returns:
        A function of four addresses: context, arguments' pointers, their extents, and results.
    """
    native = native_calls()
    dtypes = [dtype for dtype, _ in (*arguments, *outputs)]
    if native is None or any(dtype.isbuiltin != 1 for dtype in dtypes):
        return None
    given, made = _arguments(arguments), _outputs(outputs)
    return lambda places: native.calls((entry, *places), given, made)


def _arguments(arguments: Sequence[tuple[Any, Sequence[int | None]]]) -> Array:
    words = [len(arguments)]
    for dtype, shape in arguments:
        words += [id(dtype), len(shape), *[-1 if n is None else n for n in shape]]
    return np.array(words, "int64")


def _outputs(outputs: Sequence[tuple[Any, int]]) -> Array:
    words = [x for dtype, rank in outputs for x in (dtype.num, rank)]
    return np.array([len(outputs), *words], "int64")


@cache
def native_calls() -> _Native | None:
    """The native side of calls, or None where objects are not laid out as it expects."""
    if not (_is_plain_python() and _is_expected_layout()):
        return None
    native = _Native()
    return native if _is_right(native) else None


def _is_plain_python() -> bool:
    """Whether objects begin with a count and a type, and one lock guards them."""
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    wide = ctypes.sizeof(ctypes.c_void_p) == 8 and np.dtype("int").itemsize == 8
    known = "numpy._core._multiarray_umath" in sys.modules
    return (
        sys.implementation.name == "cpython"
        and not free
        and wide
        and known
        and object.__basicsize__ == _HEADER
    )


def _is_expected_layout() -> bool:
    """Whether fields of a sample lie where numpy's headers say."""
    sample = np.zeros((2, 3), "float32")
    word, start = ctypes.c_uint64.from_address, id(sample)
    flags = ctypes.c_int32.from_address(start + _FLAGS).value
    shape = word(start + _EXTENTS).value
    table = _table()
    return (
        word(start + _TYPE).value == id(np.ndarray)
        and word(start + _DATA).value == sample.ctypes.data
        and ctypes.c_int32.from_address(start + _RANK).value == 2
        and [word(shape).value, word(shape + 8).value] == [2, 3]
        and word(start + _DTYPE).value == id(sample.dtype)
        and flags & _CARRAY == _CARRAY
        and table[_ARRAY_TYPE] == id(np.ndarray)
    )


def _is_right(native: _Native) -> bool:
    """Whether the functions do on a sample what they should."""
    dtype = np.dtype("float32")
    frame = np.zeros(8, "int64")
    start = frame.ctypes.data
    places = (0, 0, start, start + _WORD, start + 3 * _WORD)
    take, _, give = native.calls(places, _arguments([(dtype, (None, 3))]), _outputs([(dtype, 2)]))
    sample = np.zeros((2, 3), dtype)
    refused = (sample.T, sample[:, :2], sample.astype("int32"), sample[0], 3.0)
    if any(take(x) for x in refused) or take() or not take(sample):
        return False
    if frame[:3].tolist() != [sample.ctypes.data, 2, 3]:
        return False
    frame[3:6] = (_allocate(24), 2, 3)
    (made,) = give()
    return made.shape == (2, 3) and made.dtype is dtype and is_owner(made.base) and not frame[3]


def _allocate(size: int) -> int:
    allocate = ctypes.CDLL(None).malloc
    allocate.restype = ctypes.c_void_p
    allocate.argtypes = (ctypes.c_size_t,)
    return int(allocate(size) or 0)
