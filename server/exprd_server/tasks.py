"""The worker process of a server: what the compiler's worker does, and what takes knowing the wire.

    python -m exprd_server.tasks

Requests and answers are those of `exprd_compiler.worker`, and:

    {"task": "read", "limits": by name}, a CompileRequest with graph and gradients
        -> {"ok": true, "outline": facts}, text of the graph
    {"task": "outline"}, graph text
        -> {"ok": true, "outline": facts}, nothing
    {"task": "compile", as there}, graph text
        -> {"ok": true, "plan": size}, the plan as bytes of the wire, then the artifact without it
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exprd_compiler import worker
from exprd_compiler.driver import Artifact
from exprd_server.outline import outline_of, outline_of_text, text_of
from exprd_server.plans import plan_bytes, plan_of
from exprd_server.settings import Limits


def _read(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    # Most workers never read a graph of the wire, and start faster without what that takes.
    from exprd_server.decode import read_graph

    graph = read_graph(body, Limits(**header["limits"]))
    text = text_of(graph)
    return {"ok": True, "outline": outline_of(graph, text).facts()}, text


def _outline(_header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    return {"ok": True, "outline": outline_of_text(body).facts()}, b""


def _compile(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    artifact: Artifact = worker.compiled(header, body)
    plan = plan_bytes(plan_of(artifact.listing))
    return {"ok": True, "plan": len(plan)}, plan + replace(artifact, listing=()).to_bytes()


TASKS = {**worker.TASKS, "read": _read, "outline": _outline, "compile": _compile}

if __name__ == "__main__":
    worker.main(TASKS)
