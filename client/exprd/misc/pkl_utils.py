"""Pickles in a zip with an NPY file for each array, which numpy reads without exprd.

`dump` and `load` are Theano's: the file of a shared variable's value has the variable's name, and
the member "pkl" is the pickle of everything else. Loading unpickles, so load what you trust.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from typing import IO, Any, Final

import numpy as np

from exprd.saving.pickled import CAPTURED
from exprd.shared import TensorSharedVariable
from exprd_compiler.errors import CallError

__all__ = [
    "CompatUnpickler",
    "PersistentNdarrayID",
    "PersistentNdarrayLoad",
    "PersistentSharedVariableID",
    "StripPickler",
    "dump",
    "load",
]

PICKLE: Final = "pkl"  # the member that is the pickle
_TYPE: Final = "ndarray "  # what a persistent id begins with; protocol 0 knows no tuples


class PersistentNdarrayID:
    """What a pickle says of an array: the name of its NPY file in the zip, written when first met.

    Args:
        zip_file: where the files go.
    """

    def __init__(self, zip_file: zipfile.ZipFile) -> None:
        self.zip_file = zip_file
        self.count = 0
        self.seen: dict[int, str] = {}
        self._alive: list[Any] = []  # an id is of an object only as long as that lives

    def __call__(self, obj: Any) -> str | None:
        """The persistent id of an array, None of anything else."""
        if type(obj) is not np.ndarray:
            return None
        if id(obj) not in self.seen:
            self.seen[id(obj)] = name = self._resolve_name(obj)
            self._alive.append(obj)
            with self.zip_file.open(name, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, obj, allow_pickle=False)
        return _TYPE + self.seen[id(obj)]

    def _resolve_name(self, obj: Any) -> str:
        """The name of a new array's file."""
        name = f"array_{self.count}"
        self.count += 1
        return name


class PersistentSharedVariableID(PersistentNdarrayID):
    """The same, with the name of the shared variable whose value an array is.

    Args:
        zip_file: where the files go.
        allow_unnamed: whether variables without a name are written, as "array_0" and so on.
        allow_duplicates: whether a second variable of a name is written, as "name_2" and so on.

    Raises:
        ValueError: a variable is called "pkl", or has no name or another's against these rules.
    """

    def __init__(
        self, zip_file: zipfile.ZipFile, allow_unnamed: bool = True, allow_duplicates: bool = True
    ) -> None:
        super().__init__(zip_file)
        self.allow_unnamed, self.allow_duplicates = allow_unnamed, allow_duplicates
        self.ndarray_names: dict[int, str] = {}
        self.name_counter: dict[str, int] = {}
        self._variables: set[int] = set()

    def __call__(self, obj: Any) -> str | None:
        """The persistent id of an array; a shared variable's name is noted."""
        if isinstance(obj, TensorSharedVariable) and id(obj) not in self._variables:
            self._variables.add(id(obj))
            self._note(obj)
        return super().__call__(obj)

    def _note(self, variable: TensorSharedVariable) -> None:
        value = np.asarray(variable.get_value(borrow=True))
        captured = CAPTURED.get()
        if captured is not None:
            captured[id(variable)] = value
        self._alive += [variable, value]
        name = variable.name
        if not name:
            if not self.allow_unnamed:
                raise ValueError(f"the shared variable {variable!r} has no name")
            return
        if name == PICKLE:
            raise ValueError(f"a shared variable cannot be called {PICKLE!r} in a file")
        number = self.name_counter[name] = self.name_counter.get(name, 0) + 1
        if number > 1 and not self.allow_duplicates:
            raise ValueError(f"two shared variables are called {name!r}")
        self.ndarray_names[id(value)] = name if number == 1 else f"{name}_{number}"

    def _resolve_name(self, obj: Any) -> str:
        name = self.ndarray_names.get(id(obj))
        return super()._resolve_name(obj) if name is None else name


class PersistentNdarrayLoad:
    """The arrays of a zip by their persistent ids."""

    def __init__(self, zip_file: zipfile.ZipFile) -> None:
        self.zip_file = zip_file
        self.cache: dict[str, Any] = {}

    def __call__(self, persid: str) -> Any:
        """The array of an id; the same one each time.

        Raises:
            pickle.UnpicklingError: the id is of another kind.
        """
        if not persid.startswith(_TYPE):
            raise pickle.UnpicklingError(f"persistent id of an unknown kind: {persid!r}")
        name = persid.removeprefix(_TYPE)
        if name not in self.cache:
            with self.zip_file.open(name) as member:
                self.cache[name] = np.lib.format.read_array(member, allow_pickle=False)
        return self.cache[name]


class StripPickler(pickle.Pickler):
    """A pickler for Theano's sake: what it strips there is never part of a pickle here."""

    def __init__(self, file: IO[bytes], protocol: int = 0, extra_tag_to_remove: Any = None) -> None:
        super().__init__(file, protocol)
        self.extra_tag_to_remove = extra_tag_to_remove


class CompatUnpickler(pickle.Unpickler):
    """An unpickler for pickles that Python 2 wrote: their byte strings are read as latin-1."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")


def dump(
    obj: object,
    file_handler: IO[bytes],
    protocol: int = pickle.DEFAULT_PROTOCOL,
    persistent_id: Callable[..., Any] = PersistentSharedVariableID,
) -> None:
    """Writes an object as a zip of a pickle and its arrays.

    Args:
        obj: whatever can be pickled.
        file_handler: an open binary file.
        protocol: of the pickle.
        persistent_id: called with the zip file; gives what names arrays.

    Raises:
        ValueError: see `PersistentSharedVariableID`.
    """
    token = CAPTURED.set({})
    try:
        with zipfile.ZipFile(file_handler, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            buffer = io.BytesIO()
            pickler = pickle.Pickler(buffer, protocol)
            pickler.persistent_id = persistent_id(archive)  # type: ignore[method-assign]
            pickler.dump(obj)
            archive.writestr(PICKLE, buffer.getvalue())
    finally:
        CAPTURED.reset(token)


def load(
    file_handler: IO[bytes], persistent_load: Callable[..., Any] = PersistentNdarrayLoad
) -> Any:
    """The object in a file that `dump` wrote.

    Args:
        file_handler: an open binary file.
        persistent_load: called with the zip file; gives what finds arrays.

    Raises:
        CallError: this is no such file.
    """
    try:
        archive = zipfile.ZipFile(file_handler)
    except zipfile.BadZipFile as error:
        raise CallError(f"no file of pkl_utils.dump: {error}") from error
    with archive, archive.open(PICKLE) as member:
        unpickler = pickle.Unpickler(io.BytesIO(member.read()))
        unpickler.persistent_load = persistent_load(archive)  # type: ignore[method-assign]
        return unpickler.load()
