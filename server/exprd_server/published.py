"""Published functions: names with versions and labels that outlive who published them.

Invariant: a version never changes, its number is never given out again, and its function
and variables live until it is unpublished. The store has all of it before an answer goes out.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exprd_compiler.errors import (
    CallError,
    Conflict,
    ExprdError,
    LimitExceeded,
    UnknownHandle,
)
from exprd_server.versions import (
    PublishCall,
    PublishedInfo,
    Version,
    name_bytes,
    read_name,
    read_version,
    version_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exprd_server.functions import Function
    from exprd_server.settings import Limits
    from exprd_server.store import Store

STABLE: Final = "stable"  # what a lookup without version and label takes, where it exists
_NAME: Final = "published-name"
_VERSION: Final = "published-version"
_SEPARATOR: Final = "\n"  # of name and number in a key; names are printable
_LABELS: Final = 64
_LAST: Final = (1 << 63) - 1  # version of a name; every reader of one has a number for it


@dataclass(slots=True)
class Name:
    """What a name stands for.

    Attributes:
        last: greatest version number ever given out.
        versions: those that are there.
        labels: per label the versions it pointed at, the present one last.
    """

    last: int = 0
    versions: dict[int, Version] = field(default_factory=dict[int, Version])
    labels: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def copy(self) -> Name:
        """The same, to be changed before it is kept."""
        labels = {label: [*past] for label, past in self.labels.items()}
        return Name(last=self.last, versions={**self.versions}, labels=labels)

    def info(self, number: int) -> PublishedInfo:
        """A version with its labels."""
        labels = sorted(label for label, past in self.labels.items() if past[-1] == number)
        return PublishedInfo(version=self.versions[number], labels=tuple(labels))


class PublishedTable:
    """All published versions of one namespace, in front of its store. Thread safe."""

    def __init__(
        self, store: Store, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._names: dict[str, Name] = {}
        for data in store.entries(_VERSION).values():
            version = read_version(data)
            name = self._names.setdefault(version.name, Name())
            name.versions[version.version] = version
            name.last = max(name.last, version.version)
        for key, data in store.entries(_NAME).items():
            last, labels = read_name(data)
            name = self._names.setdefault(key, Name())
            name.last, name.labels = max(name.last, last), labels

    def __len__(self) -> int:
        return sum(len(name.versions) for name in self._names.values())

    def versions(self) -> tuple[Version, ...]:
        """Every version there is."""
        with self._lock:
            return tuple(v for name in self._names.values() for v in name.versions.values())

    def add(self, call: PublishCall, function: Function) -> tuple[PublishedInfo, bool]:
        """The version of a wish, and whether it is new.

        Raises:
            Conflict: the version number is not beyond every earlier one.
            LimitExceeded: too many versions are published.
        """
        self._check(call)
        with self._lock:
            name = self._names.get(call.name, Name()).copy()
            newest = name.versions.get(max(name.versions, default=0))
            present = newest is not None and _same(newest, call)
            if newest is None or not present:
                newest = self._new(call, function, name.last)
                name.versions[newest.version] = newest
                name.last = newest.version
            for label in call.labels:
                _point(name, label, newest.version)
            if not present:
                self._store.put_entry(_VERSION, _key(newest), version_bytes(newest))
            try:
                self._write(call.name, name)
            except BaseException:
                if not present:
                    self._take_back(newest)
                raise
            return name.info(newest.version), not present

    def find(self, name: str, version: int = 0, label: str = "") -> PublishedInfo:
        """A version by number, by label, or the one that callers get who name neither.

        Raises:
            UnknownHandle: there is none.
        """
        with self._lock:
            found = self._name(name)
            if version and label:
                raise CallError("a lookup goes by version or by label, not by both")
            number = version or self._labelled(found, name, label)
            if number not in found.versions:
                raise _unknown(f"no version {number} of {name!r}", sorted(found.versions))
            return found.info(number)

    def set_label(self, name: str, label: str, version: int, expected: int) -> PublishedInfo:
        """Points a label at a version; 0 takes it back to where it pointed before.

        Raises:
            UnknownHandle: no such name, version or label, or nothing to go back to.
            Conflict: the label does not point at `expected`.
        """
        self._check_text("label", label)
        with self._lock:
            found = self._name(name)
            past = found.labels.get(label, [])
            if expected and (not past or past[-1] != expected):
                raise Conflict(
                    f"the label {label!r} of {name!r} points at {past[-1] if past else 'nothing'},"
                    f" not at the expected {expected}",
                    hint="look again and repeat the call",
                )
            moved = found.copy()
            _move(moved, name, label, version)
            self._write(name, moved)
            return moved.info(moved.labels[label][-1])

    def numbers(self, name: str) -> tuple[int, ...]:
        """The versions that there are of a name."""
        with self._lock:
            found = self._names.get(name)
            return () if found is None else tuple(sorted(found.versions))

    def remove(self, name: str, number: int) -> Version | None:
        """Takes a version away, which is given, if it was there."""
        with self._lock:
            found = self._names.get(name)
            if found is None or number not in found.versions:
                return None
            left = {label: [n for n in p if n != number] for label, p in found.labels.items()}
            labels = {label: past for label, past in left.items() if past}
            if labels != found.labels:
                found = Name(found.last, found.versions, labels)
                self._write(name, found)
            self._store.drop_entry(_VERSION, _key(found.versions[number]))
            return found.versions.pop(number)

    def page(self, prefix: str, size: int, after: str) -> tuple[tuple[PublishedInfo, ...], str]:
        """Up to `size` versions beyond `after`, by name and number, and the next `after` or ""."""
        with self._lock:
            found = [
                (_place(name, number), entry.info(number))
                for name, entry in self._names.items()
                if name.startswith(prefix)
                for number in entry.versions
            ]
        rest = sorted((row for row in found if row[0] > after), key=lambda row: row[0])
        page = rest[:size]
        return tuple(info for _, info in page), page[-1][0] if len(rest) > size else ""

    def _new(self, call: PublishCall, function: Function, last: int) -> Version:
        if call.version and call.version <= last:
            raise Conflict(
                f"version {call.version} of {call.name!r} is not beyond the last one, {last}",
                hint="versions never change; leave the number out to get the next one",
            )
        if max(call.version, last + 1) > _LAST:
            raise CallError(
                f"{call.name!r} has no version beyond {_LAST}", hint="take another name"
            )
        if len(self) >= self._limits.published:
            raise LimitExceeded(
                f"the server keeps {self._limits.published} published versions already",
                hint="unpublish some",
                fields={"limit": "published"},
            )
        return Version(
            name=call.name,
            version=call.version or last + 1,
            handle=call.handle,
            doc=call.doc,
            form=call.form,
            publisher=call.client_id,
            created=self._clock(),
            graph=function.outline.text().decode(),
            bindings=tuple(variable.uuid for variable in function.variables),
            choices=function.info.choices,
            signature=function.info.signature,
        )

    def _write(self, key: str, name: Name) -> None:
        """Keeps what a name stands for, here once the store has it."""
        self._store.put_entry(_NAME, key, name_bytes(name.last, name.labels))
        self._names[key] = name

    def _take_back(self, version: Version) -> None:
        """Removes a version that came to nothing; if it stays, its number is given out again."""
        with contextlib.suppress(ExprdError):
            self._store.drop_entry(_VERSION, _key(version))

    def _name(self, name: str) -> Name:
        found = self._names.get(name)
        if found is None or not found.versions:
            known = sorted(n for n, entry in self._names.items() if entry.versions)
            raise _unknown(f"no published function {name[:64]!r}", known)
        return found

    def _labelled(self, found: Name, name: str, label: str) -> int:
        if not label:
            return found.labels[STABLE][-1] if STABLE in found.labels else max(found.versions)
        if label not in found.labels:
            raise _unknown(f"no label {label[:64]!r} of {name!r}", sorted(found.labels))
        return found.labels[label][-1]

    def _check(self, call: PublishCall) -> None:
        self._check_text("name", call.name)
        if len(call.labels) > _LABELS:
            raise CallError(f"at most {_LABELS} labels")
        for label in call.labels:
            self._check_text("label", label)
        if len(call.doc) > self._limits.doc_length:
            raise LimitExceeded(
                f"a doc of {len(call.doc)} characters is above the limit of"
                f" {self._limits.doc_length}",
                fields={"limit": "doc_length"},
            )

    def _check_text(self, what: str, text: str) -> None:
        longest = self._limits.name_length
        if not 0 < len(text) <= longest or not text.isprintable() or text != text.strip():
            raise CallError(
                f"a {what} is 1 to {longest} printable characters without spaces around them"
            )


def _same(version: Version, call: PublishCall) -> bool:
    numbered = call.version in (0, version.version)
    wish = (call.handle, call.form, call.doc)
    return numbered and (version.handle, version.form, version.doc) == wish


def _move(name: Name, key: str, label: str, version: int) -> None:
    """Points a label at a version, or back at the one before."""
    past = name.labels.get(label, [])
    if version:
        if version not in name.versions:
            raise _unknown(f"no version {version} of {key!r}", sorted(name.versions))
        _point(name, label, version)
    elif not past:
        raise _unknown(f"no label {label[:64]!r} of {key!r}", sorted(name.labels))
    elif len(past) < 2:
        raise UnknownHandle(
            f"the label {label[:64]!r} of {key!r} points at no earlier version",
            hint="name the version to go to",
        )
    else:
        past.pop()


def _point(name: Name, label: str, version: int) -> None:
    if label not in name.labels and len(name.labels) >= _LABELS:
        raise LimitExceeded(
            f"a name has at most {_LABELS} labels",
            hint="move one of those that there are",
            fields={"limit": "labels"},
        )
    past = name.labels.setdefault(label, [])
    if not past or past[-1] != version:
        past.append(version)
        del past[:-_LABELS]  # so far back nobody goes


def _key(version: Version) -> str:
    return f"{version.name}{_SEPARATOR}{version.version}"


def _place(name: str, number: int) -> str:
    return f"{name}{_SEPARATOR}{number:020}"


def _unknown(what: str, known: Iterable[object]) -> UnknownHandle:
    there = ", ".join(str(x) for x in known)
    return UnknownHandle(what, hint=f"there is {there[:200]}" if there else "nothing is published")
