"""Theano's place of the linkers that compile."""

from __future__ import annotations

from exprd.gof.link import CLinker, OpWiseCLinker

__all__ = ["CLinker", "OpWiseCLinker"]
