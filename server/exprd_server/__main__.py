"""`python -m exprd_server`: the server's commands."""

from __future__ import annotations

from exprd_server.cli import main

if __name__ == "__main__":
    main(prog_name="exprd")
