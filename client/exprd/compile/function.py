"""Theano's place of `function` and of its dump."""

from __future__ import annotations

from exprd.dumping import function_dump
from exprd.function import function

__all__ = ["function", "function_dump"]
