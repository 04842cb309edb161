"""Files: `save` and `load`, and graphs as bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exprd.compiled import Function
from exprd.convert import is_sequence, node_of
from exprd.encode import encode_bundle
from exprd.formats.safetensors import is_safetensors, read_safetensors
from exprd.formats.torch_file import is_torch, read_torch
from exprd.origin import mark
from exprd.saving.archive import is_archive, read_archive, write_archive
from exprd.saving.tree import from_archive, to_archive
from exprd.saving.wire import graph_of, load_graph_bytes
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import CallError, DamagedFile
from exprd_compiler.ir.graph import Graph

__all__ = ["LoadedGraph", "dump_graph", "load", "load_graph", "save"]

# Which content is whose, and how it is read; the first that knows it.
_READERS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Any]], ...]] = (
    (is_archive, lambda data: from_archive(read_archive(data))),
    (is_torch, read_torch),
    (is_safetensors, read_safetensors),
)


def save(value: object, path: str | os.PathLike[str]) -> None:
    """Writes a value to a file, whole or not at all.

    Args:
        value: arrays, expressions, shared variables, functions, numbers, strings, and lists,
            tuples and dicts of these. What is met twice is written once.
        path: of the file, with any ending.

    Raises:
        CallError: something in the value cannot be saved.
        OSError: the file cannot be written.
    """
    write_archive(path, to_archive(value))


def load(path: str | os.PathLike[str]) -> Any:
    """The value in a file of `save`; functions are compiled in the session in use.

    Files of `torch.save` and of safetensors are known by their content: tensors come as arrays.

    Raises:
        DamagedFile: the file is not what was written, or of no format that is known here.
        UnsupportedVersion: a later version of exprd wrote it.
        OSError: the file cannot be read.
    """
    data = Path(path).read_bytes()
    read = next((read for knows, read in _READERS if knows(data)), None)
    if read is None:
        raise DamagedFile(f"{os.fspath(path)} is no file of exprd.save, torch.save or safetensors")
    return read(data)


def dump_graph(value: object) -> bytes:
    """The graph of a function, of an expression, or of a list of them, as bytes.

    The bytes are the message `GraphBundle` of the protocol: without the values of shared variables.
    """
    graph = value.graph if isinstance(value, Function) else _expressions(value)
    return encode_bundle(graph).SerializeToString(deterministic=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGraph:
    """The variables of a graph.

    Attributes:
        inputs: what it computes from.
        outputs: what it computes.
        shared: its shared variables, as inputs without a value: give them one with `clone`.
        updates: pairs (one of `shared`, its new value).
    """

    inputs: tuple[TensorVariable, ...]
    outputs: tuple[TensorVariable, ...]
    shared: tuple[TensorVariable, ...]
    updates: tuple[tuple[TensorVariable, TensorVariable], ...]


def load_graph(data: bytes) -> LoadedGraph:
    """The variables of the graph that `dump_graph` wrote.

    Raises:
        GraphError: these are not the bytes of a graph.
        UnsupportedVersion: it has ops that are not known here.
    """
    graph, nodes = load_graph_bytes(data)
    for node in nodes:
        node.origin = None  # the position on the wire
    mark(nodes)
    slots = tuple(map(variable_of, graph.shared))
    return LoadedGraph(
        inputs=tuple(map(variable_of, graph.inputs)),
        outputs=tuple(map(variable_of, graph.outputs)),
        shared=slots,
        updates=tuple((slots[slot], variable_of(new)) for slot, new in graph.updates),
    )


def _expressions(value: object) -> Graph:
    items: Sequence[object] = value if is_sequence(value) else [value]
    roots = [node_of(item) for item in items]
    if None in roots:
        raise CallError(f"no graph can be made of {type(value).__name__}", op="dump_graph")
    return graph_of([root for root in roots if root is not None])
