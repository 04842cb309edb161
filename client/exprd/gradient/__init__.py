"""Gradients: `grad`, products with Jacobians, Jacobians, and the ways to change a gradient."""

from __future__ import annotations

from exprd.gradient.derive import (
    DisconnectedInputError,
    NullTypeGradError,
    grad,
    subgraph_grad,
)
from exprd.gradient.identities import (
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_scale,
    undefined_grad,
    zero_grad,
)
from exprd.gradient.kinds import (
    DisconnectedType,
    NullType,
    disconnected_type,
    grad_not_implemented,
    grad_undefined,
)
from exprd.gradient.matrices import hessian, jacobian
from exprd.gradient.operators import (
    Lop,
    Rop,
    hessian_vector_product,
    jacobian_vector_product,
    pullback,
    pushforward,
    vector_jacobian_product,
)
from exprd.gradient.verify import GradientError, numeric_grad, verify_grad

__all__ = [
    "DisconnectedInputError",
    "DisconnectedType",
    "GradientError",
    "Lop",
    "NullType",
    "NullTypeGradError",
    "Rop",
    "consider_constant",
    "disconnected_grad",
    "disconnected_type",
    "grad",
    "grad_clip",
    "grad_not_implemented",
    "grad_scale",
    "grad_undefined",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jacobian_vector_product",
    "numeric_grad",
    "pullback",
    "pushforward",
    "subgraph_grad",
    "undefined_grad",
    "vector_jacobian_product",
    "verify_grad",
    "zero_grad",
]
