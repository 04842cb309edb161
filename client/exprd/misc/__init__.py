"""Theano's miscellany, as far as users import it."""

from __future__ import annotations
