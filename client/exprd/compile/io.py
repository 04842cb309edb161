"""Theano's place of inputs and outputs of functions."""

from __future__ import annotations

from exprd.io import In, Out, Param

SymbolicInput = In
SymbolicOutput = Out

__all__ = ["In", "Out", "Param", "SymbolicInput", "SymbolicOutput"]
