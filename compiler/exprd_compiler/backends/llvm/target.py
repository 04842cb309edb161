"""What is compiled for: an instruction-set level, and the record of the machine's capacities.

Objects are made for a level, not for one CPU model, so that hosts can share them. LLVM silently
ignores names it does not know and would emit generic code, so a level exists only in `LEVELS`.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.binding import llvm
from exprd_compiler.errors import DeviceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_V3 = frozenset({"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One target of code generation.

    Attributes:
        name: how it is called in options and cache keys.
        triple: the LLVM triple.
        cpu: LLVM's name of the baseline.
        features: LLVM's feature string beside it.
        requires: features that a host must have, by LLVM's names.
        machine: ``e_machine`` of its ELF objects.
        vector_bits: width of the widest registers.
        codegen: effort of instruction selection and scheduling, 0 to 3.
    """

    name: str
    triple: str
    cpu: str
    features: str
    requires: frozenset[str]
    machine: int
    vector_bits: int
    codegen: int = 1


LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        level.name: level
        for level in (
            Level(
                name="v4",  # its processors halve vectors unless told that 512 bits are welcome
                triple="x86_64-unknown-linux-gnu",
                cpu="x86-64-v4",
                features="-prefer-256-bit",
                requires=_V4,
                machine=62,
                vector_bits=512,
            ),
            Level(
                name="v3",
                triple="x86_64-unknown-linux-gnu",
                cpu="x86-64-v3",
                features="",
                requires=_V3,
                machine=62,
                vector_bits=256,
            ),
            Level(
                name="neon",
                triple="aarch64-unknown-linux-gnu",
                cpu="generic",
                features="",
                requires=frozenset(),
                machine=183,
                vector_bits=128,
            ),
        )
    }
)
"""The levels there are, best first."""

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def host_features() -> frozenset[str]:
    """The CPU features of this machine that the operating system lets us use."""
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


def supports(level: Level) -> bool:
    """Whether code of the level runs on this machine."""
    architecture = _ARCHITECTURES.get(platform.machine().lower(), "")
    return level.triple.split("-")[0] == architecture and level.requires <= host_features()


def host_level(forced: str = "") -> Level:
    """The best level of this machine, or the one named.

    Raises:
        DeviceUnavailable: the name is unknown, or the machine cannot run any level or that one.
    """
    if forced and forced not in LEVELS:
        raise DeviceUnavailable(
            f"there is no code level {forced!r}", hint=f"choose one of {', '.join(LEVELS)}"
        )
    for level in LEVELS.values():
        if forced in ("", level.name) and supports(level):
            return level
    raise DeviceUnavailable(
        f"this {platform.machine()} machine cannot run code of level {forced or 'v3'}",
        hint="native code needs x86-64 with AVX2 and FMA, or aarch64; the reference target runs "
        "anywhere",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a schedule may know of a machine.

    Attributes:
        vector_bits: width of the widest vector registers.
        l1: bytes of first-level data cache of one core.
        l2: bytes of second-level cache of one core.
        l3: bytes of last-level cache; the second level's where there is no third.
        threads: how many threads this process may run at once.
    """

    vector_bits: int
    l1: int
    l2: int
    l3: int
    threads: int


def host_capabilities(
    level: Level, caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")
) -> Capabilities:
    """The record of this machine, with modest guesses where it does not tell."""
    sizes = {1: 32 << 10, 2: 512 << 10}
    for entry in sorted(caches.glob("index*")):
        size = _cache_size(entry)
        if size is not None:
            sizes[size[0]] = size[1]
    return Capabilities(
        vector_bits=level.vector_bits,
        l1=sizes[1],
        l2=sizes[2],
        l3=sizes.get(3, sizes[2]),
        threads=len(os.sched_getaffinity(0)),
    )


def _cache_size(entry: Path) -> tuple[int, int] | None:
    try:
        kind = (entry / "type").read_text().strip()
        number = int((entry / "level").read_text())
        text = (entry / "size").read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
        size = int(text.rstrip("KMG")) * unit
    except (OSError, ValueError):
        return None
    return None if kind == "Instruction" else (number, size)
