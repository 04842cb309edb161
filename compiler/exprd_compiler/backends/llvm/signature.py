"""Signatures: what a kernel function takes, and when two kernels are the same function.

Buffers and integers that are not constants become parameters in order of first use. Kernels equal
up to those are emitted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast

from exprd_compiler.ir.integer import IntExpr
from exprd_compiler.ir.node import Op
from exprd_compiler.kernel.form import Buffer, Kernel


class Signature:
    """The parameters of one kernel.

    Attributes:
        buffers: in order of the pointer parameters.
        integers: in order of the i64 parameters.
        key: equal for kernels that need the same code.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.buffers: dict[Buffer, int] = {}
        self.integers: dict[IntExpr, int] = {}
        parts = (kernel.axes, kernel.grid, kernel.vector, kernel.values, kernel.stores)
        self.key = tuple(self._encoded(parts))

    def _encoded(self, item: Any) -> Iterator[object]:
        match item:
            case Buffer():
                yield ("buffer", self.buffers.setdefault(item, len(self.buffers)), item.dtype)
            case IntExpr() if item.known is not None:
                yield ("known", item.known)
            case IntExpr():
                yield ("integer", self.integers.setdefault(item, len(self.integers)))
            case Op():
                yield item.name
            case tuple():
                parts = cast("tuple[object, ...]", item)
                yield ("tuple", len(parts))
                for part in parts:
                    yield from self._encoded(part)
            case float() | complex():
                yield repr(item)
            case _ if is_dataclass(item) and not isinstance(item, type):
                yield type(item).__name__
                for field in fields(item):
                    yield from self._encoded(getattr(item, field.name))
            case _:
                yield item
