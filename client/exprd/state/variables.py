"""Variables of an object: the shared variables that its attributes hold, by path.

`net.hidden.weight` is "hidden.weight". Modules, objects of the user's classes, lists, tuples and
dicts are looked into; what an attribute names already has no second name in a list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from exprd.convert import is_mapping, is_sequence
from exprd.shared import TensorSharedVariable
from exprd.state.lazy import UninitializedParameter
from exprd_compiler.errors import CallError

__all__ = ["Leaf", "attributes", "named_leaves", "named_parts"]

Leaf: TypeAlias = TensorSharedVariable | UninitializedParameter

# Packages whose objects are values: nothing in them is part of a model.
_CLOSED: Final = frozenset({"exprd", "exprd_compiler", "exprd_proto", "exprd_server", "numpy"})


def named_leaves(root: object) -> dict[str, Leaf]:
    """The variables of an object by path: its own, then those of its parts.

    Raises:
        CallError: two variables have the same path, as a key with a dot in it can bring about.
    """
    found: dict[str, Leaf] = {}
    met: set[int] = set()
    for path, part in named_parts(root):
        listed = _is_list(part)
        for name, value in attributes(part):
            if not isinstance(value, Leaf) or (listed and id(value) in met):
                continue
            met.add(id(value))
            full = _join(path, name)
            if full in found:
                raise CallError(f"two variables have the path {full!r}", op="state_dict")
            found[full] = value
    return found


def named_parts(root: object) -> Iterator[tuple[str, Any]]:
    """An object and what is looked into, by path; each before its parts, lists after the rest.

    A part with two attributes is met by both names, but nothing is met within itself.
    """
    rest: list[tuple[str, Any, frozenset[int], bool]] = [("", root, frozenset(), False)]
    met: set[int] = set()
    while rest:
        path, part, above, listed = rest.pop()
        if listed and id(part) in met:
            continue
        met.add(id(part))
        yield path, part
        above = above | {id(part)}
        parts = [
            (_join(path, name), value, above, _is_list(part))
            for name, value in attributes(part)
            if _is_part(value) and id(value) not in above
        ]
        parts.sort(key=lambda entry: _is_list(entry[1]))
        rest.extend(reversed(parts))


def attributes(value: object) -> Iterator[tuple[str, Any]]:
    """What an object holds, by name; the items of a list by position, of a dict by key."""
    if is_sequence(value):
        yield from ((str(place), item) for place, item in enumerate(value))
    elif is_mapping(value):
        yield from ((str(k), item) for k, item in value.items() if isinstance(k, str | int))
    else:
        yield from list(getattr(value, "__dict__", {}).items())
        for kind in type(value).__mro__:
            slots: str | tuple[str, ...] = getattr(kind, "__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    yield name, getattr(value, name)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_list(value: object) -> bool:
    return is_sequence(value) or is_mapping(value)


def _is_part(value: object) -> bool:
    """Whether a value may hold variables: a module, a list, or an object of the user's."""
    if isinstance(value, Leaf | type):
        return False
    if _is_list(value) or getattr(value, "is_module", False) is True:
        return True
    package = type(value).__module__.partition(".")[0]
    return package not in _CLOSED and package not in sys.stdlib_module_names
