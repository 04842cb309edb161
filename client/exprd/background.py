"""`compile_async`: compilation in the background, as a future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exprd.compiled import Function
from exprd.function import function
from exprd.futures import Future

__all__ = ["compile_async"]


def compile_async(
    inputs: Sequence[Any], outputs: object = None, **options: Any
) -> Future[Function]:
    """The function to be, of expressions that are compiled in the background; returns at once.

    Several compile side by side: in this process as threads, on a server in its worker processes.
    A future that is cancelled gives no function; a compilation that has begun ends by itself.

    Args:
        inputs: as of `function`.
        outputs: as of `function`.
        **options: the other arguments of `function`.

    Raises:
        GraphError: the expressions do not fit together. What only the compiler finds, and a server
            that cannot be reached, `result` raises.
        CallError: for arguments that are not what they should be.
    """
    return function(inputs, outputs, lazy=True, **options).when_ready()
