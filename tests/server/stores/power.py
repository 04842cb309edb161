"""A disk that loses its power: from a recording, what may be on it afterwards.

What was synced is there. Of what was not, each write is there, or not, or some of its sectors are;
each truncation is there or not; each change of names that was not followed by a sync of its folder
is there or not, a rename as a whole. In half of the cuts names change in order, as in a file system
with a journal of its own; in the others in any, which POSIX allows.

Source of the model: Pillai et al., All File Systems Are Not Created Equal, OSDI 2014, section 3.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeAlias

from tests.server.stores.recording import Operation

SECTOR = 512
Write: TypeAlias = tuple[int, bytes | None]  # None: a truncation to that size


@dataclass(slots=True, eq=False)
class File:
    """The bytes of a file that are safe, and what was done since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.safe, *change)
        self.pending.clear()

    def after(self, chance: random.Random) -> bytes:
        """The bytes that a cut may leave."""
        found = bytearray(self.safe)
        likely = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for offset, data in self.pending:
            if data is None:
                if chance.random() < likely:
                    _apply(found, offset, None)
            elif chance.random() < 0.1:
                for start in range(0, len(data), SECTOR):
                    if chance.random() < likely:
                        _apply(found, offset + start, data[start : start + SECTOR])
            elif chance.random() < likely:
                _apply(found, offset, data)
        return bytes(found)


@dataclass(slots=True, eq=False)
class Folder:
    """The names in a folder that are safe, as they are now, and the changes between."""

    safe: dict[str, Node] = field(default_factory=dict)
    now: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)

    def change(self, names: dict[str, Node | None]) -> None:
        """Changes several names at once."""
        _rename(self.now, names)
        self.pending.append(names)

    def sync(self) -> None:
        self.safe = dict(self.now)
        self.pending.clear()

    def after(self, chance: random.Random) -> dict[str, Node]:
        """The names that a cut may leave."""
        found = dict(self.safe)
        chosen: Sequence[dict[str, Node | None]]
        if chance.random() < 0.5:
            chosen = self.pending[: chance.randint(0, len(self.pending))]
        else:
            chosen = [names for names in self.pending if chance.random() < 0.5]
        for names in chosen:
            _rename(found, names)
        return found


Node: TypeAlias = File | Folder


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _rename(names: dict[str, Node], changes: dict[str, Node | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The disk under one folder, which is there from the beginning.

    Attributes:
        said: what somebody was told, and when.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._top = Folder()
        self._by_inode: dict[int, Node] = {}
        self.said: list[tuple[float, bytes]] = []

    def do(self, operation: Operation) -> None:
        """One further operation."""
        self._ways[operation.op](self, operation)

    def cut(self, place: Path, chance: random.Random) -> None:
        """Writes what is there after a loss of power into a folder."""
        _write(self._top, place, chance, {})

    def _node(self, path: str) -> Node:
        node: Node = self._top
        for name in Path(path).relative_to(self._root).parts:
            assert isinstance(node, Folder)
            node = node.now[name]
        return node

    def _beside(self, path: str) -> tuple[Folder, str]:
        folder, name = os.path.split(path)
        node = self._node(folder)
        assert isinstance(node, Folder)
        return node, name

    def _write(self, done: Operation) -> None:
        self._file(done).pending.append((done.offset, done.data))

    def _truncate(self, done: Operation) -> None:
        self._file(done).pending.append((done.offset, None))

    def _file(self, done: Operation) -> File:
        node = self._by_inode[done.inode]
        assert isinstance(node, File)
        return node

    def _sync(self, done: Operation) -> None:
        if done.path == self._root:
            self._top.sync()
        else:
            self._by_inode[done.inode].sync()

    def _create(self, done: Operation) -> None:
        self._make(done, File())

    def _mkdir(self, done: Operation) -> None:
        self._make(done, Folder())

    def _make(self, done: Operation, node: Node) -> None:
        folder, name = self._beside(done.path)
        self._by_inode[done.inode] = node
        folder.change({name: node})

    def _move(self, done: Operation) -> None:
        folder, name = self._beside(done.path)
        there, new = self._beside(done.data.decode())
        assert there is folder, "a rename across folders has no form here"
        folder.change({name: None, new: folder.now[name]})

    def _link(self, done: Operation) -> None:
        node = self._node(done.path)
        folder, name = self._beside(done.data.decode())
        folder.change({name: node})

    def _unlink(self, done: Operation) -> None:
        folder, name = self._beside(done.path)
        folder.change({name: None})

    def _say(self, done: Operation) -> None:
        self.said.append((done.seconds, done.data))

    _ways: ClassVar[dict[str, Callable[[Disk, Operation], None]]] = {
        "w": _write,
        "t": _truncate,
        "s": _sync,
        "c": _create,
        "m": _mkdir,
        "r": _move,
        "u": _unlink,
        "l": _link,
        "o": _say,
    }


def _write(node: Node, place: Path, chance: random.Random, files: dict[File, Path]) -> None:
    if isinstance(node, Folder):
        place.mkdir()
        for name, child in node.after(chance).items():
            _write(child, place / name, chance, files)
    elif node in files:  # two names of one file
        place.hardlink_to(files[node])
    else:
        files[node] = place
        place.write_bytes(node.after(chance))
