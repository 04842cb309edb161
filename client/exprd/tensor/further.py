"""Further names of numpy and Theano in the tensor namespace, and other names for what is there.

Whatever is written out in `functions` or made from the table of ops comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, Final, ParamSpec

from exprd import combining, companions, creating, housekeeping, matrix
from exprd.convert import as_node, cast_to
from exprd.elementwise import rounded
from exprd.shaping import filled_like, flatten
from exprd.tensor.functions import concatenate, flip, lift, zeros
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.creation import make_vector
from exprd_compiler.ops.leaves import constant_value
from exprd_compiler.ops.movement import shape_i

P = ParamSpec("P")

__all__ = ["ALIASES", "FUNCTIONS"]


def _lift_all(build: Callable[P, list[Node]]) -> Callable[P, list[TensorVariable]]:
    """A builder of several nodes as a function that gives a list of variables."""

    @wraps(build)
    def lifted(*args: P.args, **kwargs: P.kwargs) -> list[TensorVariable]:
        return [variable_of(node) for node in build(*args, **kwargs)]

    return lifted


class _Grid:
    """Coordinates by index syntax, as variables."""

    __slots__ = ("_grid",)

    def __init__(self, *, sparse: bool) -> None:
        self._grid = creating.Grid(sparse=sparse)

    def __getitem__(self, key: slice | tuple[slice, ...]) -> list[TensorVariable]:
        return [variable_of(node) for node in self._grid[key]]


# ---- questions about a variable
def get_vector_length(v: object) -> int:
    """The length of a vector, where its type knows it.

    Raises:
        GraphError: it is no vector, or its length is known only at run time.
    """
    node = as_node(v)
    length = node.type.shape[0] if node.ndim == 1 else None
    if length is None:
        raise GraphError(f"the length of {node.type} is not known", op="get_vector_length")
    return length


def get_scalar_constant_value(v: object) -> Any:
    """The value of a constant with one element, as a 0-d array.

    Raises:
        GraphError: it is no such constant.
    """
    array = constant_value(as_node(v))
    if array is None or array.size != 1:
        raise GraphError(f"{v!r} is not a constant scalar", op="get_scalar_constant_value")
    return array.reshape(())


def is_flat(v: object, ndim: int = 1) -> bool:
    """Whether a variable has this rank."""
    return as_node(v).ndim == ndim


def _extent(x: object, i: int) -> Node:
    """The length of one axis."""
    return shape_i(as_node(x), axis=i)


def _same(x: object) -> Node:
    """The tensor itself."""
    return as_node(x)


def _zeros_like(model: object, dtype: str | None = None) -> Node:
    """A tensor in the shape and dtype of another; its elements are zeros."""
    return filled_like(model, 0, dtype)


def _permute_rows(x: object, y: object, inverse: bool = False) -> TensorVariable:
    """The last axis of x in the order of a permutation, or of the one that undoes it."""
    order = lift(combining.inverse_permutation)(y) if inverse else variable_of(as_node(y))
    whole = variable_of(as_node(x))
    return whole[(*[slice(None)] * (whole.ndim - 1), order)]


def _fliplr(x: object) -> TensorVariable:
    """The order along the second axis reversed. A view."""
    return flip(x, 1)


def _flipud(x: object) -> TensorVariable:
    """The order along the first axis reversed. A view."""
    return flip(x, 0)


def _horizontal_stack(*tensors: object) -> TensorVariable:
    """Matrices side by side."""
    return concatenate(tensors, 1)


def _vertical_stack(*tensors: object) -> TensorVariable:
    """Matrices one above the other."""
    return concatenate(tensors, 0)


def _iround(a: object, mode: str = "half_to_even") -> Node:
    """a rounded, as int64."""
    return cast_to(rounded(a, mode), "int64")


def _make_vector(*values: object) -> Node:
    """The vector of some scalars, in the dtype that holds them all."""
    return make_vector(*map(as_node, values))


def _conversion(dtype: str) -> Callable[[object], TensorVariable]:
    def convert(x: object) -> TensorVariable:
        return variable_of(cast_to(as_node(x), dtype))

    convert.__name__ = convert.__qualname__ = f"convert_to_{dtype}"
    convert.__doc__ = f"The values as {dtype}."
    return convert


def _broadcast_shape(*tensors: object) -> tuple[TensorVariable, ...]:
    """The extents to which tensors broadcast, as 0-d integers."""
    return tuple(map(variable_of, companions.broadcast_shape(*tensors)))


@wraps(companions.gradient)
def _gradient(
    f: object, spacing: object = 1, axis: int | None = None
) -> TensorVariable | list[TensorVariable]:
    found = companions.gradient(f, spacing, axis)
    return list(map(variable_of, found)) if isinstance(found, list) else variable_of(found)


FUNCTIONS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # creation
        "linspace": lift(creating.linspace),
        "logspace": lift(creating.logspace),
        "geomspace": lift(creating.geomspace),
        "mgrid": _Grid(sparse=False),
        "ogrid": _Grid(sparse=True),
        "meshgrid": _lift_all(creating.meshgrid),
        "indices": lift(creating.indices),
        "identity": lift(creating.identity),
        "full_like": lift(creating.full_like),
        "empty": zeros,
        "empty_like": lift(_zeros_like),
        # shapes
        "broadcast_to": lift(creating.broadcast_to),
        "broadcast_arrays": _lift_all(creating.broadcast_arrays),
        "specify_shape": lift(creating.specify_shape),
        "addbroadcast": lift(creating.addbroadcast),
        "unbroadcast": lift(creating.unbroadcast),
        "patternbroadcast": lift(creating.patternbroadcast),
        "atleast_Nd": lift(creating.atleast_nd),
        "atleast_1d": lift(partial(creating.atleast_nd, n=1)),
        "atleast_2d": lift(partial(creating.atleast_nd, n=2)),
        "atleast_3d": lift(partial(creating.atleast_nd, n=3)),
        "ravel": lift(flatten),
        "diagonal": lift(creating.diagonal),
        "pad": lift(creating.pad),
        "fliplr": _fliplr,
        "flipud": _flipud,
        # joining
        "stacklists": lift(creating.stacklists),
        "hstack": lift(creating.hstack),
        "vstack": lift(creating.vstack),
        "horizontal_stack": _horizontal_stack,
        "vertical_stack": _vertical_stack,
        "column_stack": lift(companions.column_stack),
        "dstack": lift(companions.dstack),
        # neighbours and directions
        "rot90": lift(companions.rot90),
        "rollaxis": lift(companions.rollaxis),
        "broadcast_shape": _broadcast_shape,
        "cross": lift(companions.cross),
        "gradient": _gradient,
        "ediff1d": lift(companions.ediff1d),
        "interp": lift(companions.interp),
        # elementwise
        "isclose": lift(combining.isclose),
        "allclose": lift(combining.allclose),
        "logical_and": lift(combining.logical_and),
        "logical_or": lift(combining.logical_or),
        "logical_xor": lift(combining.logical_xor),
        "logical_not": lift(combining.logical_not),
        "positive": lift(combining.positive),
        "fabs": lift(combining.fabs),
        "divmod": _lift_all(combining.divmod_),
        "ceil_intdiv": lift(combining.ceil_intdiv),
        "largest": lift(combining.largest),
        "smallest": lift(combining.smallest),
        "fmax": lift(combining.fmax),
        "fmin": lift(combining.fmin),
        "nan_to_num": lift(combining.nan_to_num),
        "logit": lift(combining.logit),
        "logaddexp2": lift(combining.logaddexp2),
        "xlogy": lift(combining.xlogy),
        "sinc": lift(combining.sinc),
        "heaviside": lift(combining.heaviside),
        "div": lift(housekeeping.div),
        # special functions
        "gammau": lift(housekeeping.gammau),
        "gammal": lift(housekeeping.gammal),
        "chi2sf": lift(housekeeping.chi2sf),
        "beta": lift(companions.beta),
        "betaln": lift(companions.betaln),
        # folds
        "prod_without_zeros": lift(housekeeping.prod_without_zeros),
        "corrcoef": lift(companions.corrcoef),
        "trapz": lift(companions.trapz),
        "average": lift(combining.average),
        "count_nonzero": lift(combining.count_nonzero),
        "nansum": lift(combining.nansum),
        "nanmean": lift(combining.nanmean),
        # permutations
        "inverse_permutation": lift(combining.inverse_permutation),
        "permute_row_elements": _permute_rows,
        # Theano's housekeeping
        **{f"convert_to_{dtype}": _conversion(dtype) for dtype in EVERY if dtype != "bfloat16"},
        "iround": lift(_iround),
        "make_vector": lift(_make_vector),
        "default": lift(housekeeping.default),
        "transfer": lift(housekeeping.transfer),
        "extract_diag": lift(matrix.extract_diag),
        "alloc_diag": lift(matrix.alloc_diag),
        "copy": lift(_same),
        "tensor_copy": lift(_same),
        "tensor_from_scalar": lift(_same),
        "scalar_from_tensor": lift(_same),
        "shape_i": lift(_extent),
        "get_vector_length": get_vector_length,
        "get_scalar_constant_value": get_scalar_constant_value,
        "is_flat": is_flat,
    }
)

# Another name, and the name that it stands for.
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "where": "switch",
        "inv": "reciprocal",
        "sgn": "sign",
        "floor_div": "int_div",
        "floor_divide": "int_div",
        "divide": "true_div",
        "true_divide": "true_div",
        "subtract": "sub",
        "multiply": "mul",
        "remainder": "mod",
        "power": "pow",
        "negative": "neg",
        "absolute": "abs_",
        "abs": "abs_",
        "square": "sqr",
        "greater": "gt",
        "greater_equal": "ge",
        "less": "lt",
        "less_equal": "le",
        "equal": "eq",
        "not_equal": "neq",
        "bitwise_and": "and_",
        "bitwise_or": "or_",
        "bitwise_xor": "xor_",
        "bitwise_not": "invert",
        "bitwise_left_shift": "left_shift",
        "bitwise_right_shift": "right_shift",
        "xor": "xor_",
        "expit": "sigmoid",
        "digamma": "psi",
        "trigamma": "tri_gamma",
        "rint": "round_half_to_even",
        "fix": "trunc",
        "degrees": "rad2deg",
        "radians": "deg2rad",
        "conjugate": "conj",
        "acos": "arccos",
        "asin": "arcsin",
        "atan": "arctan",
        "atan2": "arctan2",
        "acosh": "arccosh",
        "asinh": "arcsinh",
        "atanh": "arctanh",
        "concat": "concatenate",
        "row_stack": "vstack",
        "tensor_power": "pow",
        "permute_dims": "transpose",
    }
)
