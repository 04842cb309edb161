"""Batch normalization, under Theano's names.

Ioffe, Szegedy: Batch Normalization (2015), algorithms 1 and 2. All by composition, so gradients are
those of the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from exprd import creating
from exprd.convert import node_of
from exprd.tensor.functions import cast, lift
from exprd.tensor.nnet.sigm import floats
from exprd.variable import TensorVariable, as_tensor_variable, variable_of
from exprd_compiler.errors import ArgumentError, ShapeError
from exprd_compiler.ops import arithmetic, division

__all__ = ["batch_normalization", "batch_normalization_test", "batch_normalization_train"]

_LEAST_EPSILON: Final = 1e-5
_TRAIN: Final = "batch_normalization_train"
_TEST: Final = "batch_normalization_test"
_addbroadcast = lift(creating.addbroadcast)


def batch_normalization(
    inputs: object, gamma: object, beta: object, mean: object, std: object, mode: str = "low_mem"
) -> TensorVariable:
    """(inputs - mean) * gamma / std + beta; the last four broadcast against the inputs.

    Args:
        inputs: a batch of activations.
        gamma: scale.
        beta: shift.
        mean: what is taken off.
        std: what is divided by.
        mode: "low_mem" or "high_mem"; the same here, nothing is kept in between.

    Raises:
        ArgumentError: there is no such mode.
    """
    if mode not in ("low_mem", "high_mem"):
        raise ArgumentError(f"mode is low_mem or high_mem, not {mode!r}", op="batch_normalization")
    x, scale, shift, center, width = map(as_tensor_variable, (inputs, gamma, beta, mean, std))
    return (x - center) * (scale / width) + shift


def batch_normalization_train(
    inputs: object,
    gamma: object,
    beta: object,
    axes: str | Sequence[int] = "per-activation",
    epsilon: float = 1e-4,
    running_average_factor: object = 0.1,
    running_mean: object = None,
    running_var: object = None,
) -> tuple[TensorVariable, ...]:
    """A batch normalized by its own mean and variance.

    Args:
        inputs: a batch of activations.
        gamma: scale, of the rank of the inputs with extent 1 along `axes`, or without these axes.
        beta: shift, laid out as gamma; and so are all the results but the first.
        axes: "per-activation" is (0,), "spatial" all but axis 1; or the axes to average over.
        epsilon: added to the variance, at least 1e-5.
        running_average_factor: weight of this batch in the running averages.
        running_mean: the running mean so far.
        running_var: the running variance so far.

    Returns:
        The normalized batch, its mean, and 1 / sqrt(variance + epsilon); if running averages were
        given, also these with the batch, whose variance goes in divided by n - 1.

    Raises:
        ArgumentError: axes or epsilon mean nothing, or one running average is missing.
        ShapeError: the ranks do not fit.
    """
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("running_mean and running_var are given both or not at all", op=_TRAIN)
    x = variable_of(floats(inputs))
    layout = _layout(_TRAIN, x, gamma, axes)
    scale, shift = layout.spread(gamma), layout.spread(beta)
    mean = x.mean(axis=layout.axes, keepdims=True)
    var = x.var(axis=layout.axes, keepdims=True)
    invstd = _inverse_root(_TRAIN, var, epsilon)
    found = [mean, invstd]
    if running_mean is not None:
        count = cast(cast(x.size, "float64") / cast(mean.size, "float64"), x.dtype)
        factor = _number(running_average_factor, x)
        new = (mean, var * (count / (count - 1)))
        old = (layout.spread(running_mean), layout.spread(running_var))
        found += [a * (1 - factor) + b * factor for a, b in zip(old, new, strict=True)]
    return ((x - mean) * (scale * invstd) + shift, *map(layout.gathered, found))


def batch_normalization_test(
    inputs: object,
    gamma: object,
    beta: object,
    mean: object,
    var: object,
    axes: str | Sequence[int] = "per-activation",
    epsilon: float = 1e-4,
) -> TensorVariable:
    """A batch normalized by a given mean and variance: the running averages of the training.

    Args:
        inputs: a batch of activations.
        gamma: scale, of the rank of the inputs with extent 1 along `axes`, or without these axes.
        beta: shift, laid out as gamma.
        mean: laid out as gamma.
        var: laid out as gamma.
        axes: "per-activation" is (0,), "spatial" all but axis 1; or the axes averaged over.
        epsilon: added to the variance, at least 1e-5.

    Raises:
        ArgumentError: axes or epsilon mean nothing.
        ShapeError: the ranks do not fit.
    """
    x = variable_of(floats(inputs))
    layout = _layout(_TEST, x, gamma, axes)
    scale, shift, center, width = map(layout.spread, (gamma, beta, mean, var))
    return (x - center) * (scale * _inverse_root(_TEST, width, epsilon)) + shift


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How parameters lie against a batch.

    Attributes:
        op: for messages.
        rank: of the batch.
        axes: those averaged over.
        whole: whether parameters have these axes too.
    """

    op: str
    rank: int
    axes: tuple[int, ...]
    whole: bool

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that are not averaged over."""
        return tuple(i for i in range(self.rank) if i not in self.axes)

    def spread(self, parameter: object) -> TensorVariable:
        """A parameter that broadcasts against the batch."""
        given = as_tensor_variable(parameter)
        expected = self.rank if self.whole else len(self.kept)
        if given.ndim != expected:
            raise ShapeError(
                f"gamma has {expected} axes, another parameter {given.ndim}",
                op=self.op,
                hint="lay all of them out alike",
            )
        if self.whole:
            return _addbroadcast(given, *self.axes)
        places = {axis: place for place, axis in enumerate(self.kept)}
        return given.dimshuffle(*(places.get(i, "x") for i in range(self.rank)))

    def gathered(self, value: TensorVariable) -> TensorVariable:
        """A result laid out as the parameters are."""
        return value if self.whole else value.dimshuffle(*self.kept)


def _layout(op: str, x: TensorVariable, gamma: object, axes: str | Sequence[int]) -> _Layout:
    named = {"per-activation": (0,), "spatial": (0, *range(2, x.ndim))}
    chosen = named.get(axes, ()) if isinstance(axes, str) else tuple(sorted(map(int, axes)))
    if not chosen or not all(0 <= axis < x.ndim for axis in chosen):
        raise ArgumentError(
            f"axes={axes!r} are no axes of {x.type}",
            op=op,
            hint="per-activation, spatial, or some of " + str(tuple(range(x.ndim))),
        )
    rank = as_tensor_variable(gamma).ndim
    if rank not in (x.ndim, x.ndim - len(chosen)):
        raise ShapeError(
            f"gamma has {rank} axes; it needs {x.ndim}, or {x.ndim - len(chosen)} without {chosen}",
            op=op,
        )
    return _Layout(op=op, rank=x.ndim, axes=chosen, whole=rank == x.ndim)


def _inverse_root(op: str, var: TensorVariable, epsilon: float) -> TensorVariable:
    if epsilon < _LEAST_EPSILON:
        raise ArgumentError(f"epsilon is at least {_LEAST_EPSILON}, not {epsilon}", op=op)
    wide = arithmetic.add(var.node, _number(epsilon, var).node)
    return variable_of(division.reciprocal(arithmetic.sqrt(wide)))


def _number(value: object, like: TensorVariable) -> TensorVariable:
    """A number in the dtype of what it meets; a variable as it is."""
    given = value if node_of(value) is not None else np.asarray(value, like.dtype)
    return as_tensor_variable(given)
