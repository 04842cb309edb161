"""Theano's place of shared tensors."""

from __future__ import annotations

from exprd.shared import TensorSharedVariable

__all__ = ["TensorSharedVariable"]
