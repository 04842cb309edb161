"""A Theano program, run as it is: `python -m exprd.theano program.py arguments`.

Where it runs is told as always: in this process, or where `EXPRD_TARGET` says.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from exprd.as_theano import install_as_theano

__all__ = ["main"]


def main() -> None:
    """Runs the program that the first argument names, with `theano` being exprd."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.stderr.write("usage: python -m exprd.theano PROGRAM.py [ARGUMENTS]\n")
        sys.exit(2)
    install_as_theano()
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
