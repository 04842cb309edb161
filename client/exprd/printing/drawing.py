"""Drawings: `pydotprint` writes an expression or a compiled function as a picture.

The picture is described in the language of Graphviz here; its program `dot` lays it out.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exprd.convert import is_mapping
from exprd.naming import node_text, op_text, type_text
from exprd.printing.roots import Roots, roots_of
from exprd_compiler.errors import CallError, MissingExtra
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.node import Node
from exprd_compiler.ops.leaves import constant, input_, shared

__all__ = ["dot_source", "pydotprint", "pydotprint_variables"]

COLORS: Final[Mapping[str, str]] = MappingProxyType(
    {"Gemm": "yellow", "Gemv": "yellow", "Dot": "yellow", "IfElse": "magenta", "Scan": "cyan"}
)
_LEAVES: Final = {input_: "limegreen", shared: "cyan", constant: "SpringGreen"}
_OUTPUT: Final = "dodgerblue"
_SECONDS: Final = 120


def pydotprint(
    fct: object,
    outfile: str | Path | None = None,
    compact: bool = True,
    format: str = "png",
    with_ids: bool = False,
    high_contrast: bool = True,
    cond_highlight: object = None,
    colorCodes: Mapping[str, str] | None = None,  # noqa: N803 - Theano's name
    max_label_size: int = 70,
    scan_graphs: bool = False,
    var_with_name_simple: bool = False,
    print_output_file: bool = True,
    return_image: bool = False,
) -> bytes | None:
    """Draws an expression, a list of them, or the optimized graph of a function.

    Args:
        fct: what is drawn.
        outfile: file to write; "exprd.<format>" by default.
        compact: leave variables without a name out and draw their edges only.
        format: "png", "svg", "pdf", "dot" (no layout), or another one that Graphviz writes.
        with_ids: add each node's number to its label.
        high_contrast: fill shapes with their color instead of drawing their outline in it.
        cond_highlight: accepted for Theano's sake.
        colorCodes: color by class name of ops, instead of the usual ones.
        max_label_size: letters of a label; longer ones are cut in the middle.
        scan_graphs: accepted for Theano's sake.
        var_with_name_simple: label variables that have a name with the name alone.
        print_output_file: say where the picture was written.
        return_image: give the picture instead of writing it.

    Raises:
        MissingExtra: Graphviz is not installed.
        CallError: there is nothing to draw, or Graphviz does not know the format.
    """
    if colorCodes is not None and not is_mapping(colorCodes):
        raise CallError("colorCodes is a mapping from class names to colors", op="pydotprint")
    source = dot_source(
        fct,
        compact=compact,
        with_ids=with_ids,
        filled=high_contrast,
        colors=colorCodes or COLORS,
        longest=max_label_size,
        types=not var_with_name_simple,
    )
    picture = source.encode() if format == "dot" else _laid_out(source, format)
    if return_image:
        return picture
    path = Path(outfile or f"exprd.{format}")
    path.write_bytes(picture)
    if print_output_file:
        print(f"The picture is in {path}")  # noqa: T201 - what the user asked for
    return None


pydotprint_variables: Final = pydotprint


def _laid_out(source: str, form: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise MissingExtra(
            "the program dot of Graphviz draws pictures, and is not installed",
            hint="install the package graphviz of your system, or use format='dot'",
        )
    done = subprocess.run(
        [program, f"-T{form}"], input=source.encode(), capture_output=True, timeout=_SECONDS
    )
    if done.returncode:
        raise CallError(f"dot failed: {done.stderr.decode(errors='replace').strip()[:500]}")
    return done.stdout


def dot_source(
    obj: object,
    *,
    compact: bool = True,
    with_ids: bool = False,
    filled: bool = True,
    colors: Mapping[str, str] = COLORS,
    longest: int = 70,
    types: bool = True,
) -> str:
    """The drawing in Graphviz's language; the arguments are those of `pydotprint`."""
    drawing = _Drawing(roots_of(obj), compact, with_ids, filled, colors, longest, types)
    body = "".join(f"  {line};\n" for line in drawing.lines())
    return f"digraph exprd {{\n{body}}}\n"


class _Drawing:
    """The statements of one drawing: an ellipse for each op, a box for each variable."""

    def __init__(self, roots: Roots, *rest: Any) -> None:
        self.roots = roots
        self.compact, self.with_ids, self.filled, self.colors, self.longest, self.types = rest
        self.order = toposort(roots.nodes)
        self.number = {node: i for i, node in enumerate(self.order)}

    def lines(self) -> Iterator[str]:
        """Shapes and edges, inputs first."""
        for node in self.order:
            if node.inputs:
                yield self._op(node)
            if self._has_box(node):
                yield self._box(node)
                if node.inputs:
                    yield f"n{self.number[node]} -> v{self.number[node]}"
            for place, child in enumerate(node.inputs):
                label = f"{place} " if len(node.inputs) > 1 else ""
                label = self._label(f"{label}{type_text(child.type)}")
                yield f"{self._source(child)} -> n{self.number[node]} [label={label}]"

    def _has_box(self, node: Node) -> bool:
        named = node.name is not None or not self.compact
        return not node.inputs or named or node in self.roots.nodes

    def _source(self, node: Node) -> str:
        return f"{'v' if self._has_box(node) else 'n'}{self.number[node]}"

    def _op(self, node: Node) -> str:
        color = next((c for name, c in self.colors.items() if name in node.op.theano), "")
        return self._shape(f"n{self.number[node]}", "ellipse", op_text(node), color, node)

    def _box(self, node: Node) -> str:
        text = node.name or (node_text(node) if not node.inputs else "")
        if self.types or not text:
            text = f"{text} {type_text(node.type)}".strip()
        color = _OUTPUT if node in self.roots.nodes else _LEAVES.get(node.op, "")
        return self._shape(f"v{self.number[node]}", "box", text, color, node)

    def _shape(self, name: str, shape: str, text: str, color: str, node: Node) -> str:
        if self.with_ids:
            text = f"{text} id={self.number[node]}"
        look = ""
        if color:
            look = f", style=filled, fillcolor={color}" if self.filled else f", color={color}"
        return f"{name} [shape={shape}, label={self._label(text)}{look}]"

    def _label(self, text: str) -> str:
        if len(text) > self.longest:
            half = max(1, (self.longest - 2) // 2)
            text = f"{text[:half]}..{text[-half:]}"
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{escaped}"'
