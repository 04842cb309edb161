"""Recordings of what a process does to its files, made by `recorder.c` in that process.

The recorder is compiled by the test that needs it. Where no C compiler is, those tests are skipped
and say so.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("recorder.c")
ROOT = Path(__file__).parents[3]
HEAD = struct.Struct("<QQqIIII")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that was done.

    Attributes:
        op: w(rite), t(runcate), s(ync), c(reate), m(ake a folder), r(ename), u(nlink), l(ink),
            o(utput: somebody was told).
        seconds: when.
        inode: of the file; 0 where names are changed.
        offset: of a write; the size of a truncation.
        path: absolute.
        data: what was written or said; the second name of a rename or link.
    """

    op: str
    seconds: float
    inode: int
    offset: int
    path: str
    data: bytes


def compiled(folder: Path) -> Path:
    """The recorder as a library to preload."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("NO C COMPILER: power cuts and failpoints are not tested on this machine")
    library = folder / "recorder.so"
    flags = ("-O1", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
    return library


@dataclass(frozen=True, slots=True)
class Recorder:
    """The library, and the environment of a process that is recorded or made to fail."""

    library: Path
    env: dict[str, str]

    def watching(self, root: Path, log: Path | None = None, rule: str = "") -> dict[str, str]:
        """The environment that records what happens under `root`, or breaks it by a rule."""
        added = {"LD_PRELOAD": str(self.library), "RECORDER_ROOT": str(root)}
        if log is not None:
            added["RECORDER_LOG"] = str(log)
        if rule:
            added["RECORDER_RULE"] = rule
        return {**self.env, **added}

    def run(self, module: str, *arguments: str, root: Path, **facts: object) -> str:
        """What a module of ours said, run with these arguments."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.watching(root, **facts),  # type: ignore[arg-type]
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.stdout


def operations(log: Path) -> Iterator[Operation]:
    """The operations of a recording, in order."""
    data = memoryview(log.read_bytes())
    place = 0
    while place < len(data):
        when, inode, offset, path, size, op, _ = HEAD.unpack_from(data, place)
        place += HEAD.size
        name = bytes(data[place : place + path]).decode()
        place += path
        content = bytes(data[place : place + size])
        place += size
        assert chr(op) != "?", f"{content!r} of {name} has no form in a recording"
        yield Operation(chr(op), when / 1e9, inode, offset, os.path.normpath(name), content)


def rule(op: str, part: str, first: int, what: str | int, count: int = 1) -> str:
    """A rule for the recorder; see `recorder.c`."""
    return f"{op}|{part}|{first}|{count}|{what}"
