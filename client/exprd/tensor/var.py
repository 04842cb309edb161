"""Theano's place of the classes of variables."""

from __future__ import annotations

from exprd.variable import TensorConstant, TensorVariable

__all__ = ["TensorConstant", "TensorVariable"]
