"""Print: values of a running function, written out by the client that calls it.

The value of each `Print` in a graph comes back as a further output. What a print asks of a value
is computed where the function runs if that is smaller than the value: its shape, its maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from exprd.convert import as_node
from exprd.operators import Operators
from exprd.origin import origin_of
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.observation import print_

__all__ = ["Print", "Printed", "with_prints"]

# What is computed in the graph rather than from the value.
_COMPUTED: Final = ("shape", "min", "max", "mean", "sum", "std", "var", "any", "all")
_STATIC: Final[Mapping[str, Callable[[Node], object]]] = MappingProxyType(
    {"dtype": lambda node: node.dtype, "ndim": lambda node: node.ndim}
)


class Print:
    """An identity that prints: `Print("message")(x)` is x, and prints it in every call.

    Args:
        message: what each line starts with.
        attrs: attributes or methods of the array to print, "__str__" for the array itself.
        global_fn: called with this object and the array instead of printing.
    """

    __slots__ = ("attrs", "global_fn", "message")

    def __init__(
        self,
        message: str = "",
        attrs: Sequence[str] = ("__str__",),
        global_fn: Callable[[Print, Any], object] | None = None,
    ) -> None:
        self.message, self.attrs, self.global_fn = message, tuple(attrs), global_fn

    def __call__(self, x: object) -> TensorVariable:
        """The variable x, printed whenever it is computed."""
        node = print_(as_node(x), message=self.message, attrs=self.attrs)
        variable = variable_of(node)
        origin = origin_of(node)
        if origin is not None:
            origin.note = self
        return variable

    def __repr__(self) -> str:
        return f"Print({self.message!r}, attrs={self.attrs!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """One print of a function.

    Attributes:
        printer: what was asked for.
        known: attributes that follow from the type, with their values.
        outputs: attributes in the order of the outputs that were added; "" is the whole value.
    """

    printer: Print
    known: Mapping[str, object]
    outputs: tuple[str, ...]

    def show(self, values: Sequence[Any]) -> None:
        """Prints, from the values of the added outputs."""
        found = {**self.known, **dict(zip(self.outputs, values, strict=True))}
        if self.printer.global_fn is not None:
            self.printer.global_fn(self.printer, found[""])
            return
        for attr in self.printer.attrs:
            print(self.printer.message, attr, "=", _shown(attr, found))  # noqa: T201 - its job


def _shown(attr: str, found: Mapping[str, Any]) -> object:
    if attr in found:
        value = found[attr]
        return tuple(map(int, value)) if attr == "shape" else value
    member = getattr(found[""], attr)
    return member() if callable(member) else member


def with_prints(graph: Graph) -> tuple[Graph, tuple[Printed, ...]]:
    """The graph with what its prints show as further outputs, and the prints in order."""
    prints: list[Printed] = []
    added: list[Node] = []
    for node in graph.nodes():
        if node.op is print_:
            one = _print_of(node)
            prints.append(one)
            added += [_output(node.inputs[0], name) for name in one.outputs]
    return replace(graph, outputs=(*graph.outputs, *added)), tuple(prints)


def _print_of(node: Node) -> Printed:
    origin = origin_of(node)
    note = None if origin is None else origin.note
    printer = note if isinstance(note, Print) else Print(node["message"], node["attrs"])
    known = {name: of(node) for name, of in _STATIC.items()}
    return Printed(printer=printer, known=known, outputs=tuple(_outputs(printer)))


def _outputs(printer: Print) -> Iterator[str]:
    if printer.global_fn is not None:
        yield ""
        return
    yield from (attr for attr in dict.fromkeys(printer.attrs) if attr in _COMPUTED)
    if any(attr not in _COMPUTED and attr not in _STATIC for attr in printer.attrs):
        yield ""


def _output(node: Node, name: str) -> Node:
    if not name:
        return node
    value: Operators = variable_of(node)
    member = getattr(value, name)
    found = member if name == "shape" else member()
    return as_node(found)
