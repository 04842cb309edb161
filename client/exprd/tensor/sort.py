"""Theano's place of order and selection."""

from __future__ import annotations

from exprd.tensor.functions import argsort, argtopk, sort, topk, topk_and_argtopk

__all__ = ["argsort", "argtopk", "sort", "topk", "topk_and_argtopk"]
