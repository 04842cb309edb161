"""The op table: every op by its stable name, collected from the modules that declare them.

An op is declared in one place, its module; client names, wire names, docs and tests iterate this.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from exprd_compiler.errors import UnsupportedVersion
from exprd_compiler.ir.node import Op
from exprd_compiler.ops import (
    arithmetic,
    assertion,
    backward,
    bessel,
    bessel_orders,
    choice,
    contraction,
    creation,
    diagonals,
    division,
    eigen,
    einsum,
    factorizations,
    incomplete,
    index,
    inverses,
    joining,
    leaves,
    linalg,
    logic,
    masks,
    matrix_functions,
    median,
    mixed,
    movement,
    nnet,
    observation,
    parts,
    polar,
    positions,
    products,
    ranges,
    reduce,
    repetition,
    rounding,
    scans,
    sets,
    signs,
    sorting,
    special,
    spectral,
    statistics,
    transcendental,
    trigonometric,
)

OP_SET_VERSION: Final = 1

MODULES: Final[tuple[ModuleType, ...]] = (
    leaves,
    parts,
    arithmetic,
    division,
    rounding,
    logic,
    signs,
    transcendental,
    trigonometric,
    polar,
    special,
    bessel,
    bessel_orders,
    incomplete,
    movement,
    reduce,
    statistics,
    index,
    scans,
    positions,
    creation,
    ranges,
    diagonals,
    joining,
    repetition,
    sorting,
    median,
    masks,
    sets,
    mixed,
    choice,
    linalg,
    contraction,
    products,
    einsum,
    inverses,
    factorizations,
    spectral,
    eigen,
    matrix_functions,
    nnet,
    backward,
    observation,
    assertion,
)


def _collect() -> Mapping[str, Op]:
    table: dict[str, Op] = {}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, Op) and table.setdefault(value.name, value) is not value:
                raise TypeError(f"op {value.name!r} is declared twice")
    return MappingProxyType(table)


OPS: Final = _collect()


def find_op(name: str) -> Op:
    """The op of this name.

    Raises:
        UnsupportedVersion: there is none in this op set.
    """
    if name not in OPS:
        raise UnsupportedVersion(
            f"op {name!r} is not in op set {OP_SET_VERSION}",
            hint="upgrade the side that does not know it",
        )
    return OPS[name]
