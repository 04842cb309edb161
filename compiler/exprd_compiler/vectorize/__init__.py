"""Vectorize: a graph of one value as a graph of many, stacked along a new first axis.

Every op has a rule that carries the batch axis through it; see `table`.
"""

from __future__ import annotations

from exprd_compiler.vectorize.walk import vectorize

__all__ = ["vectorize"]
