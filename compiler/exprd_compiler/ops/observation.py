"""Observation: identities that let a user look at values. No op prints; the client does.

A function returns what its `print` nodes see besides its outputs, and whoever called it writes it
out; the nodes themselves are gone as soon as the compiler expands them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import Example, Op
from exprd_compiler.ir.type import TensorType


def _print_type(x: TensorType, *, message: Any, attrs: Any) -> TensorType:
    listed = attrs.__class__ is tuple
    if not listed or not all(isinstance(word, str) for word in (message, *attrs)):
        raise GraphError(f"takes a message and names, got {message!r} and {attrs!r}", op="print")
    return x


print_: Op = Op(
    name="print",
    type=_print_type,
    numpy=lambda x, **_: np.array(x),
    grad=lambda g, _y, _x, **_: (g,),
    lowering=Expand(lambda x, **_: x),
    dtypes=EVERY,
    examples=(Example(shapes=((3, 4),), attrs={"message": "x", "attrs": ("__str__", "shape")}),),
    theano="Print",
    doc="The value itself, which the client of a function prints.",
)
