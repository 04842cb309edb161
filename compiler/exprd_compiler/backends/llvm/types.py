"""The LLVM spelling of our dtypes.

A dtype has one register type (bool is ``i1``) and one memory type (bool is a byte of 0 or 1). A
complex value is an aggregate of its two parts in registers, and two neighbours in memory. A 16-bit
float is a float32 in registers, always one that it can hold.
Everything that prints LLVM IR asks here; nothing else may spell a type by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from exprd_compiler.ir.dtype import HALVES

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["bool", "signed", "unsigned", "float", "complex", "pointer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """What the backend knows of one dtype: kind, width in bits and the two LLVM types."""

    kind: Kind
    bits: int
    register: str
    memory: str


def _integer(bits: int, kind: Kind) -> Scalar:
    return Scalar(kind=kind, bits=bits, register=f"i{bits}", memory=f"i{bits}")


def _complex(bits: int, part: str) -> Scalar:
    both = f"{{ {part}, {part} }}"
    return Scalar(kind="complex", bits=bits, register=both, memory=both)


SCALARS: Mapping[str, Scalar] = MappingProxyType(
    {
        "bool": Scalar(kind="bool", bits=1, register="i1", memory="i8"),
        "half": Scalar(kind="float", bits=16, register="half", memory="half"),
        "float16": Scalar(kind="float", bits=32, register="float", memory="half"),
        "bfloat16": Scalar(kind="float", bits=32, register="float", memory="i16"),
        "float32": Scalar(kind="float", bits=32, register="float", memory="float"),
        "float64": Scalar(kind="float", bits=64, register="double", memory="double"),
        "complex64": _complex(64, "float"),
        "complex128": _complex(128, "double"),
        "ptr": Scalar(kind="pointer", bits=64, register="ptr", memory="ptr"),
        **{f"int{bits}": _integer(bits, "signed") for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": _integer(bits, "unsigned") for bits in (8, 16, 32, 64)},
    }
)
"""Every dtype of a register, with ``ptr`` for addresses and ``half`` for stored float16."""


def is_float(dtype: str) -> bool:
    """Whether the dtype is a floating-point one."""
    return SCALARS[dtype].kind == "float"


def is_complex(dtype: str) -> bool:
    """Whether the dtype is a complex one."""
    return SCALARS[dtype].kind == "complex"


def part_dtype(dtype: str) -> str:
    """The dtype of the parts of a complex dtype; any other itself."""
    return f"float{SCALARS[dtype].bits // 2}" if is_complex(dtype) else dtype


def is_signed(dtype: str) -> bool:
    """Whether integers of the dtype compare, divide and widen as signed numbers."""
    return SCALARS[dtype].kind == "signed"


def bit_width(dtype: str) -> int:
    """The width of a register of the dtype; 1 for bool."""
    return SCALARS[dtype].bits


def item_size(dtype: str) -> int:
    """The bytes of one element in memory."""
    return 2 if dtype in HALVES else max(1, SCALARS[dtype].bits // 8)


def alignment(dtype: str) -> int:
    """The bytes to which an element in memory is aligned at least."""
    return item_size(part_dtype(dtype))


def bits_dtype(dtype: str) -> str:
    """The signed integer dtype with the width of a float dtype."""
    return f"int{SCALARS[dtype].bits}"


def vector(element: str, lanes: int) -> str:
    """``element`` itself for one lane, else the vector of so many lanes."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def register_type(dtype: str, lanes: int) -> str:
    """The LLVM type of a value in registers."""
    if is_complex(dtype) and lanes > 1:
        half = register_type(part_dtype(dtype), lanes)
        return f"{{ {half}, {half} }}"
    return vector(SCALARS[dtype].register, lanes)


def memory_type(dtype: str, lanes: int) -> str:
    """The LLVM type of a value in memory."""
    if is_complex(dtype) and lanes > 1:
        return memory_type(part_dtype(dtype), 2 * lanes)
    return vector(SCALARS[dtype].memory, lanes)


def suffix(dtype: str, lanes: int) -> str:
    """The mangling of an overloaded intrinsic, as in ``llvm.fma.v16f64``."""
    scalar = SCALARS[dtype]
    element = f"f{scalar.bits}" if scalar.kind == "float" else f"i{scalar.bits}"
    return element if lanes == 1 else f"v{lanes}{element}"
