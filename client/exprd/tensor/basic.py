"""Theano's module of the basic functions: all names of `exprd.tensor`."""

from __future__ import annotations

from typing import Any

import exprd.tensor


def __getattr__(name: str) -> Any:
    return getattr(exprd.tensor, name)


def __dir__() -> list[str]:
    return dir(exprd.tensor)
