"""Published versions as values, and as bytes for a store: JSON, which can be extended later.

Invariant: what was written by an earlier version of this module is read by this one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.errors import DamagedFile
from exprd_compiler.ir.type import TensorType
from exprd_server.values import CompileChoices, FunctionSignature, Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What bytes that are no version at all make of a reader.
_ODD: Final = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishCall:
    """A wish to publish a function.

    Attributes:
        client_id: who publishes.
        name: what callers look up.
        handle: of a function that is compiled.
        form: how it is called, as bytes that only callers read.
        inputs, outputs: how many of each the form names.
        version: 0 for the next one; otherwise beyond every earlier one.
        labels: are moved to the new version.
        doc: for people.
    """

    client_id: str
    name: str
    handle: str
    form: bytes = b""
    inputs: int = 0
    outputs: int = 0
    version: int = 0
    labels: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One published version, with all that is needed to compile it again.

    Attributes:
        graph: text of the graph.
        created: seconds since 1970.
    """

    name: str
    version: int
    handle: str
    doc: str
    form: bytes
    publisher: str
    created: float
    graph: str
    bindings: tuple[str, ...]
    choices: CompileChoices
    signature: FunctionSignature

    @property
    def holder(self) -> str:
        """The name under which the version holds its function; no client has an @."""
        return f"@{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedInfo:
    """A version as callers see it, with the labels that point at it."""

    version: Version
    labels: tuple[str, ...]


def name_bytes(last: int, labels: Mapping[str, Sequence[int]]) -> bytes:
    """A name without its versions: the last number given out, and where labels point."""
    return _bytes({"last": last, "labels": {label: list(past) for label, past in labels.items()}})


def read_name(data: bytes) -> tuple[int, dict[str, list[int]]]:
    """What `name_bytes` wrote.

    Raises:
        DamagedFile: these are other bytes.
    """
    try:
        facts = json.loads(data)
        return int(facts["last"]), {str(k): [*map(int, v)] for k, v in facts["labels"].items()}
    except _ODD as error:
        raise _damaged(error) from error


def version_bytes(version: Version) -> bytes:
    """A published version."""
    signature = version.signature
    return _bytes(
        {
            "name": version.name,
            "version": version.version,
            "handle": version.handle,
            "doc": version.doc,
            "form": base64.b64encode(version.form).decode(),
            "publisher": version.publisher,
            "created": version.created,
            "graph": version.graph,
            "bindings": version.bindings,
            "choices": asdict(version.choices),
            "signature": {
                "inputs": [_parameter(p) for p in signature.inputs],
                "outputs": [_parameter(p) for p in signature.outputs],
                "shared": [_parameter(p) for p in signature.shared],
                "updated": signature.updated,
            },
        }
    )


def read_version(data: bytes) -> Version:
    """What `version_bytes` wrote.

    Raises:
        DamagedFile: these are other bytes.
    """
    try:
        return _version(json.loads(data))
    except _ODD as error:
        raise _damaged(error) from error


def _version(facts: Mapping[str, Any]) -> Version:
    signature = facts["signature"]
    return Version(
        name=facts["name"],
        version=facts["version"],
        handle=facts["handle"],
        doc=facts["doc"],
        form=base64.b64decode(facts["form"]),
        publisher=facts["publisher"],
        created=facts["created"],
        graph=facts["graph"],
        bindings=tuple(facts["bindings"]),
        choices=_choices(facts["choices"]),
        signature=FunctionSignature(
            inputs=_parameters(signature["inputs"]),
            outputs=_parameters(signature["outputs"]),
            shared=_parameters(signature["shared"]),
            updated=tuple(signature["updated"]),
        ),
    )


def _damaged(error: Exception) -> DamagedFile:
    return DamagedFile(
        f"a published function cannot be read: {type(error).__name__}",
        hint="`exprd state check` looks at the rest of the state",
    )


def _bytes(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


def _choices(facts: Mapping[str, Any]) -> CompileChoices:
    return CompileChoices(
        mode=facts["mode"],
        target=facts["target"],
        including=tuple(facts["including"]),
        excluding=tuple(facts["excluding"]),
        allow_unsafe=facts["allow_unsafe"],
        settings=tuple((key, value) for key, value in facts["settings"]),
        durability=facts.get("durability", ""),
    )


def _parameter(value: Parameter) -> dict[str, Any]:
    return {
        "name": value.name,
        "dtype": value.type.dtype,
        "shape": value.type.shape,
        "variable": value.variable,
    }


def _parameters(rows: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name=row["name"],
            type=TensorType(row["dtype"], tuple(row["shape"])),
            variable=row["variable"],
        )
        for row in rows
    )
