"""State: models as objects with shared variables, and the values of these by path."""

from __future__ import annotations

from exprd.state.dicts import IncompatibleKeys, load_state_dict, state_dict
from exprd.state.lazy import UninitializedParameter
from exprd.state.module import Module, load_parameters, save_parameters

__all__ = [
    "IncompatibleKeys",
    "Module",
    "UninitializedParameter",
    "load_parameters",
    "load_state_dict",
    "save_parameters",
    "state_dict",
]
