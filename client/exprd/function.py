"""`function`: from expressions to something that can be called.

Reads the arguments, assembles one graph, has it compiled by the session in use.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from exprd.assemble import Assembled, Pairs, assemble
from exprd.compiled import Function
from exprd.config import config
from exprd.convert import is_mapping, is_sequence
from exprd.io import In, declared_inputs, described
from exprd.mode import Mode, get_mode
from exprd.origin import here
from exprd.prints import Printed, with_prints
from exprd.recipe import Layout, Recipe
from exprd.shared import TensorSharedVariable, shared_of_type
from exprd.slots import slot_of
from exprd.variable import TensorType
from exprd_compiler.errors import CallError, UnusedInput
from exprd_compiler.ir.graph import Graph

__all__ = ["function"]


def function(
    inputs: Sequence[Any],
    outputs: object = None,
    mode: Mode | str | None = None,
    updates: Pairs | None = None,
    givens: Pairs | None = None,
    no_default_updates: bool | Sequence[object] = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: object = None,
    on_unused_input: str | None = None,
    lazy: bool = False,
    durability: str = "",
) -> Function:
    """A compiled function of expressions.

    Args:
        inputs: variables, or `In` objects, in a list.
        outputs: what a call returns: one expression gives an array, a list a list of arrays, a dict
            a dict; None gives [], for the sake of the updates.
        mode: a `Mode` or the name of one; `config.mode` by default.
        updates: pairs (shared variable, new value). All new values are computed from the old ones.
        givens: pairs (variable, replacement); the replacements are independent of each other.
        no_default_updates: True, or the list of shared variables whose default update is left out.
        accept_inplace: accepted for Theano's sake.
        name: for listings and messages; the caller's file and line by default.
        rebuild_strict: whether a given must have the type of what it replaces.
        allow_input_downcast: True casts whatever comes; False never; None only python floats.
        profile: accepted for Theano's sake; `Function.timings` has the compilation's stages.
        on_unused_input: "raise", "warn" or "ignore"; `config.on_unused_input` by default.
        lazy: compile in the background; the first call waits, and raises what there is to raise.
        durability: when what calls change is on disk: "always", before they return;
            "interval=<seconds>", so much later; "off". As the server has it by default. Without
            effect where nothing is kept on disk.

    Raises:
        GraphError: and its kinds, for expressions that do not fit together.
        CallError: for arguments that are not what they should be.
    """
    declared, (listed, layout) = declared_inputs(inputs), _outputs(outputs)
    states = {entry: _state_of(entry) for entry in declared}
    assembled = assemble(
        declared,
        listed,
        updates,
        givens,
        kept={entry: state for entry, state in states.items() if state is not None},
        default_updates=_default_updates(no_default_updates),
        strict=rebuild_strict,
    )
    graph, prints = _checked(assembled, on_unused_input)
    recipe = Recipe(
        graph=graph,
        slots=tuple(slot_of(entry, allow_input_downcast, states[entry]) for entry in declared),
        shared=assembled.shared,
        layout=layout,
        prints=prints,
        mode=get_mode(mode),
        name=name,
        place=_caller(),
        durability=durability,
    )
    return Function(recipe, lazy=lazy)


def _checked(assembled: Assembled, on_unused: str | None) -> tuple[Graph, tuple[Printed, ...]]:
    """The graph of a function and what it prints; inputs that are not used are told of."""
    _check_unused(assembled, on_unused or config.on_unused_input)
    return with_prints(assembled.graph)


def _default_updates(left_out: bool | Sequence[object]) -> bool | Sequence[object]:
    """Whether default updates are made, or those of which variables are not."""
    return not left_out if isinstance(left_out, bool) else left_out


def _caller() -> str:
    """The file and line of the user's call."""
    caller = here()
    return f"{caller.file}:{caller.line}"


def _outputs(outputs: object) -> tuple[list[object], Layout]:
    """The outputs as a list, and how to give them back."""
    if outputs is None:
        return [], Layout("list")
    if is_mapping(outputs):
        if not all(isinstance(key, str) for key in outputs):
            raise CallError("the keys of an outputs dict are strings")
        keys = sorted(outputs)
        return [outputs[key] for key in keys], Layout("dict", tuple(keys))
    if is_sequence(outputs):
        return list(outputs), Layout("list")
    return [outputs], Layout("single")


def _check_unused(assembled: Assembled, reaction: str) -> None:
    if reaction not in ("raise", "warn", "ignore"):
        raise CallError(f"on_unused_input is raise, warn or ignore, not {reaction!r}")
    if not assembled.unused or reaction == "ignore":
        return
    names = ", ".join(described(node) for node in assembled.unused)
    text = f"the outputs and updates do not depend on the input {names}"
    if reaction == "warn":
        warnings.warn(text, stacklevel=4)
        return
    raise UnusedInput(text, hint="drop it, or pass on_unused_input='ignore'")


def _state_of(entry: In) -> TensorSharedVariable | None:
    """The variable that keeps the value of an input between calls, if it keeps one."""
    if isinstance(entry.value, TensorSharedVariable):
        return entry.value
    if entry.update is None:
        return None
    kind = TensorType.of(entry.variable.node.type)
    value = kind.filter(entry.value, strict=entry.strict, allow_downcast=entry.allow_downcast)
    return shared_of_type(kind, value, name=entry.name)
