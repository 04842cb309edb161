"""Theano's place of `function`."""

from __future__ import annotations

from exprd.function import function

__all__ = ["function"]
