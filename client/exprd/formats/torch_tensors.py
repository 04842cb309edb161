"""Tensors of a PyTorch file: storages of bytes, and the views of them that tensors are.

A tensor is a storage, an offset, extents and strides, all counted in elements. Tensors that shared
a storage share memory again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exprd.formats.elements import decoded, extents_of
from exprd.formats.plain_pickle import Name, refused
from exprd_compiler.errors import DamagedFile, LimitExceeded

__all__ = ["ELEMENTS", "STORAGES", "UNTYPED", "Storage", "calls_of"]

STORAGES: Final[Mapping[Name, str]] = MappingProxyType(
    {
        Name("torch", "BoolStorage"): "bool",
        Name("torch", "ByteStorage"): "uint8",
        Name("torch", "CharStorage"): "int8",
        Name("torch", "ShortStorage"): "int16",
        Name("torch", "IntStorage"): "int32",
        Name("torch", "LongStorage"): "int64",
        Name("torch", "HalfStorage"): "float16",
        Name("torch", "BFloat16Storage"): "bfloat16",
        Name("torch", "FloatStorage"): "float32",
        Name("torch", "DoubleStorage"): "float64",
        Name("torch", "ComplexFloatStorage"): "complex64",
        Name("torch", "ComplexDoubleStorage"): "complex128",
    }
)
UNTYPED: Final = Name("torch.storage", "UntypedStorage")
# Element types without a storage class of their own.
ELEMENTS: Final[Mapping[Name, str]] = MappingProxyType(
    {Name("torch", name): name for name in ("uint16", "uint32", "uint64")}
)
_COPIES: Final = 16  # times the size of the file that conjugated views may take together


class Storage:
    """The elements of a storage.

    Attributes:
        dtype: of the elements; None if the tensors say it.
    """

    __slots__ = ("_arrays", "_big_endian", "_data", "dtype")

    def __init__(self, data: bytes | memoryview, dtype: str | None, *, big_endian: bool) -> None:
        self._data, self.dtype, self._big_endian = data, dtype, big_endian
        self._arrays: dict[str, NDArray[Any]] = {}

    def elements(self, dtype: str | None) -> NDArray[Any]:
        """The storage as a vector, the same one for every tensor.

        Raises:
            DamagedFile: the elements are of another dtype.
        """
        kind = self.dtype or dtype
        if kind is None or (dtype is not None and dtype != kind):
            raise DamagedFile(f"a tensor of {dtype} lies in a storage of {kind}")
        if kind not in self._arrays:
            self._arrays[kind] = decoded(self._data, kind, big_endian=self._big_endian)
        if self.dtype is not None:
            self._data = b""  # the array is a copy, and large files are large
        return self._arrays[kind]


def calls_of(size: int) -> Mapping[Name, Callable[..., Any]]:
    """What the functions named in a file of so many bytes make."""
    views = _Views(size)
    return MappingProxyType(
        {
            Name("collections", "OrderedDict"): OrderedDict[Any, Any],
            Name("torch._utils", "_rebuild_tensor"): views.tensor,
            Name("torch._utils", "_rebuild_tensor_v2"): views.tensor_2,
            Name("torch._utils", "_rebuild_tensor_v3"): views.tensor_3,
            Name("torch._utils", "_rebuild_parameter"): _parameter,
            Name("torch", "Size"): _size,
        }
    )


def _parameter(tensor: Any, _requires_grad: Any, _hooks: Any) -> Any:
    return tensor


def _size(extents: Any) -> tuple[int, ...]:
    return extents_of(extents, "torch.Size")


class _Views:
    """Tensors as views; those that must be computed take no more than a multiple of the file."""

    def __init__(self, size: int) -> None:
        self._left = _COPIES * size

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> NDArray[Any]:
        """The oldest form."""
        return self.tensor_2(storage, offset, shape, strides)

    def tensor_2(
        self,
        storage: Any,
        offset: Any,
        shape: Any,
        strides: Any,
        _requires_grad: Any = False,
        _hooks: Any = None,
        marks: Any = None,
    ) -> NDArray[Any]:
        """The form of most tensors."""
        return self._marked(_view(storage, offset, shape, strides), marks)

    def tensor_3(
        self,
        storage: Any,
        offset: Any,
        shape: Any,
        strides: Any,
        _requires_grad: Any,
        _hooks: Any,
        dtype: Any,
        marks: Any = None,
    ) -> NDArray[Any]:
        """The form of tensors whose elements have no storage class."""
        if dtype not in ELEMENTS:
            raise refused(f"a tensor of {dtype}")
        return self._marked(_view(storage, offset, shape, strides, ELEMENTS[dtype]), marks)

    def _marked(self, view: NDArray[Any], marks: Any) -> NDArray[Any]:
        """A tensor that is conjugated or negated when it is read is so now."""
        marks = marks or {}
        if not set(marks) <= {"conj", "neg"}:
            raise DamagedFile(f"a tensor is marked {str(list(marks))[:100]}")
        if not any(marks.values()):
            return view
        self._left -= view.nbytes
        if self._left < 0:
            raise LimitExceeded("the conjugated tensors of the file are far larger than the file")
        view = np.conj(view) if marks.get("conj") else view
        return np.negative(view) if marks.get("neg") else view


def _view(
    storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None
) -> NDArray[Any]:
    if not isinstance(storage, Storage):
        raise DamagedFile("a tensor has no storage")
    (start,) = extents_of((offset,), "the offset of a tensor")
    extents, steps = extents_of(shape, "a shape"), extents_of(strides, "strides")
    base = storage.elements(dtype)
    if len(extents) != len(steps):
        raise DamagedFile(f"a tensor has shape {extents} and strides {steps}")
    if 0 in extents:
        return np.empty(extents, base.dtype)
    last = start + sum((n - 1) * step for n, step in zip(extents, steps, strict=True))
    if last >= len(base):
        raise DamagedFile(
            f"a tensor of shape {extents}, strides {steps} and offset {start} ends behind its"
            f" storage of {len(base)} elements"
        )
    view = np.lib.stride_tricks.as_strided(
        base[start:], extents, [step * base.itemsize for step in steps]
    )
    if any(n > 1 and step == 0 for n, step in zip(extents, steps, strict=True)):
        view.flags.writeable = False  # an element that stands at many places
    return view
