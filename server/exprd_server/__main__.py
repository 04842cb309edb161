"""`python -m exprd_server`: the console script `exprd`, without the script."""

from __future__ import annotations

from exprd_server.console import main

if __name__ == "__main__":
    main()
