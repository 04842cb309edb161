"""Theano's place of shared variables."""

from __future__ import annotations

from exprd.shared import SharedVariable, shared

__all__ = ["SharedVariable", "shared"]
