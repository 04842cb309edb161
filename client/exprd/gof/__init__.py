"""Theano's module of graphs, as far as users look at them: variables, what they come from, linkers.

Ops of a user's own, types and optimizers are not made of these classes here; they are records and
rules of the compiler.
"""

from __future__ import annotations

from exprd.gof import graph
from exprd.gof.graph import Apply, Constant, Variable, ancestors, inputs
from exprd.gof.link import CLinker, OpWiseCLinker, PerformLinker, VM_Linker
from exprd_compiler.errors import MissingInput as MissingInputError

__all__ = [
    "Apply",
    "CLinker",
    "Constant",
    "MissingInputError",
    "OpWiseCLinker",
    "PerformLinker",
    "VM_Linker",
    "Variable",
    "ancestors",
    "graph",
    "inputs",
]
