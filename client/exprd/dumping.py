"""Function dump: the arguments of `function` in a file, to repeat a compilation elsewhere."""

from __future__ import annotations

import inspect
import os
from typing import Any, Final

from exprd.convert import is_mapping
from exprd.function import function
from exprd.mode import Mode
from exprd.saving.files import save
from exprd_compiler.errors import CallError

__all__ = ["function_dump"]

_PAIRS: Final = ("updates", "givens")


def function_dump(
    filename: str | os.PathLike[str],
    inputs: object,
    outputs: object = None,
    mode: Mode | str | None = None,
    **arguments: Any,
) -> None:
    """Writes what `function` would be called with; `function(**exprd.load(filename))` calls it.

    Args:
        filename: of the file, which `exprd.load` reads.
        inputs: as for `function`; so are all others, which are given by name.
        outputs: what a call is to return.
        mode: a mode or its name.
        arguments: the other arguments of `function`.

    Raises:
        CallError: `function` has no such argument, or one of them cannot be saved.
        OSError: the file cannot be written.
    """
    unknown = sorted(set(arguments) - _known())
    if unknown:
        raise CallError(f"function has no argument {unknown[0]!r}", op="function_dump")
    given = {"inputs": inputs, "outputs": outputs, "mode": mode, **arguments}
    for name in _PAIRS:
        value = given.get(name)
        if is_mapping(value):
            given[name] = list(value.items())  # keys of a file are strings
    save({name: value for name, value in given.items() if value is not None}, filename)


def _known() -> set[str]:
    return set(inspect.signature(function).parameters)
