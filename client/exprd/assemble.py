"""Assembly: inputs, outputs, updates and givens of a `function` call into one graph.

Checks everything that can be known before a compiler sees the graph; each refusal names the
variable and the user's line that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from exprd.buffers import Buffer
from exprd.convert import as_node, is_mapping, is_sequence, node_of
from exprd.io import In, Out, check_update, described
from exprd.origin import Origin, origin_of
from exprd.shared import TensorSharedVariable, shared_from_buffer, shared_of
from exprd.types import filter_value
from exprd_compiler.errors import (
    CallError,
    DTypeError,
    GraphError,
    MissingInput,
    ShapeError,
)
from exprd_compiler.ir.graph import Graph, substitute, toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import const, input_, shared

__all__ = ["Assembled", "assemble", "numbered", "pairs"]

Pairs: TypeAlias = Mapping[Any, Any] | Iterable[Any]

_NOTHING: Final[Mapping[In, TensorSharedVariable]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A graph over the user's own nodes, and the shared variables of its slots."""

    graph: Graph
    shared: tuple[TensorSharedVariable, ...]
    unused: tuple[Node, ...]


def assemble(
    inputs: Sequence[In],
    outputs: Sequence[object],
    updates: Pairs | None,
    givens: Pairs | None,
    *,
    kept: Mapping[In, TensorSharedVariable] = _NOTHING,
    default_updates: bool | Sequence[object] = True,
    strict: bool = True,
) -> Assembled:
    """The graph of a function; the inputs in `kept` are read from, and updated in, variables.

    Raises:
        GraphError: and its kinds, for whatever does not fit together.
        CallError: an update of something that is not a shared variable.
    """
    asked = [_output(item) for item in outputs]
    changes = _updates(updates)
    replace = _givens(givens, {entry.variable.node for entry in inputs}, strict)
    _keep(kept, replace, changes)
    inputs = [entry for entry in inputs if entry not in kept]
    leaves = _leaves(inputs, replace)
    news = list(changes.items())
    news += _defaults([*asked, *(new for _, new in news)], replace, changes, default_updates)
    roots = substitute([*asked, *(new for _, new in news)], replace)
    results, values = roots[: len(asked)], roots[len(asked) :]
    for (target, _), value in zip(news, values, strict=True):
        check_update(target.node.type, value, repr(target))
    order = toposort(roots)
    _check_missing(order, leaves)
    slots = _slots(order, [target for target, _ in news])
    place = {variable.node: slot for slot, variable in enumerate(slots)}
    used = set(order)
    graph = Graph(
        inputs=leaves,
        outputs=results,
        shared=tuple(variable.node for variable in slots),
        updates=tuple(
            (place[target.node], value) for (target, _), value in zip(news, values, strict=True)
        ),
    )
    unused = tuple(
        entry.variable.node for entry, leaf in zip(inputs, leaves, strict=True) if leaf not in used
    )
    return Assembled(graph=graph, shared=slots, unused=unused)


def numbered(graph: Graph) -> tuple[Graph, list[Origin | None]]:
    """The same graph with positions as origins, and the user's own origins by position."""
    order = graph.nodes()
    new: dict[Node, Node] = {}
    for position, node in enumerate(order):
        copy = Node(node.op, tuple([new[x] for x in node.inputs]), node.attrs, position)
        copy.name = node.name
        new[node] = copy
    renumbered = Graph(
        tuple(new[x] for x in graph.inputs),
        tuple(new[x] for x in graph.outputs),
        tuple(new[x] for x in graph.shared),
        tuple((slot, new[x]) for slot, x in graph.updates),
    )
    return renumbered, [origin_of(node) for node in order]


# ---- outputs, givens, updates
def _output(item: object) -> Node:
    value = item.variable if isinstance(item, Out) else item
    if isinstance(value, Buffer):
        raise GraphError("a buffer is no output", hint="use it in givens, or as a value of a call")
    return as_node(value)


def pairs(given: Pairs | None, what: str) -> list[tuple[object, object]]:
    """The pairs of a mapping or a list.

    Raises:
        CallError: an item is no pair.
    """
    if given is None:
        return []
    items = given.items() if is_mapping(given) else given
    out: list[tuple[object, object]] = []
    for item in items:
        if not is_sequence(item) or len(item) != 2:
            raise CallError(f"{what} holds pairs (variable, expression), not {item!r}")
        out.append((item[0], item[1]))
    return out


def _givens(given: Pairs | None, inputs: set[Node], strict: bool) -> dict[Node, Node]:
    replace: dict[Node, Node] = {}
    for old, new in pairs(given, "givens"):
        node = node_of(old)
        if node is None:
            raise CallError(f"givens replace variables, not {old!r}")
        if node in inputs:
            raise GraphError(
                f"givens would replace {described(node)}, but this variable is an input",
                hint="leave it out of the inputs, or out of the givens",
            )
        if node in replace:
            raise GraphError(f"givens replace {described(node)} twice")
        replace[node] = _replacement(node, new, strict)
    return replace


