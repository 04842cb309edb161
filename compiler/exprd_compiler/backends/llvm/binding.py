"""The door to llvmlite, which ships no types: one name, typed Any. Nobody else imports it."""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding  # pyright: ignore[reportMissingTypeStubs]

llvm: Final[Any] = llvmlite.binding
"""The module `llvmlite.binding`."""
