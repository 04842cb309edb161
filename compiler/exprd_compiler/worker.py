"""The worker process: compiles graphs, and evaluates them node by node, for a server.

    python -m exprd_compiler.worker

A message is two frames, a JSON header and a body of bytes; a frame is its length in 8 little-endian
bytes, then its bytes. Requests come on standard input, answers go to standard output:

    {"task": "compile", "options": CompileOptions as text, "cache": directory or ""}, graph text
        -> {"ok": true}, artifact bytes
    {"task": "evaluate", "text": its size}, graph text then one .npy per input and shared variable
        -> {"ok": true, "arrays": count, "met": counts of events},
           one .npy per output, then per new value
    {"task": "texts", "options": as above}, graph text
        -> {"ok": true, "texts": the stages of the graph by name}, nothing
    anything that fails
        -> {"ok": false, "error": {kind, message, op, nodes, hint, fields}}, nothing

Nothing but arrays, text and JSON is ever read; nothing else writes to standard output.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np

from exprd_compiler.driver import Artifact, compile_artifact, llvm_ir
from exprd_compiler.errors import CompilerBug, ExprdError, GraphError
from exprd_compiler.interpret import evaluate
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.half import read_array
from exprd_compiler.ir.node import Array
from exprd_compiler.ir.text import parse_graph, print_graph
from exprd_compiler.kernel.plan import make_plan
from exprd_compiler.kernel.text import print_plan
from exprd_compiler.ops.table import find_op
from exprd_compiler.options import CompileOptions
from exprd_compiler.passes.levels import optimize

# From header and body of a request to those of its answer.
Task: TypeAlias = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]

_LENGTH: Final = struct.Struct("<Q")


class _Ended(Exception):
    """The server closed the pipe."""


def main(tasks: Mapping[str, Task]) -> None:
    """Answer requests until the pipe ends.

    Args:
        tasks: what may be asked for, by name.
    """
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while True:
        try:
            header, body = _frame(source), _frame(source)
        except _Ended:
            return
        answer, payload = _answered(tasks, header, body)
        for part in (json.dumps(answer).encode(), payload):
            target.write(_LENGTH.pack(len(part)))
            target.write(part)
        target.flush()


def _frame(source: BinaryIO) -> bytes:
    (length,) = _LENGTH.unpack(_read(source, _LENGTH.size))
    return _read(source, length)


def _read(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise _Ended
    return data


def _answered(
    tasks: Mapping[str, Task], header: bytes, body: bytes
) -> tuple[dict[str, Any], bytes]:
    """The answer to a request, whatever it is and whatever becomes of it."""
    try:
        request = json.loads(header)
        return tasks[request["task"]](request, body)
    except ExprdError as error:
        return {"ok": False, "error": _facts(error)}, b""
    except MemoryError:
        return {"ok": False, "error": {"kind": "MemoryError", "message": "out of memory"}}, b""
    except Exception as error:  # ours; the next request may fare better
        traceback.print_exc(file=sys.stderr)
        return {"ok": False, "error": _facts(CompilerBug(f"{type(error).__name__}: {error}"))}, b""


def _facts(error: ExprdError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "op": error.op,
        "nodes": list(error.nodes),
        "hint": error.hint,
        "fields": error.fields,
    }


def compiled(header: dict[str, Any], body: bytes) -> Artifact:
    """What a request to compile wants."""
    graph = parse_graph(body.decode(), find_op)
    options = CompileOptions.from_json(header["options"])
    cache = Path(header["cache"]) if header.get("cache") else None
    return compile_artifact(graph, options, cache)


def _compile(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    return {"ok": True}, compiled(header, body).to_bytes()


def _evaluate(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    size = int(header["text"])
    graph = _parsed(body[:size])
    values = unpack(body[size:], len(graph.leaves))
    count = len(graph.inputs)
    met: list[EventCount] = []
    outputs, updates = evaluate(graph, values[:count], values[count:], met)
    arrays = [*outputs, *updates]
    return {"ok": True, "arrays": len(arrays), "met": [asdict(one) for one in met]}, pack(arrays)


@lru_cache(maxsize=16)
def _parsed(text: bytes) -> Graph:
    """A graph that is run again and again; to read it takes longer than most runs."""
    return parse_graph(text.decode(), find_op)


def _texts(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    graph = parse_graph(body.decode(), find_op)
    return {"ok": True, "texts": texts_of(graph, CompileOptions.from_json(header["options"]))}, b""


def texts_of(graph: Graph, options: CompileOptions) -> dict[str, str]:
    """The stages of a graph as text: as built, as optimized, its plan, its LLVM IR."""
    optimized = optimize(graph, level=options.level, excluding=options.excluding)
    return {
        "graph": print_graph(graph),
        "optimized": print_graph(optimized),
        "plan": print_plan(make_plan(optimized)),
        "llvm": llvm_ir(graph, options),
    }


TASKS: Final[Mapping[str, Task]] = {"compile": _compile, "evaluate": _evaluate, "texts": _texts}


def pack(arrays: Iterable[Array]) -> bytes:
    """Arrays one after the other in numpy's file format."""
    out = io.BytesIO()
    for array in arrays:
        np.save(out, array, allow_pickle=False)
    return out.getvalue()


def unpack(data: bytes, count: int) -> list[Array]:
    """Arrays from `pack`.

    Raises:
        GraphError: the bytes are not that many arrays.
    """
    source = io.BytesIO(data)
    try:
        return [read_array(source) for _ in range(count)]
    except (ValueError, EOFError) as error:
        raise GraphError("the arrays of a request cannot be read") from error


if __name__ == "__main__":
    main(TASKS)
