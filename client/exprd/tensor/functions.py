"""The functions of the tensor namespace that take more than operands: shapes, folds, indexing.

Each is a builder on nodes, lifted so that it shows its result as a variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

from exprd import arranging, convert, extras, indexing, linear, reduction, shaping, sorting
from exprd import elementwise as builders
from exprd.shaping import float_dtype

# before `var` below takes the name of this module in the package
from exprd.tensor.var import TensorVariable
from exprd.variable import as_tensor_variable, variable_of
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, reduce

P = ParamSpec("P")


def lift(build: Callable[P, Node]) -> Callable[P, TensorVariable]:
    """A builder on nodes as a function on variables."""

    @wraps(build)
    def lifted(*args: P.args, **kwargs: P.kwargs) -> TensorVariable:
        return variable_of(build(*args, **kwargs))

    return lifted


def lift_all(build: Callable[P, Sequence[Node]]) -> Callable[P, list[TensorVariable]]:
    """A builder of several nodes as a function on variables."""

    @wraps(build)
    def lifted(*args: P.args, **kwargs: P.kwargs) -> list[TensorVariable]:
        return [variable_of(node) for node in build(*args, **kwargs)]

    return lifted


# ---- folds
sum = lift(reduction.sum_)
mean = lift(reduction.mean)
prod = lift(reduction.prod)
argmax = lift(reduction.argmax)
argmin = lift(reduction.argmin)
var = lift(reduction.var)
std = lift(reduction.std)
norm = lift(reduction.norm)


def max_and_argmax(
    x: object, axis: int | None = None, keepdims: bool = False
) -> list[TensorVariable]:
    """The largest element and its position."""
    return [variable_of(reduction.fold(reduce.max_, x, axis, keepdims)), argmax(x, axis, keepdims)]


# ---- products
batched_dot = lift(linear.batched_dot)
batched_tensordot = lift(linear.batched_tensordot)
dot = lift(linear.dot)
einsum = lift(linear.einsum)
inner = lift(linear.inner)
kron = lift(linear.kron)
matmul = lift(linear.matmul)
outer = lift(linear.outer)
tensordot = lift(linear.tensordot)
vdot = lift(linear.vdot)

# ---- shapes
shape = lift(shaping.shape_of)
reshape = lift(shaping.reshape)
flatten = lift(shaping.flatten)
dimshuffle = lift(shaping.dimshuffle)
transpose = lift(shaping.transpose)
swapaxes = lift(shaping.swapaxes)
squeeze = lift(shaping.squeeze)
shape_padleft = lift(shaping.shape_padleft)
shape_padright = lift(shaping.shape_padright)
shape_padaxis = lift(shaping.shape_padaxis)

# ---- creation
alloc = lift(shaping.alloc)
full = lift(shaping.full)
arange = lift(shaping.arange)


@lift
def zeros(shape: object, dtype: str | None = None) -> Node:
    """Zeros of a shape, in the configured float type unless told otherwise."""
    return shaping.full(shape, 0, float_dtype(dtype))


@lift
def ones(shape: object, dtype: str | None = None) -> Node:
    """Ones of a shape, in the configured float type unless told otherwise."""
    return shaping.full(shape, 1, float_dtype(dtype))


@lift
def zeros_like(model: object, dtype: str | None = None) -> Node:
    """Zeros in the shape and dtype of another tensor."""
    return shaping.filled_like(model, 0, dtype)


@lift
def ones_like(model: object, dtype: str | None = None) -> Node:
    """Ones in the shape and dtype of another tensor."""
    return shaping.filled_like(model, 1, dtype)


@lift
def fill(model: object, value: object) -> Node:
    """A value in the shape and dtype of another tensor."""
    node = convert.as_node(model)
    return arithmetic.second(node, convert.cast_to(convert.as_node(value), node.dtype))


# ---- indexing
take = lift(indexing.take)
take_along_axis = lift(indexing.take_along_axis)
choose = lift(indexing.choose)
flatnonzero = lift(indexing.flatnonzero)
nonzero_values = lift(indexing.nonzero_values)
set_subtensor = lift(indexing.set_subtensor)
inc_subtensor = lift(indexing.inc_subtensor)
compress = lift(extras.compress)

# ---- sorting and sets
sort = lift(sorting.sort)
argsort = lift(sorting.argsort)
topk = lift(sorting.topk)
argtopk = lift(sorting.argtopk)
topk_and_argtopk = lift_all(sorting.topk_and_argtopk)
searchsorted = lift(sorting.searchsorted)
bincount = lift(sorting.bincount)
quantile = lift(sorting.quantile)
percentile = lift(sorting.percentile)


def unique(
    ar: object,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> TensorVariable | list[TensorVariable]:
    """The distinct values in order, with indexes, inverse and counts where asked for.

    See `exprd.sorting.unique`; one variable if only the values are wanted, else a list.
    """
    found = sorting.unique(ar, return_index, return_inverse, return_counts, axis)
    return variable_of(found) if isinstance(found, Node) else [variable_of(x) for x in found]


# ---- further ones of Theano
diff = lift(extras.diff)
fill_diagonal = lift(extras.fill_diagonal)
fill_diagonal_offset = lift(extras.fill_diagonal_offset)
to_one_hot = lift(extras.to_one_hot)
ravel_multi_index = lift(extras.ravel_multi_index)
unravel_index = lift_all(extras.unravel_index)
bartlett = lift(extras.bartlett)
cov = lift(extras.cov)


def nonzero(x: object) -> tuple[TensorVariable, ...]:
    """For each axis, the positions of the elements that are not zero, in row-major order."""
    return tuple(map(variable_of, indexing.nonzero(x)))


# ---- conversion
@lift
def cast(x: object, dtype: str) -> Node:
    """The values in another dtype."""
    return convert.cast_to(convert.as_node(x), dtype)


clip = lift(builders.clip)
round = lift(builders.rounded)
as_tensor = as_tensor_variable


# ---- arranging
concatenate = lift(arranging.concatenate)
cumprod = lift(arranging.cumprod)
cumsum = lift(arranging.cumsum)
diag = lift(arranging.diag)
expand_dims = lift(arranging.expand_dims)
eye = lift(arranging.eye)
flip = lift(arranging.flip)
identity_like = lift(arranging.identity_like)
join = lift(arranging.join)
moveaxis = lift(arranging.moveaxis)
repeat = lift(arranging.repeat)
roll = lift(arranging.roll)
stack = lift(arranging.stack)
tile = lift(arranging.tile)
tri = lift(arranging.tri)
tril = lift(arranging.tril)
triu = lift(arranging.triu)


def split(
    x: object, splits_size: Sequence[object], n_splits: int, axis: int = 0
) -> list[TensorVariable]:
    """Views of x along an axis, as long as `splits_size` says, one behind the other."""
    return [variable_of(part) for part in arranging.split(x, splits_size, n_splits, axis)]
