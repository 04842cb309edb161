"""Theano's place of parts of tensors that are set or increased."""

from __future__ import annotations

from exprd.tensor.functions import inc_subtensor, set_subtensor, take

__all__ = ["inc_subtensor", "set_subtensor", "take"]
