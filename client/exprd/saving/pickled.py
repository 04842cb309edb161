"""Pickle forms: how variables, functions and the rest are pickled, and come back.

Every pickle names one function, `restore`, and holds a kind, a version and plain data: no class of
this package and no layout of one, so it loads in every later version. A kind once written is read
for ever; a change of its data is a new version of it, beside the old one.
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from exprd.compiled import Function
from exprd.config import config
from exprd.io import In, Out, Param
from exprd.mode import Mode
from exprd.opfromgraph import OpFromGraph, Override
from exprd.prints import Print, Printed
from exprd.recipe import Layout, Recipe
from exprd.saving.wire import Scope, Stored, graph_of, restored, stored, variables_of
from exprd.shared import TensorSharedVariable, shared_of_type
from exprd.slots import Slot
from exprd.variable import TensorConstant, TensorType, TensorVariable, variable_of
from exprd_compiler.errors import UnsupportedVersion

__all__ = ["CAPTURED", "is_known", "reduced", "register", "restore", "restore_state"]

# Values of shared variables that a pickling has looked at already, by id of the variable.
CAPTURED: Final[ContextVar[dict[int, Any] | None]] = ContextVar("exprd_captured", default=None)
Reduced = tuple[Any, ...]


def restore(kind: str, version: int, *data: Any) -> Any:
    """What was pickled as data of a kind.

    Raises:
        UnsupportedVersion: this version of exprd does not know the kind, or its version.
    """
    make = _KINDS.get((kind, version))
    if make is None:
        raise UnsupportedVersion(
            f"a pickle holds {kind!r} in version {version}, which is not known here",
            hint="load it with a newer exprd",
        )
    return make(*data)


def restore_state(made: TensorSharedVariable, state: Mapping[str, Any]) -> None:
    """Completes a shared variable, whose update refers to it."""
    made.default_update = state["default_update"]


# ---- expressions and shared variables
_SCOPE: Final = Scope()  # stands for the scope of whatever is being pickled


def _reduce_scope(_: Scope) -> Reduced:
    return restore, ("scope", 1)


def _reduce_variable(variable: TensorVariable) -> Reduced:
    graph = graph_of([variable.node])
    return restore, ("expression", 1, *_of_stored(stored(graph, variables_of(graph))))


def _of_stored(kept: Stored) -> tuple[Any, ...]:
    return _SCOPE, kept.graph, kept.keys, kept.shared, kept.notes


def _stored(
    graph: bytes, keys: Sequence[Any], variables: Sequence[Any], notes: Sequence[Any]
) -> Stored:
    return Stored(graph=graph, keys=tuple(keys), shared=tuple(variables), notes=tuple(notes))


def _expression_1(scope: Scope, *kept: Any) -> TensorVariable:
    return variable_of(restored(_stored(*kept), scope).outputs[0])


def _reduce_shared(variable: TensorSharedVariable) -> Reduced:
    captured = CAPTURED.get() or {}
    value = captured.get(id(variable))
    kind = variable.node.type
    data = (
        _SCOPE,
        id(variable.node),
        kind.dtype,
        kind.shape,
        variable.name,
        variable.durability,
        variable.get_value() if value is None else value,
    )
    update = variable.default_update
    state = None if update is None else {"default_update": update}
    return restore, ("shared", 1, *data), state, None, None, restore_state


def _shared_1(
    scope: Scope, key: int, dtype: str, shape: Sequence[Any], name: Any, durability: str, value: Any
) -> TensorSharedVariable:
    kind = TensorType(dtype, shape=tuple(shape))
    made = shared_of_type(kind, np.asarray(value), name=name, durability=durability)
    scope.nodes[key] = made.node
    return made


# ---- functions
def _reduce_function(function: Function) -> Reduced:
    recipe = function.recipe
    kept = stored(recipe.graph, recipe.shared)
    slots = tuple(_of_slot(slot) for slot in recipe.slots)
    defaults = tuple(function.defaults())
    # of the place only the file's name and the line: folders are nobody else's business
    place = re.split(r"[\\/]", recipe.place)[-1]
    rest = (recipe.name, place, function.trust_input, recipe.durability)
    layout = (recipe.layout.kind, recipe.layout.keys)
    prints = tuple((p.printer, dict(p.known), p.outputs) for p in recipe.prints)
    data = (*_of_stored(kept), slots, defaults, layout, recipe.mode, prints, *rest)
    return restore, ("function", 1, *data)


def _of_slot(slot: Slot) -> tuple[Any, ...]:
    rest = (slot.name, slot.default, slot.strict, slot.downcast, slot.implicit, slot.state)
    return variable_of(slot.node), *rest


def _slot(variable: TensorVariable, *rest: Any) -> Slot:
    names = ("name", "default", "strict", "downcast", "implicit", "state")
    return Slot(node=variable.node, **dict(zip(names, rest, strict=True)))


def _function_1(
    scope: Scope,
    graph: bytes,
    keys: Any,
    variables: Sequence[TensorSharedVariable],
    notes: Any,
    slots: Sequence[tuple[Any, ...]],
    defaults: Sequence[Any],
    layout: tuple[Any, tuple[str, ...]],
    mode: Mode,
    prints: Sequence[tuple[Print, Mapping[str, Any], tuple[str, ...]]],
    name: str | None,
    place: str,
    trust: bool,
    durability: str = "",
) -> Function | None:
    if not config.unpickle_function:
        return None
    recipe = Recipe(
        graph=restored(_stored(graph, keys, variables, notes), scope),
        slots=tuple(_slot(*slot) for slot in slots),
        shared=tuple(variables),
        layout=Layout(*layout),
        mode=mode,
        prints=tuple(Printed(printer=p, known=k, outputs=tuple(o)) for p, k, o in prints),
        name=name,
        place=place,
        durability=durability,
    )
    made = Function(recipe)
    made.trust_input = trust
    made.set_defaults(defaults)
    return made


# ---- the rest
def _reduce_type(kind: TensorType) -> Reduced:
    return restore, ("type", 1, kind.dtype, kind.shape, kind.name)


def _type_1(dtype: str, shape: Sequence[int | None], name: str | None) -> TensorType:
    return TensorType(dtype, None, name, shape=shape)


def _reduce_mode(mode: Mode) -> Reduced:
    return restore, ("mode", 1, mode.linker, mode.optimizer, mode.excluded)


def _reduce_in(entry: In) -> Reduced:
    names = [name for name in In.__slots__ if name != "variable"]
    return restore, ("in", 1, entry.variable, {name: getattr(entry, name) for name in names})


def _in_1(variable: TensorVariable, rest: Mapping[str, Any]) -> In:
    return In(variable, **rest)


def _reduce_out(output: Out) -> Reduced:
    return restore, ("out", 1, output.variable, output.borrow)


def _reduce_op(op: OpFromGraph) -> Reduced:
    rest = (op.inline, op.lop_overrides, op.grad_overrides)
    outputs = op.outputs[0] if op.single else tuple(op.outputs)
    return restore, ("op", 1, tuple(op.inputs), outputs, op.name, *rest)


def _op_1(
    inputs: Sequence[TensorVariable], outputs: Any, name: str, inline: bool, lop: Any, grad: Any
) -> OpFromGraph:
    return OpFromGraph(
        inputs, outputs, inline=inline, lop_overrides=lop, grad_overrides=grad, name=name
    )


def _reduce_override(override: Override) -> Reduced:
    return restore, ("override", 1, override.op, override.index)


def _reduce_print(printer: Print) -> Reduced:
    return restore, ("print", 1, printer.message, printer.attrs, printer.global_fn)


_KINDS: Final[Mapping[tuple[str, int], Callable[..., Any]]] = MappingProxyType(
    {
        ("scope", 1): Scope,
        ("expression", 1): _expression_1,
        ("shared", 1): _shared_1,
        ("function", 1): _function_1,
        ("type", 1): _type_1,
        ("mode", 1): Mode,
        ("in", 1): _in_1,
        ("out", 1): Out,
        ("print", 1): Print,
        ("op", 1): _op_1,
        ("override", 1): Override,
    }
)
_REDUCE: Final[Mapping[type, Callable[[Any], Reduced]]] = MappingProxyType(
    {
        Scope: _reduce_scope,
        TensorVariable: _reduce_variable,
        TensorConstant: _reduce_variable,
        TensorSharedVariable: _reduce_shared,
        Function: _reduce_function,
        TensorType: _reduce_type,
        Mode: _reduce_mode,
        In: _reduce_in,
        Param: _reduce_in,
        Out: _reduce_out,
        Print: _reduce_print,
        OpFromGraph: _reduce_op,
        Override: _reduce_override,
    }
)


def is_known(kind: type) -> bool:
    """Whether objects of exactly a class have a form here, or are of a class below one."""
    return any(c in _REDUCE for c in kind.__mro__)


def reduced(value: Any) -> Reduced:
    """The form of an object, by the nearest of its classes."""
    return next(_REDUCE[c] for c in type(value).__mro__ if c in _REDUCE)(value)


def register() -> None:
    """Tells `pickle` and `copy` the forms; done when the package is imported."""
    for kind, reduce in _REDUCE.items():
        copyreg.pickle(kind, reduce)
