"""The elementwise functions and the folds, one for each such op of the table.

An op added to the table appears here, and in `exprd.tensor`, without another line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from exprd.elementwise import apply, elementwise_ops
from exprd.reduction import Axis, fold, fold_ops
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.ir.node import Op


def _function(name: str, op: Op) -> Callable[..., TensorVariable]:
    def call(*values: object) -> TensorVariable:
        return variable_of(apply(op, *values))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{op.doc}\n\nElementwise over the broadcast shape of its operands."
    return call


def _fold(name: str, op: Op) -> Callable[..., TensorVariable]:
    def call(x: object, axis: Axis = None, keepdims: bool = False) -> TensorVariable:
        return variable_of(fold(op, x, axis, keepdims))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{op.doc}\n\nOver all axes when none is given."
    return call


FUNCTIONS: Final = {
    **{name: _fold(name, op) for name, op in fold_ops().items()},
    **{name: _function(name, op) for name, op in elementwise_ops().items()},
}

# pyright cannot read names that come from a table
__all__ = sorted(FUNCTIONS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Callable[..., TensorVariable]:
    try:
        return FUNCTIONS[name]
    except KeyError:
        raise AttributeError(f"no function {name!r} in the table") from None
