"""The elementwise functions, one for each elementwise op of the table.

An op added to the table appears here, and in `exprd.tensor`, without another line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from exprd.elementwise import apply, elementwise_ops
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.ir.node import Op


def _function(name: str, op: Op) -> Callable[..., TensorVariable]:
    def call(*values: object) -> TensorVariable:
        return variable_of(apply(op, *values))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{op.doc}\n\nElementwise over the broadcast shape of its operands."
    return call


FUNCTIONS: Final = {name: _function(name, op) for name, op in elementwise_ops().items()}

# pyright cannot read names that come from a table
__all__ = sorted(FUNCTIONS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Callable[..., TensorVariable]:
    try:
        return FUNCTIONS[name]
    except KeyError:
        raise AttributeError(f"no elementwise function {name!r}") from None
