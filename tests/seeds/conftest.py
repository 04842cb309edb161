"""The fixtures of the client's tests: a server, and both ways to run."""

from __future__ import annotations

from tests.client.conftest import cache_folder, float32, mode, server

__all__ = ["cache_folder", "float32", "mode", "server"]
