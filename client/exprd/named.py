"""Functions by name, as a transport sees them: wishes, answers, and the methods between.

The form of a call travels as bytes of a `CallForm`; only `exprd.forms` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from exprd_compiler.ir.type import TensorType

__all__ = ["Names", "ParameterInfo", "PublishJob", "PublishedInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishJob:
    """A compiled function to be published; version 0 is the next one."""

    name: str
    handle: str
    form: bytes
    inputs: int
    outputs: int
    version: int
    labels: tuple[str, ...]
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInfo:
    """One position of a signature; `variable` is the uuid of a shared one."""

    name: str
    type: TensorType
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedInfo:
    """One version of a published name.

    Attributes:
        name: what it is looked up by.
        version: ascending from 1.
        labels: those that point at it now.
        handle: of the compiled function.
        doc: what the publisher says of it.
        inputs: of the compiled function.
        outputs: of the compiled function.
        shared: the variables that it reads or updates.
        updated: positions in `shared` that a call assigns.
        publisher: the beginning of the client id of who published it.
        created: seconds since 1970.
        form: how it is called, as bytes.
    """

    name: str
    version: int
    labels: tuple[str, ...]
    handle: str
    doc: str
    inputs: tuple[ParameterInfo, ...]
    outputs: tuple[ParameterInfo, ...]
    shared: tuple[ParameterInfo, ...]
    updated: tuple[int, ...]
    publisher: str
    created: float
    form: bytes

    def __repr__(self) -> str:
        labels = f" ({', '.join(self.labels)})" if self.labels else ""
        return f"<published {self.name} version {self.version}{labels}>"


class Names(Protocol):
    """The published functions of one place. Thread safe."""

    def publish(self, job: PublishJob) -> PublishedInfo:
        """Gives a compiled function a name."""
        ...

    def lookup(self, name: str, version: int, label: str) -> PublishedInfo:
        """A published function, held from now on."""
        ...

    def page(self, prefix: str) -> Sequence[PublishedInfo]:
        """Every published version whose name begins so."""
        ...

    def set_label(self, name: str, label: str, version: int, expected: int) -> PublishedInfo:
        """Points a label at a version, or with 0 back to the one before."""
        ...

    def unpublish(self, name: str, versions: Sequence[int]) -> int:
        """Takes versions away, all when none is named; the count of those there were."""
        ...
