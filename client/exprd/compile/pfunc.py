"""Theano's older place of `function` and of inputs with defaults."""

from __future__ import annotations

from exprd.function import function
from exprd.io import In, Param

pfunc = function

__all__ = ["In", "Param", "pfunc"]
