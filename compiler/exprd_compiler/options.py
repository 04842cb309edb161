"""CompileOptions: everything that a request may choose about a compilation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from exprd_compiler.errors import GraphError

TARGETS = ("cpu", "reference")
LEVELS = ("none", "fast_compile", "fast_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """How a graph is compiled.

    Attributes:
        target: "cpu" for native code, "reference" for numpy, node by node.
        level: how far the graph is rewritten.
        excluding: names of rewrites and passes that are left out.
        machine: name of the code level ("v3", "v4", ...); the best of this machine when empty.
    """

    target: str = "cpu"
    level: str = "fast_run"
    excluding: tuple[str, ...] = ()
    machine: str = ""

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise GraphError(f"unknown target {self.target!r}", hint=f"one of {', '.join(TARGETS)}")
        if self.level not in LEVELS:
            raise GraphError(f"unknown level {self.level!r}", hint=f"one of {', '.join(LEVELS)}")

    def to_json(self) -> str:
        """As text, sorted, so that equal options are equal texts."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> CompileOptions:
        """Options from `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        fields["excluding"] = tuple(fields["excluding"])
        return CompileOptions(**fields)
