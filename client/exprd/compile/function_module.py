"""Theano's place of the class of compiled functions."""

from __future__ import annotations

from exprd.compiled import Function
from exprd.errors import UnusedInputError

__all__ = ["Function", "UnusedInputError"]
