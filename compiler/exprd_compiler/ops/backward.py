"""Identities with a gradient of their own: what they do, they do to gradients alone.

A value passes unchanged, and each is gone as soon as the compiler expands it, so none costs
anything. The names are Theano's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import DTypeError, GraphError
from exprd_compiler.ir.dtype import DTYPES, EVERY, is_discrete
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.ir.node import NO_GRAD, NO_PATH, ZERO_GRAD, Example, Grad, Node, Op
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import mul
from exprd_compiler.ops.leaves import const
from exprd_compiler.ops.logic import maximum, minimum

_SHAPES: Final = ((), (5,), (3, 4), (0, 3))


def _identity(
    name: str,
    *,
    grad: Grad,
    theano: str,
    doc: str,
    attrs: dict[str, float] | None = None,
    dtypes: tuple[str, ...] = EVERY,
) -> Op:
    given = attrs or {}

    def rule(x: TensorType, **numbers: Any) -> TensorType:
        if set(numbers) != set(given) or {float} != {float, *map(type, numbers.values())}:
            raise GraphError(f"takes floats {sorted(given)}, got {numbers}", op=name)
        if x.dtype not in dtypes:
            hint = "apply it to real(x) and imag(x)"
            raise DTypeError(f"does not exist for {x.dtype}", op=name, hint=hint)
        return x

    return Op(
        name=name,
        type=rule,
        numpy=lambda x, **_: np.array(x),
        grad=grad,
        lowering=Expand(lambda x, **_: x),
        dtypes=dtypes,
        examples=tuple(Example(shapes=(shape,), attrs=given) for shape in _SHAPES),
        theano=theano,
        doc=doc,
    )


consider_constant: Op = _identity(
    "consider_constant",
    grad=ZERO_GRAD,
    theano="ConsiderConstant",
    doc="The value itself; gradients through it are zero.",
)

zero_grad: Op = _identity(
    "zero_grad",
    grad=ZERO_GRAD,
    theano="ZeroGrad",
    doc="The value itself; gradients through it are zero (as consider_constant).",
)

disconnected_grad: Op = _identity(
    "disconnected_grad",
    grad=NO_PATH,
    theano="DisconnectedGrad",
    doc="The value itself; for gradients, it does not depend on its input.",
)

undefined_grad: Op = _identity(
    "undefined_grad",
    grad=NO_GRAD,
    theano="UndefinedGrad",
    doc="The value itself; a gradient through it is an error.",
)


def _clip_grad(g: Node, _y: Node, _x: Node, *, low: float, high: float) -> Sequence[Node]:
    if is_discrete(g.dtype):
        return (g,)
    return (minimum(maximum(g, const(low, g.dtype)), const(high, g.dtype)),)


grad_clip: Op = _identity(
    "grad_clip",
    grad=_clip_grad,
    theano="GradClip",
    doc="The value itself; gradients through it are held between two bounds, element by element.",
    attrs={"low": -10.0, "high": 10.0},
    dtypes=DTYPES,
)

grad_scale: Op = _identity(
    "grad_scale",
    grad=lambda g, _y, _x, *, multiplier: (mul(g, const(multiplier, g.dtype)),),
    theano="GradScale",
    doc="The value itself; gradients through it are multiplied by a number.",
    attrs={"multiplier": 1.0},
)


def _composed_type(value: TensorType, *_: TensorType, name: Any, output: Any) -> TensorType:
    if not isinstance(name, str) or type(output) is not int or output < 0:
        raise GraphError(f"takes a name and a number, got {name!r} and {output!r}", op="composed")
    return value


composed: Op = Op(
    name="composed",
    type=_composed_type,
    numpy=lambda value, *_, **__: np.array(value),
    grad=lambda g, _y, _value, *given, **_: (g, *[None] * len(given)),
    lowering=Expand(lambda value, *_, **__: value),
    dtypes=EVERY,
    examples=(Example(shapes=((3, 4), (2,)), attrs={"name": "square", "output": 0}),),
    theano="OpFromGraph",
    doc="A value under the name of the op, made of a graph, that gave it; then what it was given.",
)
