"""What Theano's users import from `theano.compile`."""

from __future__ import annotations

from exprd.errors import UnusedInputError
from exprd.function import function
from exprd.io import In, Out, Param
from exprd.mode import FAST_COMPILE, FAST_RUN, Mode, get_default_mode, get_mode
from exprd.shared import SharedVariable, shared

__all__ = [
    "FAST_COMPILE",
    "FAST_RUN",
    "In",
    "Mode",
    "Out",
    "Param",
    "SharedVariable",
    "UnusedInputError",
    "function",
    "get_default_mode",
    "get_mode",
    "shared",
]
