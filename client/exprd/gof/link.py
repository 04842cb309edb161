"""Theano's linkers by their classes' names: each gives the name that `Mode(linker=...)` takes."""

from __future__ import annotations

__all__ = ["CLinker", "OpWiseCLinker", "PerformLinker", "VM_Linker"]


def CLinker() -> str:  # noqa: N802
    """Native code for the whole graph."""
    return "c"


def OpWiseCLinker() -> str:  # noqa: N802
    """The same: here no op stands alone."""
    return "c|py"


def PerformLinker() -> str:  # noqa: N802
    """Numpy, node by node."""
    return "py"


def VM_Linker() -> str:  # noqa: N802
    """Native code for the whole graph."""
    return "vm"
