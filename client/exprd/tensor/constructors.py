"""Constructors of symbolic variables: every rank and dtype, single and in the plural.

`matrix("x")` has the configured float type; a prefix fixes the dtype: b w i l for int8 to int64,
f and d for float32 and float64, c and z for complex64 and complex128.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from exprd.config import config
from exprd.variable import TensorType, TensorVariable
from exprd_compiler.errors import DTypeError, GraphError

_PATTERNS: Final[dict[str, tuple[bool, ...]]] = {
    "scalar": (),
    "vector": (False,),
    "matrix": (False, False),
    "row": (True, False),
    "col": (False, True),
    **{f"tensor{rank}": (False,) * rank for rank in range(3, 8)},
}
_PREFIXES: Final = {
    "b": "int8",
    "w": "int16",
    "i": "int32",
    "l": "int64",
    "f": "float32",
    "d": "float64",
    "c": "complex64",
    "z": "complex128",
}


class Constructor:
    """One constructor: called with a name it makes a variable, `.type` is the type it makes."""

    __slots__ = ("__name__", "_dtype", "_pattern")

    def __init__(self, name: str, pattern: tuple[bool, ...], dtype: str | None) -> None:
        self.__name__, self._pattern, self._dtype = name, pattern, dtype

    def __call__(self, name: str | None = None, dtype: str | None = None) -> TensorVariable:
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise GraphError(f"{self.__name__}: the name is a string, not {name!r}")
        return self.type_of(dtype)(name)

    def type_of(self, dtype: str | None = None) -> TensorType:
        """The type of the variables, in a dtype if the constructor does not fix it."""
        if self._dtype is not None and dtype not in (None, self._dtype):
            raise DTypeError(f"{self.__name__} makes {self._dtype}, not {dtype}")
        return TensorType(self._dtype or dtype or config.floatX, self._pattern)

    def __repr__(self) -> str:
        return f"<constructor {self.__name__}>"


def _plural(single: Constructor) -> Callable[..., list[TensorVariable]]:
    def several(*names: str | int, dtype: str | None = None) -> list[TensorVariable]:
        wanted = [None] * names[0] if len(names) == 1 and isinstance(names[0], int) else names
        return [single(name, dtype) for name in wanted]  # type: ignore[arg-type]

    several.__doc__ = f"As many variables as names, each made by {single.__name__}."
    return several


def _plural_name(name: str) -> str:
    return f"{name[:-3]}rices" if name.endswith("matrix") else f"{name}s"


def _singles() -> dict[str, Constructor]:
    out = {name: Constructor(name, pattern, None) for name, pattern in _PATTERNS.items()}
    for prefix, dtype in _PREFIXES.items():
        for name, pattern in _PATTERNS.items():
            out[prefix + name] = Constructor(prefix + name, pattern, dtype)
    return out


SINGLES: Final = _singles()
PLURALS: Final = {_plural_name(name): _plural(single) for name, single in SINGLES.items()}
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {**SINGLES, **PLURALS}

# pyright cannot read names that come from a table
__all__ = sorted(FUNCTIONS)  # pyright: ignore[reportUnsupportedDunderAll]


def tensor(
    name: str | None = None,
    dtype: str | None = None,
    broadcastable: tuple[bool, ...] | None = None,
    shape: tuple[int | None, ...] | None = None,
) -> TensorVariable:
    """A variable of any type."""
    kind = dtype or config.floatX
    if shape is None:
        return TensorType(kind, broadcastable or ())(name)
    return TensorType(kind, shape=shape)(name)


def __getattr__(name: str) -> Callable[..., Any]:
    try:
        return FUNCTIONS[name]
    except KeyError:
        raise AttributeError(f"no constructor {name!r}") from None
