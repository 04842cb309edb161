"""Call: what the writer of a routine's function has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exprd_compiler.backends.llvm.scalar import LLVMBuilder
    from exprd_compiler.backends.llvm.text import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The parameters of a routine inside its function.

    Attributes:
        k: builder of the function.
        context: the execution context.
        site: number of the error site.
        operands: addresses of the operands; `dtypes` are their dtypes.
        out: address of the result, of `out_dtype`.
        scratch: addresses of temporaries.
        sizes: integers, in the order of the lowering.
        attrs: attributes of the op.
    """

    k: LLVMBuilder
    context: Value
    site: Value
    operands: tuple[Value, ...]
    dtypes: tuple[str, ...]
    out: Value
    out_dtype: str
    scratch: tuple[Value, ...]
    sizes: tuple[Value, ...]
    attrs: Mapping[str, Any]
