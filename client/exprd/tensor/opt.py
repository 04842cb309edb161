"""Theano's module of optimizations, as far as expressions use it: assertions."""

from __future__ import annotations

from exprd.asserting import Assert, assert_op

__all__ = ["Assert", "assert_", "assert_op"]

assert_ = assert_op
