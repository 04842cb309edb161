"""Content hashes: of graphs, of what is compiled, of functions.

Invariant: names and places of origin never enter a hash, variables only that of a
function's handle; so native code is shared by all functions of equal content.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from exprd_compiler.ir.text import print_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_compiler.ir.graph import Graph
    from exprd_server.values import CompileChoices

_SEPARATOR = b"\0"


def graph_digest(graph: Graph) -> bytes:
    """The hash of what a graph means, whoever built it."""
    return sha256(print_graph(graph, names=False).encode()).digest()


def content_key(digest: bytes, choices: CompileChoices) -> str:
    """The hash of a graph and everything that decides on its native code."""
    return sha256(_SEPARATOR.join((digest, repr(choices).encode()))).hexdigest()


def function_handle(content: str, bindings: Sequence[str], durability: str = "") -> str:
    """The handle of compiled content that is bound to variables, and to a policy unless it is "".

    A policy has an = or is a word, and so is no uuid.
    """
    parts = [content, *bindings, *([durability] if durability else [])]
    return f"fn-{sha256(_SEPARATOR.join(part.encode() for part in parts)).hexdigest()[:40]}"
