"""Products with a Jacobian, from the left and from the right, without the Jacobian.

From the left it is one backward sweep. The sweep is linear in what it starts from, so its own
derivative by that is the product from the right: two backward sweeps, and no forward rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from exprd.config import config
from exprd.convert import as_node
from exprd.gradient.derive import derivatives, differentiate, like, listed, tell
from exprd.gradient.kinds import disconnected_type
from exprd.origin import mark
from exprd.variable import Variable, variable_of
from exprd_compiler.errors import ArgumentError
from exprd_compiler.grad import Null, Part, zeros_like
from exprd_compiler.ir.dtype import is_discrete
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.arithmetic import add, cast, mul, second
from exprd_compiler.ops.backward import disconnected_grad
from exprd_compiler.ops.reduce import sum_

__all__ = [
    "Lop",
    "Rop",
    "hessian_vector_product",
    "jacobian_vector_product",
    "pullback",
    "pushforward",
    "vector_jacobian_product",
]


def _nodes(values: object) -> list[Node]:
    return [as_node(value) for value in listed(values)]


def _paired(name: str, left: Sequence[Node], right: Sequence[Node]) -> None:
    if len(left) != len(right):
        raise ArgumentError(f"{len(left)} expressions, {len(right)} eval_points", op=name)
    for place, (x, point) in enumerate(zip(left, right, strict=True)):
        if x.ndim != point.ndim:
            raise ArgumentError(
                f"eval_points[{place}] of type {point.type} does not fit {x.type}", op=name
            )


def Lop(  # noqa: N802 - Theano's name
    f: Any,
    wrt: Any,
    eval_points: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The sum over f of eval_points times the Jacobian of f by wrt: a product from the left.

    Args:
        f: one expression or several.
        wrt: one variable or several; the result is a list or a tuple if this is.
        eval_points: for each of f, a value of its rank.
        consider_constant: see `grad`.
        disconnected_inputs: see `grad`.

    Raises:
        ArgumentError: the eval_points do not fit f.
    """
    values, points = _nodes(f), _nodes(eval_points)
    _paired("Lop", values, points)
    # a copy of each, so that one may depend on another
    known = {second(value, value): point for value, point in zip(values, points, strict=True)}
    mark(known)
    return differentiate(
        None,
        wrt,
        consider_constant=consider_constant,
        disconnected_inputs=disconnected_inputs,
        known_grads={variable_of(node): variable_of(point) for node, point in known.items()},
    )


def Rop(  # noqa: N802 - Theano's name
    f: Any,
    wrt: Any,
    eval_points: Any,
    disconnected_outputs: str = "raise",
    return_disconnected: str = "zero",
) -> Any:
    """The Jacobian of f by wrt, times eval_points: a product from the right.

    Args:
        f: one expression or several; the result is a list or a tuple if this is.
        wrt: one variable or several.
        eval_points: for each of wrt, a value of its rank.
        disconnected_outputs: what to do about an f that depends on none of wrt: "raise", "warn" or
            "ignore".
        return_disconnected: what stands for its product: "zero", "none" or "disconnected".

    Raises:
        ArgumentError: the eval_points do not fit wrt.
        DisconnectedInput: see `disconnected_outputs`.
        NotDifferentiable: an op on the way has no gradient.
    """
    values, inputs, points = _nodes(f), _nodes(wrt), _nodes(eval_points)
    _paired("Rop", inputs, points)
    found = [_pushed(value, inputs, points, disconnected_outputs) for value in values]
    mark([part for part in found if part is not None])
    stand_in = _MISSING.get(str(return_disconnected).lower())
    if stand_in is None:
        raise ArgumentError(
            f"return_disconnected={return_disconnected!r} is not one of {list(_MISSING)}"
        )
    shown = [
        stand_in(value) if part is None else variable_of(part)
        for value, part in zip(values, found, strict=True)
    ]
    return like(f, shown)


_MISSING: Final[dict[str, Callable[[Node], Any]]] = {
    "zero": lambda value: variable_of(zeros_like(value, config.floatX)),
    "none": lambda _: None,
    "disconnected": lambda _: disconnected_type(),
}


def _pushed(
    value: Node, inputs: Sequence[Node], points: Sequence[Node], disconnected: str
) -> Node | None:
    """The product for one expression, None if it is disconnected."""
    start = second(value, value)
    blank = disconnected_grad(
        zeros_like(value, config.floatX)
    )  # where the sweep starts; its value is irrelevant
    pulled = derivatives(None, inputs, disconnected_inputs="ignore", known_grads={start: blank})
    known: dict[Node, Part] = {}
    for part, point in zip(pulled, points, strict=True):
        if isinstance(part, Null):
            raise part.error()
        if part is not None:
            known[second(part, part)] = _as_float(point, part.dtype)
    if not known:
        tell(value, disconnected)
        return None
    (pushed,) = derivatives(None, [blank], disconnected_inputs="ignore", known_grads=known)
    return pushed if isinstance(pushed, Node) else zeros_like(value, config.floatX)


def _as_float(point: Node, dtype: str) -> Node:
    return cast(point, dtype=dtype) if is_discrete(point.dtype) else point


# ---- the names of others
def pullback(f: Any, wrt: Any, cotangents: Any, **options: Any) -> Any:
    """PyTensor's name for `Lop`."""
    return Lop(f, wrt, cotangents, **options)


def pushforward(f: Any, wrt: Any, tangents: Any, **options: Any) -> Any:
    """PyTensor's name for `Rop`."""
    return Rop(f, wrt, tangents, **options)


vector_jacobian_product = pullback
jacobian_vector_product = pushforward


def hessian_vector_product(cost: Any, wrt: Any, p: Any, **grad_kwargs: Any) -> Any:
    """The Hessian of a scalar cost by wrt, times p; the Hessian itself is never made.

    Args:
        cost: a 0-d expression.
        wrt: one variable or several; the result is a list or a tuple if this is.
        p: for each of wrt, a value of its rank.
        grad_kwargs: for both calls of `grad`.

    Raises:
        ArgumentError: p does not fit wrt.
    """
    inputs, points = listed(wrt), _nodes(p)
    _paired("hessian_vector_product", _nodes(wrt), points)
    slopes = [as_node(slope) for slope in differentiate(cost, inputs, **grad_kwargs)]
    along = [
        sum_(mul(slope, disconnected_grad(point)), axes=tuple(range(slope.ndim)))
        for slope, point in zip(slopes, points, strict=True)
    ]
    total = along[0]
    for part in along[1:]:
        total = add(total, part)
    mark([total])
    # a slope that is constant has derivatives of zero, which is no error
    options: dict[str, Any] = {**grad_kwargs, "disconnected_inputs": "ignore"}
    return like(wrt, differentiate(variable_of(total), inputs, **options))
