"""Theano's module of the lazy conditional. It has no `ifelse` yet.

An `ifelse` that computed both branches would be `exprd.tensor.switch` under a name that promises
more; so the name comes with branches in native code, and not before.
"""

from __future__ import annotations

__all__: list[str] = []
