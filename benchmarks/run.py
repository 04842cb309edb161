"""Runs the benchmarks, all or some, and prints their figures; `--json` keeps them.

A benchmark is a module beside this one with a function `run() -> list[Measurement]`.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks import harness

SUBJECTS = ("calls", "elementwise", "logistic_regression", "products", "sorting")


def main() -> None:
    """Parse the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--json", type=Path, help="write the figures and the machine here")
    options = parser.parse_args()
    if unknown := set(options.subjects) - set(SUBJECTS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")

    measurements: list[harness.Measurement] = []
    for subject in options.subjects or SUBJECTS:
        found = importlib.import_module(f"benchmarks.{subject}").run()
        print(harness.report(found), flush=True)
        measurements += found
    if options.json:
        harness.write_json(options.json, measurements)


if __name__ == "__main__":
    main()