def _replacement(old: Node, new: object, strict: bool) -> Node:
    if isinstance(new, Buffer):
        _check_fit(old, TensorType(new.dtype, new.shape), f"the buffer {new!r}")
        return shared_from_buffer(new, old.type).node
    node = node_of(new)
    if node is None:
        if strict:
            return const(filter_value(old.type, new))
        node = as_node(new)
    if strict:
        _check_fit(old, node.type, described(node))
    return node


def _check_fit(old: Node, new: TensorType, what: str) -> None:
    if old.dtype != new.dtype:
        raise DTypeError(
            f"givens replace {described(old)} by {what}", hint=f"cast the new one to {old.dtype}"
        )
    if not old.type.accepts(new):
        raise ShapeError(
            f"givens replace {described(old)} by {what}",
            hint="the new one needs the same rank and broadcast pattern",
        )


def _updates(given: Pairs | None) -> dict[TensorSharedVariable, Node]:
    changes: dict[TensorSharedVariable, Node] = {}
    for target, value in pairs(given, "updates"):
        if not isinstance(target, TensorSharedVariable):
            raise CallError(
                f"an update target must be a SharedVariable, not {target!r}",
                hint="make it with exprd.shared(value)",
            )
        if target in changes:
            raise GraphError(f"the shared variable {target!r} already has an update expression")
        changes[target] = _new_value(target.node.type, value)
    return changes


def _new_value(kind: TensorType, value: object) -> Node:
    if isinstance(value, Buffer):
        return shared_from_buffer(value, TensorType(value.dtype, (None,) * value.ndim)).node
    node = node_of(value)
    return const(filter_value(kind, value)) if node is None else node


def _defaults(
    roots: Sequence[Node],
    replace: Mapping[Node, Node],
    changes: Mapping[TensorSharedVariable, Node],
    wanted: bool | Sequence[object],
) -> list[tuple[TensorSharedVariable, Node]]:
    """The default updates of the shared variables that the graph reads, and those read in turn."""
    found: list[tuple[TensorSharedVariable, Node]] = []
    if wanted is False:
        return found
    seen = set(changes)
    todo: list[Node] = list(roots)
    while todo:
        order = toposort(substitute(todo, replace))
        todo = list[Node]()
        for variable in map(shared_of, order):
            update = None if variable is None else variable.default_update
            if variable is None or update is None or variable in seen:
                continue
            if not isinstance(wanted, bool) and variable in wanted:
                continue
            seen.add(variable)
            found.append((variable, update.node))
            todo.append(update.node)
    return found


def _keep(
    kept: Mapping[In, TensorSharedVariable],
    replace: dict[Node, Node],
    changes: dict[TensorSharedVariable, Node],
) -> None:
    """Puts the variables of inputs in their places, and their updates among the others."""
    places = {entry.variable.node: variable.node for entry, variable in kept.items()}
    for old, new in replace.items():
        replace[old] = substitute([new], places)[0]
    replace.update(places)
    for entry, variable in kept.items():
        if entry.update is None:
            continue
        if variable in changes:
            raise GraphError(f"{entry!r} and updates= both assign {variable!r}")
        changes[variable] = entry.update.node


# ---- leaves
def _leaves(inputs: Sequence[In], replace: dict[Node, Node]) -> tuple[Node, ...]:
    """A leaf for each input; an input in the middle of an expression is cut off there."""
    out: list[Node] = []
    for entry in inputs:
        node = entry.variable.node
        if node.op is not input_:
            leaf = input_(type=node.type)
            leaf.name, leaf.origin = node.name, node.origin
            replace[node] = node = leaf
        out.append(node)
    return tuple(out)


def _check_missing(order: Iterable[Node], leaves: Sequence[Node]) -> None:
    given = set(leaves)
    for node in order:
        if node.op is input_ and node not in given:
            raise MissingInput(
                f"the outputs or updates depend on {described(node)}, which is no input",
                hint="add it to the inputs, or give it a value in givens",
            )


def _slots(
    order: Iterable[Node], targets: Iterable[TensorSharedVariable]
) -> tuple[TensorSharedVariable, ...]:
    found: dict[TensorSharedVariable, None] = {}
    for node in order:
        if node.op is shared:
            variable = shared_of(node)
            if variable is None:
                raise GraphError(f"{described(node)} has no value", hint="use exprd.shared")
            found[variable] = None
    return tuple({**found, **dict.fromkeys(targets)})
