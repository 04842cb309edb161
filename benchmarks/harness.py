"""Timing for the benchmarks: repeated measurements, the machine they were made on, JSON.

A figure is the median of several samples, each long enough for the clock; the fastest and slowest
stand beside it. Data must change between calls where a cache could make the work disappear.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One figure: seconds per call, over `samples` samples of `calls` calls each."""

    name: str
    median: float
    fastest: float
    slowest: float
    samples: int
    calls: int


def measure(
    name: str, call: Callable[[], object], *, seconds: float = 1.0, samples: int = 7
) -> Measurement:
    """Time a call, warmed up once, for about `seconds` in all.

    Args:
        name: what the figure is called in the report.
        call: what to time; it is called many times.
        seconds: how long to measure in all.
        samples: over how many samples the median is taken.

    Returns:
        Seconds per call.
    """
    call()
    calls = max(1, round(seconds / samples / max(_sample(call, 1), 1e-7)))
    return from_samples(name, [_sample(call, calls) for _ in range(samples)], calls)


def from_samples(name: str, seconds: Sequence[float], calls: int = 1) -> Measurement:
    """The figure of samples that were taken elsewhere, in seconds per call."""
    return Measurement(
        name=name,
        median=statistics.median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        samples=len(seconds),
        calls=calls,
    )


def _sample(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def machine() -> dict[str, object]:
    """What the figures depend on, apart from our own code, and the day."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }


def report(measurements: Sequence[Measurement]) -> str:
    """The figures as lines for a person, in the unit that suits each."""
    return "\n".join(
        f"{m.name:<52} {_readable(m.median):>10}"
        f"  ({_readable(m.fastest)} .. {_readable(m.slowest)})"
        for m in measurements
    )


def _readable(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.2f} {unit}"
    return f"{seconds / 1e-6:.1f} us"


def write_json(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write the figures and the machine as JSON, to compare one state of the code with another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "measurements": [asdict(m) for m in measurements]}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


@contextmanager
def serving(*module: str) -> Iterator[str]:
    """A module run in a process of its own, which says what it is serving on."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module[0]} ended with status {process.wait()}")
        yield line.removeprefix("serving on ").strip()
        if process.poll() is not None:
            raise RuntimeError(f"{module[0]} ended with status {process.returncode}")
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()
