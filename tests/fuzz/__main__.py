"""atheris on the targets: `make fuzz`, or `python -m tests.fuzz graph -max_total_time=60`.

Without a name all targets have their turn, each in a process of its own, for EXPRD_FUZZ_SECONDS in
all. What it finds new goes to build/fuzz/<target>; what breaks something stays there as crash-...,
and belongs into the corpus once it is mended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE.parents[1] / "build" / "fuzz"


def fuzz(name: str, *options: str) -> None:
    """Runs one target until an option or a finding ends the process."""
    import atheris

    with atheris.instrument_imports(
        include=["exprd_server", "exprd_proto", "exprd_compiler.ir", "exprd_compiler.ops"]
    ):
        from tests.fuzz.targets import judge

    judge(name, b"")
    place = FOUND / name
    place.mkdir(parents=True, exist_ok=True)
    fixed = [f"-artifact_prefix={place}/", "-max_len=400", "-timeout=5", "-rss_limit_mb=3000"]
    folders = [str(place), str(HERE / "corpus" / name)]

    def run(data: bytes) -> None:
        judge(name, data)

    atheris.Setup([sys.argv[0], *fixed, *options, *folders], run)
    atheris.Fuzz()


def fuzz_all(seconds: float) -> int:
    """Runs all targets one after another; how many had a finding."""
    from tests.fuzz.targets import TARGETS

    bound = f"-max_total_time={max(1, int(seconds / len(TARGETS)))}"
    failed = 0
    for name in TARGETS:
        sys.stdout.write(f"---- {name}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "tests.fuzz", name, bound, "-print_final_stats=1"]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    if len(sys.argv) > 1:
        fuzz(*sys.argv[1:])
    else:
        sys.exit(fuzz_all(float(os.environ.get("EXPRD_FUZZ_SECONDS", "600"))))
