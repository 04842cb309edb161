"""`python -m exprd_server`: the server's commands."""

from __future__ import annotations

import os

# Else gRPC remarks on every failed handshake in lines that are no JSON: as many as strangers like.
# It looks at this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from exprd_server.cli import main

if __name__ == "__main__":
    main(prog_name="exprd")
