"""Rows: variables as columns of a table, and stored runs."""

from __future__ import annotations

import functools
import json
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.type import TensorType
from exprd_server.store import Incarnation, StoredVariable
from exprd_server.stores.chunks import CHUNK_BYTES
from exprd_server.stores.schema import PATCH_BITS, POSITION_BITS, row_crc
from exprd_server.values import Durability

if TYPE_CHECKING:
    from numpy.typing import NDArray


NUMBERS: Final = 1 << (63 - PATCH_BITS)  # of variables are below
_AXES: Final = 32  # as on the wire
_LARGEST: Final = CHUNK_BYTES << POSITION_BITS  # what the ids of chunks can count


class Head:
    """The columns of a variable that stay as they are, and their part of the row's checksum."""

    __slots__ = ("_crc", "_variable", "columns", "number")

    def __init__(self, number: int, variable: StoredVariable) -> None:
        self.number = number
        self._variable = variable
        kind, type_ = variable.durability.value, _type_text(variable.type)
        self.columns = (number, variable.uuid, variable.name, variable.owner, kind, type_)
        self._crc = zlib.crc32(f"{repr(list(self.columns))[:-1]}, ".encode())

    def fits(self, variable: StoredVariable) -> bool:
        """Whether these are still the variable's; else it was made anew."""
        if variable is not self._variable:  # it is another object after the first commit, too
            if _facts(variable) != _facts(self._variable):
                return False
            self._variable = variable
        return True

    def rest(self, version: int, shape: tuple[int, ...]) -> tuple[int, str, int]:
        """The other columns: version, shape and the checksum over all."""
        text = _shape_text(shape)
        crc = zlib.crc32(f"{version}, {text!r}]".encode(), self._crc)
        return version, text, crc


def _facts(variable: StoredVariable) -> tuple[str, str, Durability, TensorType]:
    return variable.name, variable.owner, variable.durability, variable.type


@dataclass(slots=True)
class Row:
    """What the file has of a variable: its head, its value, and how many patches.

    The value may be ahead of the file by patches that were not written yet; a journal knows where.
    """

    head: Head
    value: NDArray[Any]
    patches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A row of `variables` that was read."""

    number: int
    uuid: str
    name: str
    owner: str
    durability: Durability
    type: TensorType
    version: int
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of the value."""
        return math.prod(self.shape) * numpy_dtype(self.type.dtype).itemsize

    def with_bytes(self, data: NDArray[np.uint8]) -> StoredVariable:
        """The variable with its value, read-only."""
        value = data.view(numpy_dtype(self.type.dtype)).reshape(self.shape)
        value.flags.writeable = False
        return StoredVariable(
            uuid=self.uuid,
            name=self.name,
            owner=self.owner,
            durability=self.durability,
            type=self.type,
            version=self.version,
            value=value,
        )


@functools.lru_cache(maxsize=1024)
def _type_text(type_: TensorType) -> str:
    return json.dumps([type_.dtype, type_.shape])


@functools.lru_cache(maxsize=1024)
def _shape_text(shape: tuple[int, ...]) -> str:
    return json.dumps(shape)


def described(row: tuple[Any, ...]) -> Described | None:
    """A variable of its columns; None when they are damaged."""
    *columns, crc = row
    if row_crc(*columns) != crc:
        return None
    try:
        return _described(*columns)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _described(
    number: int,
    uuid: str,
    name: str,
    owner: str,
    durability: str,
    type_: str,
    version: int,
    shape: str,
) -> Described:
    dtype, extents = json.loads(type_)
    found = Described(
        number=number,
        uuid=uuid,
        name=name,
        owner=owner,
        durability=Durability(durability),
        type=TensorType(dtype, tuple(extents)),
        version=version,
        shape=tuple(json.loads(shape)),
    )
    sound = all(type(extent) is int and extent >= 0 for extent in found.shape)
    if not sound or not 0 < number < NUMBERS or found.type.ndim != len(found.shape):
        raise ValueError("no such variable")
    # No extent of 0 excuses an absurd one beside it, which numpy would refuse.
    whole = math.prod(max(extent, 1) for extent in found.shape)
    if len(found.shape) > _AXES or whole * numpy_dtype(dtype).itemsize > _LARGEST:
        raise ValueError("no such value")
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """A run, its number, and how many rows the tables had at its last commit."""

    number: int
    facts: Incarnation
    counts: tuple[int, ...]

    def row(self) -> tuple[Any, ...]:
        """All columns of a run."""
        facts = self.facts
        columns = (
            self.number,
            facts.id,
            facts.started,
            facts.policy,
            facts.first,
            facts.durable,
            facts.acknowledged,
            int(facts.clean),
            str([*self.counts]),  # as JSON, for a fourth of the time
        )
        return (*columns, row_crc(*columns))


class Progress:
    """What commits change in the row of a run, and what the rest gives to its checksum."""

    __slots__ = ("_crc", "_middle", "_number")

    def __init__(self, run: Run) -> None:
        head, (acknowledged, clean) = run.row()[:5], run.row()[6:8]
        self._number = run.number
        self._crc = zlib.crc32(f"{repr([*head])[:-1]}, ".encode())
        self._middle = f"{acknowledged}, {clean}"

    def at(self, durable: int, counts: tuple[int, ...]) -> tuple[int, str, int, int]:
        """The last commit, the counts and the checksum, then the number of the run."""
        text = str([*counts])
        row = f"{durable}, {self._middle}, {text!r}]"
        return durable, text, zlib.crc32(row.encode(), self._crc), self._number


def run_of(row: tuple[Any, ...]) -> Run | None:
    """A run of its columns; None when they are damaged."""
    *columns, crc = row
    if row_crc(*columns) != crc:
        return None
    number, name, started, policy, first, durable, acknowledged, clean, counts = columns
    try:
        counted = tuple(map(int, json.loads(counts)))
    except (ValueError, TypeError, RecursionError):
        return None
    facts = Incarnation(
        id=name,
        started=started,
        policy=policy,
        first=first,
        durable=durable,
        acknowledged=acknowledged,
        clean=bool(clean),
    )
    return Run(number, facts, counted)
