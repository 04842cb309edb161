"""Checkpoints: named copies of all variables, in files that other programs read.

    checkpoints/<name>/variables.safetensors   the values, by name or else by uuid
    checkpoints/<name>/manifest.json           which variables they are, and the file's checksum

Invariant: a checkpoint is there whole or not at all. It is written beside its place, brought to the
disk, and renamed; it is never changed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import zlib
from collections import Counter
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exprd_compiler.errors import CallError, Conflict, DamagedFile, LimitExceeded, UnknownHandle
from exprd_compiler.ir.dtype import is_complex, numpy_dtype
from exprd_compiler.ir.type import TensorType
from exprd_server.checksums import crc32
from exprd_server.store import StoredVariable
from exprd_server.stores.faults import plain
from exprd_server.stores.folder import make_folder, sync_directory
from exprd_server.stores.safetensors import read_safetensors, write_safetensors
from exprd_server.values import Durability

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SCHEDULED: Final = "auto-"  # how the names of scheduled checkpoints begin; those alone are pruned
_FORMAT: Final = 1
_VALUES: Final = "variables.safetensors"
_MANIFEST: Final = "manifest.json"
_UNFINISHED: Final = ".unfinished-"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PIECE: Final = 1 << 20
_KINDS: Final = MappingProxyType({"created": float, "nbytes": int, "crc32": int, "variables": list})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint: its name, when it was made in seconds since 1970, and what is in it."""

    name: str
    created: float
    variables: int
    nbytes: int


class Checkpoints:
    """The checkpoints of a state directory.

    Args:
        folder: where they lie; it is made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, variables: Sequence[StoredVariable]) -> CheckpointInfo:
        """Writes a checkpoint; volatile variables are in it too.

        Raises:
            CallError: the name is none.
            Conflict: there is one of that name.
            LimitExceeded: the disk takes no more.
        """
        place = self._place(name)
        if place.exists():
            raise Conflict(f"there is a checkpoint {name!r}", hint="choose another name")
        unfinished = self._folder / f"{_UNFINISHED}{name}"
        try:
            for left in self._folder.glob(f"{_UNFINISHED}*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            make_folder(self._folder)
            unfinished.mkdir(mode=0o700)
            info = _write_files(unfinished, name, variables)
            sync_directory(unfinished)
            unfinished.rename(place)
            sync_directory(self._folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise LimitExceeded(
                f"checkpoint {name!r} cannot be written: {error.strerror or error}",
                hint="free some space, or remove older ones",
                fields={"limit": "state_bytes"},
            ) from None
        return info

    def names(self) -> tuple[str, ...]:
        """The names of all checkpoints, oldest first."""
        return tuple(info.name for info in self.all())

    def all(self) -> tuple[CheckpointInfo, ...]:
        """All checkpoints, oldest first.

        Raises:
            DamagedFile: one of them is not what was written.
        """
        return _by_age(info for info in map(self._still, self.present()) if info is not None)

    def sound(self) -> tuple[CheckpointInfo, ...]:
        """The checkpoints whose manifests are what was written, oldest first."""
        found: list[CheckpointInfo] = []
        for name in self.present():
            with contextlib.suppress(DamagedFile, UnknownHandle):
                found.append(self._info(name))
        return _by_age(found)

    def present(self) -> tuple[str, ...]:
        """The names of all checkpoints, damaged ones too, in alphabetical order."""
        if not self._folder.is_dir():
            return ()
        found = (p.name for p in self._folder.iterdir() if p.is_dir())
        return tuple(sorted(name for name in found if _NAME.fullmatch(name)))

    def read(self, name: str) -> tuple[StoredVariable, ...]:
        """The variables of a checkpoint.

        Raises:
            UnknownHandle: there is none of that name.
            DamagedFile: its files are not what was written.
        """
        facts = self._manifest(name)
        values = self._place(name) / _VALUES
        try:
            if _crc_of(values) != facts["crc32"]:
                raise _damaged(name, f"{_VALUES} has another checksum")
            arrays = read_safetensors(values)
            return tuple(_variable(x, arrays[x["tensor"]]) for x in facts["variables"])
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise _damaged(name, str(error)) from None

    def remove(self, names: Iterable[str]) -> None:
        """Removes checkpoints."""
        for name in names:
            # A rename first, and on disk: what is left of an interrupted removal is no checkpoint.
            gone = self._folder / f"{_UNFINISHED}{name}"
            shutil.rmtree(gone, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                self._place(name).rename(gone)
                sync_directory(self._folder)
            shutil.rmtree(gone, ignore_errors=True)

    def prune(self, keep: int) -> None:
        """Removes all scheduled checkpoints but the newest few, damaged or not.

        Those of a time that is yet to come are the first to go: they were made before somebody put
        the clock back, and would outlast all that is made from then on.
        """
        now = scheduled_name(time.time())
        scheduled = [name for name in self.present() if name.startswith(SCHEDULED)]
        self.remove(sorted(scheduled, key=lambda name: (name <= now, name))[:-keep])

    def _still(self, name: str) -> CheckpointInfo | None:
        """A checkpoint that was seen a moment ago; None if it was removed since."""
        try:
            return self._info(name)
        except UnknownHandle:
            if self._place(name).exists():
                raise
            return None

    def _info(self, name: str) -> CheckpointInfo:
        facts = self._manifest(name)
        return CheckpointInfo(
            name=name,
            created=facts["created"],
            variables=len(facts["variables"]),
            nbytes=facts["nbytes"],
        )

    def _manifest(self, name: str) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads((self._place(name) / _MANIFEST).read_bytes())
            if facts["format"] != _FORMAT:
                raise ValueError(f"format {facts['format']}")
            crc = facts.pop("manifest_crc32")
            if crc != _facts_crc(facts):
                raise ValueError("another checksum")
            _check_facts(facts)
        except FileNotFoundError:
            known = ", ".join(p.name for p in self._folder.glob("[!.]*")) or "none"
            raise UnknownHandle(
                f"there is no checkpoint {name!r}", hint=f"there are: {known}"
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            raise _damaged(name, f"{_MANIFEST}: {error}") from None
        return facts

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise CallError(
                f"{name[:100]!r} is no name of a checkpoint",
                hint="up to 100 letters, digits, dots, dashes, underscores; the first no sign",
            )
        return self._folder / name


def scheduled_name(now: float) -> str:
    """The name of a scheduled checkpoint; names sort by time."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{SCHEDULED}{stamp}.{int(now % 1 * 1000):03}"


