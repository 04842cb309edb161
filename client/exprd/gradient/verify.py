"""Verification of gradients: derivatives by differences, and their comparison with `grad`.

A difference is taken to both sides, (f(x + eps) - f(x - eps)) / (2 eps), whose error falls with the
square of eps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exprd.convert import is_array, is_sequence
from exprd.function import function
from exprd.gradient.derive import grad
from exprd.mode import Mode
from exprd.shared import shared
from exprd.variable import TensorType, TensorVariable
from exprd_compiler.errors import ArgumentError, GradientError

__all__ = ["GradientError", "numeric_grad", "verify_grad"]

Array = NDArray[Any]
_FLOATS: Final = ("float16", "float32", "float64")
_EPS: Final = {"float16": 1e-1, "float32": 3e-4, "float64": 1e-7}
_TOLERANCE: Final = {"float16": 5e-2, "float32": 1e-2, "float64": 1e-4}


class numeric_grad:  # noqa: N801 - Theano's name
    """The derivatives of a numerical function by differences, element by element.

    Args:
        f: takes the arrays and gives a number.
        pt: an array or a list of arrays at which to differentiate.
        eps: the distance; that of the coarsest float dtype among `pt` and `out_type` by default.
        out_type: dtype in which f computes its result.

    Attributes:
        gf: an array of slopes for each array; one alone if `pt` was.
    """

    type_eps: Final = _EPS

    def __init__(
        self,
        f: Callable[..., Any],
        pt: Any,
        eps: float | None = None,
        out_type: str | None = None,
    ) -> None:
        single = not is_sequence(pt)
        arrays: list[Array] = [np.array(x) for x in ([pt] if single else pt)]
        dtypes = [x.dtype.name for x in arrays] + ([] if out_type is None else [str(out_type)])
        step = max(_EPS.get(name, _EPS["float64"]) for name in dtypes) if eps is None else eps
        slopes = [_slopes(f, arrays, place, step) for place in range(len(arrays))]
        self.gf: Any = slopes[0] if single else slopes
        self._slopes = slopes

    @staticmethod
    def abs_rel_err(a: Any, b: Any) -> tuple[Array, Array]:
        """The distance of a and b, and the same over the sum of their sizes."""
        distance = np.abs(a - b)
        return distance, distance / np.maximum(np.abs(a) + np.abs(b), 1e-8)

    def abs_rel_errors(self, g_pt: Any) -> list[tuple[Array, Array]]:
        """Both errors of gradients, for each array.

        Raises:
            ArgumentError: another number of gradients, or one of another shape.
        """
        ours, theirs = self._lists(g_pt)
        return [self.abs_rel_err(a, b) for a, b in zip(ours, theirs, strict=True)]

    def max_err(self, g_pt: Any, abs_tol: float, rel_tol: float) -> tuple[int, int, float, float]:
        """The worst element by whichever of its errors is smaller against its tolerance.

        Returns:
            The number of the array, of the element, its absolute and its relative error.
        """
        worst = (0, 0, 0.0, 0.0)
        most = -1.0
        for arg, (absolute, relative) in enumerate(self.abs_rel_errors(g_pt)):
            if not absolute.size:
                continue
            over = np.minimum(absolute / abs_tol, relative / rel_tol).reshape(-1)
            over = np.where(np.isnan(over), np.inf, over)
            place = int(np.argmax(over))
            if over[place] > most:
                most = float(over[place])
                worst = (arg, place, float(absolute.flat[place]), float(relative.flat[place]))
        return worst

    def _lists(self, g_pt: Any) -> tuple[list[Array], list[Array]]:
        ours = self._slopes
        theirs = [np.asarray(g) for g in (g_pt if is_sequence(g_pt) else [g_pt])]
        if [a.shape for a in ours] != [b.shape for b in theirs]:
            raise ArgumentError(
                f"gradients of shapes {[b.shape for b in theirs]} for {[a.shape for a in ours]}",
                op="numeric_grad",
            )
        return ours, theirs


def _slopes(f: Callable[..., Any], arrays: list[Array], place: int, step: float) -> Array:
    """The slope by every element of one array."""
    out = np.zeros(arrays[place].shape, np.promote_types(arrays[place].dtype, "float32"))
    for at in np.ndindex(out.shape):
        values: list[Any] = []
        steps: list[Any] = []
        for way in (step, -step):
            moved = [np.array(x) for x in arrays]
            moved[place][at] += way
            values.append(np.asarray(f(*moved), "float64"))
            steps.append(moved[place][at].astype("float64"))
        out[at] = (values[0] - values[1]) / (steps[0] - steps[1])
    return out


# ---- comparison
def verify_grad(
    fun: Callable[..., Any],
    pt: Any,
    n_tests: int = 2,
    rng: Any = None,
    eps: float | None = None,
    out_type: str | None = None,
    abs_tol: float | None = None,
    rel_tol: float | None = None,
    mode: Mode | str | None = None,
    cast_to_output_type: bool = False,
    no_debug_ref: bool = True,
) -> None:
    """Compares `grad` with differences, and returns if they agree.

    Each test takes a cost that weighs every element of the result at random.

    Args:
        fun: takes as many variables as there are arrays in `pt` and gives an expression.
        pt: arrays of floats at which to differentiate.
        n_tests: number of costs.
        rng: a numpy RandomState or Generator.
        eps: see `numeric_grad`.
        out_type: dtype of the result, if it is computed in less precision than the arrays have.
        abs_tol: absolute error that is accepted; by the coarsest dtype if not given.
        rel_tol: relative error that is accepted; an element is wrong if it exceeds both.
        mode: of the compiled functions.
        cast_to_output_type: give the weights the dtype of the result; otherwise float64.
        no_debug_ref: accepted for Theano's sake.

    Raises:
        GradientError: they differ.
        ArgumentError: no generator, or arrays that are no floats.
    """
    arrays = _points(pt)
    if rng is None:
        raise ArgumentError("needs a random generator as rng", op="verify_grad")
    dtypes = [x.dtype.name for x in arrays] + ([] if out_type is None else [str(out_type)])
    tolerance = max(_TOLERANCE[name] for name in dtypes)
    limits = tuple(tolerance if given is None else given for given in (abs_tol, rel_tol))
    inputs = [
        TensorType(x.dtype.name, [extent == 1 for extent in x.shape])(f"input {i}")
        for i, x in enumerate(arrays)
    ]
    output = _single(fun(*inputs))
    shape = function(inputs, output, mode=mode, on_unused_input="ignore")(*arrays).shape
    weights = shared(_weights(rng, shape, output, cast_to_output_type), name="random_projection")
    cost = (weights * output).sum()
    run = function(inputs, cost, mode=mode, on_unused_input="ignore")
    slopes = grad(cost, inputs, disconnected_inputs="ignore")
    derive = function(inputs, slopes, mode=mode, on_unused_input="ignore")
    for number in range(n_tests):
        if number:
            weights.set_value(_weights(rng, shape, output, cast_to_output_type))
        by_steps = numeric_grad(run, arrays, eps, out_type)
        _compare(by_steps, derive(*arrays), limits[0], limits[1])


def _points(pt: Any) -> list[Array]:
    arrays = [np.array(x) for x in (pt if is_sequence(pt) else [pt])]
    for place, (given, array) in enumerate(zip(pt, arrays, strict=False)):
        if array.dtype.name not in _FLOATS:
            kind = "float64" if is_array(given) else "a float array"
            raise ArgumentError(
                f"pt[{place}] has dtype {array.dtype}, not {' or '.join(_FLOATS)}",
                op="verify_grad",
                hint=f"cast it to {kind}",
            )
    return arrays


def _single(output: Any) -> TensorVariable:
    if isinstance(output, list | tuple):
        raise NotImplementedError("verify_grad takes functions of one result")
    return output  # type: ignore[no-any-return]


def _weights(rng: Any, shape: Sequence[int], output: TensorVariable, own: bool) -> Array:
    """Weights between 0.5 and 1.5, so that no element is left out."""
    dtype = output.dtype if own and output.dtype in _FLOATS else "float64"
    return (np.asarray(rng.uniform(size=tuple(shape))) + 0.5).astype(dtype)


def _compare(by_steps: numeric_grad, found: list[Array], abs_tol: float, rel_tol: float) -> None:
    arg, place, absolute, relative = by_steps.max_err(found, abs_tol, rel_tol)
    if absolute <= abs_tol or relative <= rel_tol:
        return
    ours, theirs = by_steps.gf[arg], found[arg]
    raise GradientError(
        f"argument {arg}, element {place} of shape {ours.shape}: differences give "
        f"{ours.flat[place]}, the gradient is {theirs.flat[place]}; absolute error {absolute} "
        f"above {abs_tol}, relative error {relative} above {rel_tol}",
        op="verify_grad",
        fields={
            "arg": str(arg),
            "err_pos": str(place),
            "abs_err": str(absolute),
            "rel_err": str(relative),
        },
    )


verify_grad.E_grad = GradientError  # type: ignore[attr-defined]
