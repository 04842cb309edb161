"""Snapshots: many shared variables read at one moment, or assigned in one commit.

What lives in a session is read and assigned by one call of a function that does nothing else, so a
training step of another thread comes before it or after it, never within.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprd.mode import get_mode
from exprd.recipe import Layout, Recipe
from exprd.session import Session
from exprd.shared import TensorSharedVariable
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.movement import shape_i

__all__ = ["assign_all", "shapes_of", "values_of"]

Variables = Sequence[TensorSharedVariable]


def values_of(variables: Variables) -> list[NDArray[Any]]:
    """The values of variables, each a copy; of a variable that is there twice the same copy."""
    return _read(variables, _values, lambda variable: variable.get_value())


def shapes_of(variables: Variables) -> list[tuple[int, ...]]:
    """The shapes of the values of variables; the values stay where they are."""
    return _read(variables, _shapes, lambda variable: variable.get_value(borrow=True).shape)


def assign_all(values: Sequence[tuple[TensorSharedVariable, NDArray[Any]]]) -> None:
    """Assigns variables values of their types; in each session all of them or none."""
    by_session = _by_session([variable for variable, _ in values])
    latest = {id(variable): value for variable, value in values}
    for session, group in by_session:
        if session is not None:
            _assign(session, group, [latest[id(variable)] for variable in group])
    for session, group in by_session:
        for variable in group if session is None else ():
            variable.set_value(latest[id(variable)])


def _read(
    variables: Variables,
    in_session: Callable[[Session, Variables], Sequence[Any]],
    here: Callable[[TensorSharedVariable], Any],
) -> list[Any]:
    found: dict[int, Any] = {}
    for session, group in _by_session(variables):
        values = [here(v) for v in group] if session is None else in_session(session, group)
        found.update(zip(map(id, group), values, strict=True))
    return [found[id(variable)] for variable in variables]


def _by_session(
    variables: Variables,
) -> list[tuple[Session | None, list[TensorSharedVariable]]]:
    """The distinct variables of each session, in order."""
    groups: dict[int, tuple[Session | None, dict[int, TensorSharedVariable]]] = {}
    for variable in variables:
        session = variable.session
        groups.setdefault(id(session), (session, {}))[1][id(variable)] = variable
    return [(session, list(group.values())) for session, group in groups.values()]


def _values(session: Session, variables: Variables) -> list[NDArray[Any]]:
    if len(variables) == 1:
        return [variables[0].get_value()]
    nodes = tuple(variable.node for variable in variables)
    run = _recipe(Graph((), nodes, nodes), variables).compiled(session).run
    return [np.array(value) for value in run((), False)[0]]


def _shapes(session: Session, variables: Variables) -> list[tuple[int, ...]]:
    nodes = tuple(variable.node for variable in variables)
    extents = tuple(shape_i(node, axis=axis) for node in nodes for axis in range(node.ndim))
    if not extents:
        return [() for _ in nodes]
    run = _recipe(Graph((), extents, nodes), variables).compiled(session).run
    sizes = iter([int(np.array(extent)) for extent in run((), False)[0]])
    return [tuple(next(sizes) for _ in range(node.ndim)) for node in nodes]


def _assign(session: Session, variables: Variables, values: Sequence[NDArray[Any]]) -> None:
    if len(variables) == 1:
        variables[0].set_value(values[0])
        return
    nodes = tuple(variable.node for variable in variables)
    inputs: tuple[Node, ...] = tuple(input_(type=node.type) for node in nodes)
    graph = Graph(inputs, (), nodes, tuple(enumerate(inputs)))
    program = _recipe(graph, variables).compiled(session)
    program.run([np.array(value, order="C") for value in values], False)


def _recipe(graph: Graph, variables: Variables) -> Recipe:
    """A graph over variables as something to compile; its inputs come as they must be."""
    return Recipe(
        graph=graph,
        slots=(),
        shared=tuple(variables),
        layout=Layout("list"),
        mode=get_mode("FAST_COMPILE"),
        prints=(),
        name="state",
        place=__name__,
    )
