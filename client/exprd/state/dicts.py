"""State dicts: the values of a model's shared variables by path, and how they come back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from exprd.buffers import Buffer
from exprd.convert import is_array, is_mapping, is_scalar
from exprd.shared import TensorSharedVariable
from exprd.state.lazy import UninitializedParameter
from exprd.state.snapshot import assign_all, shapes_of, values_of
from exprd.state.variables import Leaf, named_leaves
from exprd_compiler.errors import CallError, StateMismatch
from exprd_compiler.ir.dtype import EVERY
from exprd_compiler.ir.half import converted, widened

__all__ = ["IncompatibleKeys", "load_state_dict", "state_dict"]

Found: TypeAlias = tuple[Leaf, NDArray[Any]]


class IncompatibleKeys(NamedTuple):
    """What a state dict and a model did not have in common.

    Attributes:
        missing_keys: what the state dict lacks.
        unexpected_keys: what the model lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        missing, unexpected = self.missing_keys, self.unexpected_keys
        return f"_IncompatibleKeys(missing_keys={missing}, unexpected_keys={unexpected})"


def state_dict(model: object, prefix: str = "") -> OrderedDict[str, NDArray[Any]]:
    """The values of a model's shared variables by path, as copies.

    Values that live in a session are of one moment: no call lies between them.

    Args:
        model: a module, any object with shared variables as attributes, or a list or dict of these.
        prefix: goes in front of every path.

    Raises:
        CallError: a lazy parameter has no value yet.
    """
    leaves = named_leaves(model)
    variables = [_initialized(path, leaf) for path, leaf in leaves.items()]
    values = values_of(variables)
    return OrderedDict((prefix + path, x) for path, x in zip(leaves, values, strict=True))


def _initialized(path: str, leaf: Leaf) -> TensorSharedVariable:
    if isinstance(leaf, UninitializedParameter):
        raise CallError(
            f"{path} has no value yet",
            op="state_dict",
            hint="call the module once, so that lazy parameters get their shapes",
        )
    return leaf


def load_state_dict(
    model: object, state: Mapping[str, Any], strict: bool = True, prefix: str = ""
) -> IncompatibleKeys:
    """Assigns the values of a state dict to a model's shared variables: all of them or none.

    What lives in a session is assigned in one commit. Floats are rounded to the float type of the
    variable; a value that would lose more than digits is refused.

    Args:
        model: what `state_dict` takes.
        state: arrays by path.
        strict: whether the model and the state dict must have the same paths.
        prefix: only paths that begin with it count, and it is left out.

    Returns:
        What was missing and what was unexpected.

    Raises:
        StateMismatch: paths differ and `strict` is set, or a value does not fit; the message lists
            all there is.
        CallError: `state` is no mapping.
    """
    if not is_mapping(state):
        raise CallError(f"a state dict is a dict, not {type(state).__name__}", op="load_state_dict")
    given = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    leaves = named_leaves(model)
    keys = IncompatibleKeys(
        [path for path in leaves if path not in given], [key for key in given if key not in leaves]
    )
    found = {path: (leaf, given[path]) for path, leaf in leaves.items() if path in given}
    fitted, problems = _fitted(found)
    problems = [*(_key_problems(keys) if strict else ()), *problems]
    if problems:
        title = f"Error(s) in loading state_dict for {type(model).__name__}:"
        raise StateMismatch("\n\t".join([title, *problems]))
    _assign(fitted)
    return keys


def _key_problems(keys: IncompatibleKeys) -> list[str]:
    rows = (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys))
    return [
        f"{what} key(s) in state_dict: " + ", ".join(f'"{key}"' for key in found) + "."
        for what, found in rows
        if found
    ]


def _fitted(found: Mapping[str, tuple[Leaf, Any]]) -> tuple[list[Found], list[str]]:
    """The values as they are assigned, and what is wrong with the rest."""
    shapes = _shapes([leaf for leaf, _ in found.values()])
    fitted: list[Found] = []
    problems: list[str] = []
    for (path, (leaf, value)), shape in zip(found.items(), shapes, strict=True):
        fit = _fit(path, leaf, shape, value)
        if isinstance(fit, str):
            problems.append(fit)
        else:
            fitted.append((leaf, fit))
    return fitted, problems


def _shapes(leaves: Sequence[Leaf]) -> list[Sequence[int | None]]:
    made = iter(shapes_of([leaf for leaf in leaves if isinstance(leaf, TensorSharedVariable)]))
    return [x.shape if isinstance(x, UninitializedParameter) else next(made) for x in leaves]


def _fit(path: str, leaf: Leaf, shape: Sequence[int | None], value: object) -> NDArray[Any] | str:
    """A value as an array of the variable's type, or what is wrong with it."""
    array = _array(value)
    if array is None:
        return f"{path} is {type(value).__name__} in the state dict, not an array."
    if not _same_shape(shape, array.shape):
        return (
            f"size mismatch for {path}: copying a param with shape {array.shape} from checkpoint,"
            f" the shape in current model is {_shown(shape)}."
        )
    if isinstance(leaf, TensorSharedVariable) and leaf.durability == "constant":
        return f"{path} is a constant in the current model, and is never assigned."
    fit = _cast(array, str(leaf.dtype))
    if fit is None:
        return (
            f"dtype mismatch for {path}: values of {array.dtype} from checkpoint do not fit into"
            f" {leaf.dtype} of the current model."
        )
    return fit


def _array(value: object) -> NDArray[Any] | None:
    """The array of an entry: an array or what numpy makes one of, a buffer, another variable."""
    if isinstance(value, TensorSharedVariable):
        return value.get_value()  # type: ignore[no-any-return]
    if isinstance(value, Buffer):
        return value.get()
    known = is_array(value) or is_scalar(value) or hasattr(value, "__array__")
    return np.asarray(value) if known else None


def _same_shape(want: Sequence[int | None], have: Sequence[int]) -> bool:
    return len(want) == len(have) and all(
        extent in (None, given) for extent, given in zip(want, have, strict=True)
    )


def _shown(shape: Sequence[int | None]) -> str:
    entries = ["?" if extent is None else str(extent) for extent in shape]
    return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any] | None:
    """The array in a dtype, in C order; None if that loses more than digits."""
    if array.dtype.name not in EVERY:
        return None
    have, want = (name.replace("bfloat16", "float16") for name in (array.dtype.name, dtype))
    if not np.can_cast(have, want, "same_kind"):
        return None
    out = np.array(converted(array, dtype), order="C")
    return out if _holds(widened(array), widened(out)) else None


def _holds(array: NDArray[Any], out: NDArray[Any]) -> bool:
    """Whether integers stayed what they were, and finite numbers finite."""
    if out.dtype.kind in "biu":
        return bool(np.array_equal(array, out))
    return bool(np.array_equal(np.isfinite(array), np.isfinite(out)))


def _assign(fitted: Sequence[Found]) -> None:
    """Lazy parameters come last, since making one cannot fail."""
    assign_all([(leaf, x) for leaf, x in fitted if isinstance(leaf, TensorSharedVariable)])
    for leaf, value in fitted:
        if isinstance(leaf, UninitializedParameter):
            leaf.materialize(value)
