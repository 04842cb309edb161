"""The checked-in coefficients are those that the fitting program prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from exprd_compiler.backends.llvm import math_coefficients

PROGRAM = Path(__file__).parents[3] / "tools" / "fit_math.py"


def test_coefficients_are_fresh():
    printed = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True
    ).stdout
    assert printed == Path(math_coefficients.__file__).read_text()
