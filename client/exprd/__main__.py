"""`python -m exprd`: the console script `exprd`, for whoever has the package but not the script.

To serve, the script and `python -m exprd_server` are better: here the client has loaded gRPC
already, which remarks on strangers in the server's log unless `GRPC_VERBOSITY` says otherwise.
"""

from __future__ import annotations

from exprd_server.console import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
