"""The console script `exprd`: its version and usage here, everything else from `cli`.

Invariant: nothing is imported here that a thin client lacks, or that loads gRPC; a thin client is
told what to install.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata

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
        sys.stdout.write(f"exprd {installed_version()}\n")
    elif not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n")
    else:
        _run(arguments[0])


def _run(command: str) -> None:
    # Else gRPC remarks on every failed handshake in lines that are no JSON: as many as strangers
    # like. It looks at this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from exprd_server import cli
    except ImportError as error:
        if (error.name or "exprd").startswith("exprd"):
            raise  # a fault of ours, which no package mends
        sys.stderr.write(
            f"exprd {command} needs {error.name}, which belongs to the server;"
            " pip install 'exprd[server]'\n"
        )
        sys.exit(1)
    cli.main(prog_name="exprd")


def installed_version() -> str:
    """The version of the distribution; "source" when it runs from a checkout."""
    try:
        return metadata.version("exprd")
    except metadata.PackageNotFoundError:
        return "source"
