"""What Theano's users import from `theano.compile`."""

from __future__ import annotations

from exprd.compile.builders import OpFromGraph
from exprd.compile.function import function, function_dump
from exprd.compile.function_module import Function, UnusedInputError
from exprd.compile.io import In, Out, Param, SymbolicInput, SymbolicOutput
from exprd.compile.mode import FAST_COMPILE, FAST_RUN, Mode, get_default_mode, get_mode
from exprd.compile.sharedvalue import SharedVariable, shared

__all__ = [
    "FAST_COMPILE",
    "FAST_RUN",
    "Function",
    "In",
    "Mode",
    "OpFromGraph",
    "Out",
    "Param",
    "SharedVariable",
    "SymbolicInput",
    "SymbolicOutput",
    "UnusedInputError",
    "function",
    "function_dump",
    "get_default_mode",
    "get_mode",
    "shared",
]
