"""The console script `exprd`: its version here, everything else from the server's package.

A thin client has no server; then the commands say what to install.
"""

from __future__ import annotations

import sys

from exprd.__about__ import __version__

__all__ = ["main"]

_USAGE = """usage: exprd COMMAND

  version   show the version
  serve     serve clients until SIGTERM
  health    say whether a server serves
  info      show what a server says of itself
  state     look at state, change it, keep checkpoints, check and repair it
  functions show published functions, move their labels, take versions away
  doctor    say whether a server would work here

exprd COMMAND --help tells more."""


def main() -> None:
    """Runs the command that the arguments name."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["version"], ["--version"]):
        sys.stdout.write(f"exprd {__version__}\n")
        return
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n")
        return
    try:
        from exprd.embedded import run_command
    except ImportError as error:
        sys.stderr.write(
            f"exprd {arguments[0]} needs {error.name}, which belongs to the server;"
            " pip install 'exprd[server]'\n"
        )
        sys.exit(1)
    run_command()


if __name__ == "__main__":
    main()
