"""Layers: the modules of which a perceptron is made, with PyTorch's names and layouts.

First values are drawn as PyTorch draws them: uniformly between -1/sqrt(n) and 1/sqrt(n) for n
inputs of a layer (K. He et al., "Delving Deep into Rectifiers", 2015, with a = sqrt(5)).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from exprd import tensor
from exprd.convert import dtype_name
from exprd.shared import TensorSharedVariable, shared
from exprd.state.lazy import UninitializedParameter
from exprd.state.module import Module, ModuleList, Sequential
from exprd.variable import as_tensor_variable
from exprd_compiler.errors import CallError, ExprdError
from exprd_compiler.ir.half import converted

__all__ = [
    "Identity",
    "LazyLinear",
    "Linear",
    "Module",
    "ModuleList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]

Drawn: TypeAlias = TensorSharedVariable | UninitializedParameter


class Linear(Module):
    """`x W^T + b`, over the last axis of x.

    Args:
        in_features: extent of the last axis of x.
        out_features: extent of the last axis of the result.
        bias: whether there is a b.
        dtype: of the parameters; `config.floatX` by default.
        rng: draws the first values; a new generator by default.

    Attributes:
        weight: W, of shape (out_features, in_features).
        bias: b, of shape (out_features,), or None.
    """

    weight: Drawn
    bias: Drawn | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: str = "floatX",
        rng: np.random.Generator | None = None,
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        self._dtype, self._rng = dtype_name(dtype), rng or np.random.default_rng()
        self.weight = shared(self._drawn(out_features, in_features), name="weight")
        self.bias = shared(self._drawn(out_features), name="bias") if bias else None

    def forward(self, x: Any) -> Any:
        """`x W^T + b`."""
        product = tensor.dot(x, tensor.transpose(self.weight))
        return product if self.bias is None else product + self.bias

    def extra_repr(self) -> str:
        """The sizes."""
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"

    def _drawn(self, *shape: int) -> NDArray[Any]:
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        return converted(self._rng.uniform(-bound, bound, shape), self._dtype)


class LazyLinear(Linear):
    """A `Linear` that learns `in_features` from its first input, or from a state dict."""

    def __init__(
        self,
        out_features: int,
        bias: bool = True,
        dtype: str = "floatX",
        rng: np.random.Generator | None = None,
    ) -> None:
        self.in_features, self.out_features = 0, out_features
        self._dtype, self._rng = dtype_name(dtype), rng or np.random.default_rng()
        self.weight = UninitializedParameter(self, "weight", self._dtype, (out_features, None))
        self.bias = (
            UninitializedParameter(self, "bias", self._dtype, (out_features,)) if bias else None
        )

    def forward(self, x: Any) -> Any:
        """`x W^T + b`."""
        if isinstance(self.weight, UninitializedParameter):
            self.in_features = _last_extent(x)
            self.weight.materialize(self._drawn(self.out_features, self.in_features))
        if isinstance(self.bias, UninitializedParameter):
            self.bias.materialize(self._drawn(self.out_features))
        return super().forward(x)

    def materialize(self, name: str, value: NDArray[Any]) -> None:
        """Makes a parameter; the weight tells `in_features`."""
        super().materialize(name, value)
        if name == "weight":
            self.in_features = value.shape[1]

    def shown_name(self) -> str:
        """`Linear`, once it is one."""
        return "LazyLinear" if isinstance(self.weight, UninitializedParameter) else "Linear"


def _last_extent(x: Any) -> int:
    """The extent of the last axis, if it is known or can be computed without inputs."""
    variable = as_tensor_variable(x)
    if not variable.ndim:
        raise CallError("a linear layer takes at least a vector, not a scalar", op="LazyLinear")
    known = variable.type.shape[-1]
    if known is not None:
        return int(known)
    try:
        return int(variable.shape[-1].eval())
    except ExprdError as error:
        raise CallError(
            f"the extent of the last axis of {variable!r} is not known",
            op="LazyLinear",
            hint="call the module with an array first, or use Linear(in_features, ...)",
        ) from error


class Identity(Module):
    """Gives what it gets."""

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


class ReLU(Module):
    """`max(x, 0)`."""

    def forward(self, x: Any) -> Any:
        """`max(x, 0)`."""
        return tensor.nnet.relu(x)


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`."""

    def forward(self, x: Any) -> Any:
        """`1 / (1 + exp(-x))`."""
        return tensor.nnet.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        """The hyperbolic tangent."""
        return tensor.tanh(x)
