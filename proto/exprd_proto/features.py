"""Features: what a server knows that an older one would pass over in silence, by name.

A field that a server does not know is passed over by protobuf. Where that would change what a call
means, the server lists a name for the field in its answer to GetInfo, and a client looks for it
before it relies on the field.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COMMIT_ONCE", "FEATURES", "FUNCTION_DURABILITY"]

FUNCTION_DURABILITY: Final = "function-durability"  # CompileOptions.durability
COMMIT_ONCE: Final = "commit-once"  # RepeatRequest.commit_once
FEATURES: Final = (COMMIT_ONCE, FUNCTION_DURABILITY)
