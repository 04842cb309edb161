"""Theano's linkers by their classes' names: each gives the name that `Mode(linker=...)` takes."""

from __future__ import annotations

__all__ = ["CLinker", "OpWiseCLinker", "PerformLinker", "VM_Linker"]


def CLinker() -> str:  # noqa: N802
    """Native code for the whole graph."""
    return "c"


def OpWiseCLinker(allow_gc: bool | None = None) -> str:  # noqa: N802
    """The same: here no op stands alone."""
    return "c|py_nogc" if allow_gc is False else "c|py"


def PerformLinker() -> str:  # noqa: N802
    """Numpy, node by node."""
    return "py"


def VM_Linker(allow_gc: bool | None = None, use_cloop: bool = False) -> str:  # noqa: N802
    """Native code for the whole graph."""
    return ("cvm" if use_cloop else "vm") + ("_nogc" if allow_gc is False else "")
