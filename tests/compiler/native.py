"""Compiling in tests: nodes to a native function in one call, and what numpy says of the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exprd_compiler.backends.executable import Executable
from exprd_compiler.driver import compile_artifact, link
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.options import CompileOptions


def leaf(rank: int, dtype: str = "float64") -> Node:
    """An input of unknown extents."""
    return input_(type=TensorType(dtype, (None,) * rank))


def native(inputs: Sequence[Node], *outputs: Node, **options: Any) -> Executable:
    """The nodes as native code of this process."""
    graph = Graph(tuple(inputs), outputs)
    return link(compile_artifact(graph, CompileOptions(**options)))


def numpys(inputs: Sequence[Node], outputs: Sequence[Node], values: Sequence[Array]) -> list[Array]:
    """The same nodes evaluated by numpy."""
    return evaluate(Graph(tuple(inputs), tuple(outputs)), values)[0]
