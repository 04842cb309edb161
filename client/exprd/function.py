"""`function`: from expressions to something that can be called.

Reads the arguments, assembles one graph, has it compiled by the session in use.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from exprd.assemble import Assembled, Pairs, assemble, described, numbered
from exprd.compiled import Function, Layout
from exprd.config import config
from exprd.convert import is_mapping, is_sequence
from exprd.errors import locate
from exprd.io import In, declared_inputs
from exprd.mode import Mode, get_mode
from exprd.origin import here
from exprd.session import current_session
from exprd.transport import CompileJob
from exprd_compiler.errors import CallError, ExprdError, UnusedInput

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

    Raises:
        GraphError: and its kinds, for expressions that do not fit together.
        CallError: for arguments that are not what they should be.
    """
    declared = declared_inputs(inputs)
    listed, layout = _outputs(outputs)
    kept = no_default_updates
    assembled = assemble(
        declared,
        listed,
        updates,
        givens,
        default_updates=not kept if isinstance(kept, bool) else kept,
        strict=rebuild_strict,
    )
    _check_unused(assembled, on_unused_input or config.on_unused_input)
    caller = here()
    return _compiled(
        assembled,
        [_with_downcast(entry, allow_input_downcast) for entry in declared],
        layout,
        mode=get_mode(mode),
        name=name,
        place=f"{caller.file}:{caller.line}",
    )


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
        warnings.warn(text, stacklevel=3)
        return
    raise UnusedInput(text, hint="drop it, or pass on_unused_input='ignore'")


def _with_downcast(entry: In, allow: bool | None) -> In:
    own = entry.allow_downcast
    return In(
        entry.variable,
        name=entry.name,
        value=entry.value,
        strict=entry.strict,
        allow_downcast=allow if own is None else own,
        autoname=False,
    )


def _compiled(
    assembled: Assembled,
    inputs: Sequence[In],
    layout: Layout,
    *,
    mode: Mode,
    name: str | None,
    place: str,
) -> Function:
    session = current_session()
    session.sweep()
    bindings = tuple(variable.bind(session) for variable in assembled.shared)
    graph, origins = numbered(assembled.graph)
    # the file and line of the caller stay here: no place of a source travels
    job = CompileJob(
        graph=graph,
        bindings=bindings,
        mode=mode.level,
        target=mode.target,
        excluding=mode.excluded,
        name=name or "",
    )
    try:
        info = session.transport.compile(job)
    except ExprdError as error:
        locate(error, origins)
        raise
    return Function(
        session=session,
        info=info,
        graph=assembled.graph,
        inputs=inputs,
        layout=layout,
        shared=assembled.shared,
        origins=origins,
        name=name or place,
    )
