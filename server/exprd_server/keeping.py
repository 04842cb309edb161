"""Kept functions: compiled functions as bytes that outlive the process.

Invariant: what is kept is the graph and everything that decides on its native code, never the
code itself; a revived function is compiled again (the object cache makes that a lookup), and its
handle, a hash of all of it, must come out the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import DamagedFile, GraphError, UnsupportedVersion
from exprd_compiler.ops.table import OP_SET_VERSION
from exprd_server.stores.faults import plain
from exprd_server.values import CompileChoices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exprd_server.outline import Outline

KIND: Final = "function"  # of entries in a store
UNREADABLE: Final = (GraphError, UnsupportedVersion)  # of a text that is not what was kept
_FORMAT: Final = 1
_END: Final = b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFunction:
    """A function apart from memory.

    Attributes:
        text: the graph, with names and origins.
        bindings: uuids of the variables of its shared slots.
        choices: mode, target and options of its compilation.
        name: for listings.
        digest: of the graph.
        holders: ids of the clients that hold it.
    """

    text: bytes
    bindings: tuple[str, ...]
    choices: CompileChoices
    name: str
    digest: bytes
    holders: frozenset[str]

    def to_bytes(self) -> bytes:
        """One line of facts as JSON, then the text of the graph."""
        facts = {
            "format": _FORMAT,
            "op_set": OP_SET_VERSION,
            "bindings": self.bindings,
            "choices": asdict(self.choices),
            "name": self.name,
            "digest": self.digest.hex(),
            "holders": sorted(self.holders),
        }
        return json.dumps(facts).encode() + _END + self.text


def kept_of(
    outline: Outline,
    *,
    bindings: Sequence[str],
    choices: CompileChoices,
    name: str,
    holders: frozenset[str],
) -> KeptFunction:
    """A function to be kept."""
    return KeptFunction(
        text=outline.text(),
        bindings=tuple(bindings),
        choices=choices,
        name=name,
        digest=outline.digest,
        holders=holders,
    )


def read_kept(handle: str, data: bytes) -> KeptFunction:
    """The function of bytes that `to_bytes` wrote.

    Raises:
        DamagedFile: these are no such bytes, or those of another version.
    """
    head, _, text = data.partition(_END)
    try:
        facts = json.loads(head)
        if facts["format"] != _FORMAT:
            raise ValueError(f"format {facts['format']}")
        return KeptFunction(
            text=text,
            bindings=tuple(map(str, facts["bindings"])),
            choices=_choices(facts["choices"]),
            name=str(facts["name"]),
            digest=bytes.fromhex(facts["digest"]),
            holders=frozenset(map(str, facts["holders"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(handle, str(error)) from error


def damaged(handle: str, reason: str) -> DamagedFile:
    """The error of a kept function that cannot be read."""
    return DamagedFile(
        f"the kept function {handle} cannot be read: {plain(reason)}",
        hint="compile it again; `exprd state check` looks at the rest",
        fields={"handle": handle},
    )


def _choices(facts: dict[str, Any]) -> CompileChoices:
    settings = tuple((str(key), str(value)) for key, value in facts["settings"])
    return CompileChoices(
        mode=facts["mode"],
        target=facts["target"],
        including=tuple(facts["including"]),
        excluding=tuple(facts["excluding"]),
        allow_unsafe=facts["allow_unsafe"],
        settings=settings,
        durability=facts.get("durability", ""),
    )
