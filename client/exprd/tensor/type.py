"""Theano's place of types and of the constructors that belong to them."""

from __future__ import annotations

from exprd.variable import TensorType

__all__ = ["TensorType"]