def _by_age(found: Iterable[CheckpointInfo]) -> tuple[CheckpointInfo, ...]:
    return tuple(sorted(found, key=lambda info: (info.created, info.name)))


def _write_files(folder: Path, name: str, variables: Sequence[StoredVariable]) -> CheckpointInfo:
    count = Counter(v.name for v in variables)
    others = {"", "__metadata__", *(v.uuid for v in variables)}
    tensors = {
        (v.name if v.name not in others and count[v.name] == 1 else v.uuid): v for v in variables
    }
    values = folder / _VALUES
    with values.open("wb") as file:
        write_safetensors(file, {k: v.value for k, v in tensors.items()}, {"format": "exprd"})
        file.flush()
        os.fsync(file.fileno())
    created = time.time()
    nbytes = sum(v.value.nbytes for v in variables)
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "created": created,
        "nbytes": nbytes,
        "crc32": _crc_of(values),
        "variables": [_facts(tensor, v) for tensor, v in tensors.items()],
    }
    facts["manifest_crc32"] = _facts_crc(facts)
    with (folder / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return CheckpointInfo(name=name, created=created, variables=len(variables), nbytes=nbytes)


def _facts(tensor: str, variable: StoredVariable) -> dict[str, Any]:
    return {
        "tensor": tensor,
        "uuid": variable.uuid,
        "name": variable.name,
        "owner": variable.owner,
        "durability": variable.durability.value,
        "version": variable.version,
        "type": asdict(variable.type),
    }


def _variable(facts: dict[str, Any], value: NDArray[Any]) -> StoredVariable:
    type_ = TensorType(facts["type"]["dtype"], tuple(facts["type"]["shape"]))
    if is_complex(type_.dtype):
        whole: NDArray[Any] = np.ascontiguousarray(value).view(numpy_dtype(type_.dtype))
        value = whole.reshape(value.shape[:-1])
    return StoredVariable(
        uuid=facts["uuid"],
        name=facts["name"],
        owner=facts["owner"],
        durability=Durability(facts["durability"]),
        version=facts["version"],
        type=type_,
        value=value,
    )


def _check_facts(facts: dict[str, Any]) -> None:
    """Returns if a manifest has what its readers ask for."""
    for name, kind in _KINDS.items():
        if type(facts[name]) is not kind:
            raise TypeError(f"{name} is no {kind.__name__}")


def _facts_crc(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _crc_of(path: Path) -> int:
    crc = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                crc = crc32(piece, crc)
    except FileNotFoundError:
        return -1
    return crc


def _damaged(name: str, why: str) -> DamagedFile:
    return DamagedFile(f"checkpoint {name!r} is damaged: {plain(why)}", hint="restore another one")
