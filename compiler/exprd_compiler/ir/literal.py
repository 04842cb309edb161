"""Literals: how the values of attributes are written in the text of a graph, and read back.

    value = none | true | false | integer | float | "string" | tuple | type | array
    tuple = () | (value, value, ...)
    type  = dtype[extent,...]                   an extent that is not known is ?
    array = type{number, ...} | type"base64"    the little-endian bytes when the numbers are many

A complex element is two numbers, its real and its imaginary part.

Reading gives back exactly what was written, to the bit. Nothing here knows of graphs.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any, Final

import numpy as np

from exprd_compiler.errors import GraphError
from exprd_compiler.ir.dtype import EVERY, ITEMSIZE, is_complex, is_float, numpy_dtype, part_of
from exprd_compiler.ir.half import bfloat16_bits, constant_array, widened
from exprd_compiler.ir.node import Array, Const
from exprd_compiler.ir.type import TensorType

# Arrays of up to this many elements are written as numbers.
READABLE: Final = 8
# Tuples within tuples: deeper ones than any op has are refused, since reading them recurses.
MAX_DEPTH: Final = 32

TYPE: Final = rf"(?:{'|'.join(EVERY)})\[[0-9?,]*\]"
STRING: Final = r'"(?:[^"\\]|\\.)*"'
_WORDS: Final[dict[str, Any]] = {"none": None, "true": True, "false": False}
_TOKEN: Final = re.compile(
    rf"""\s*(?:
      (?P<type>{TYPE})
    | (?P<string>{STRING})
    | (?P<float>-?(?:inf\b|nan\b|\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)))
    | (?P<integer>-?\d+)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>[(){{}},=])
    )""",
    re.VERBOSE,
)


# ---- writing
def write_value(value: Any) -> str:
    """The literal of an attribute value.

    Raises:
        GraphError: attributes cannot hold such a value.
    """
    kind: type[object] = value.__class__
    write = _WRITERS.get(kind)
    if write is None:
        raise GraphError(f"an attribute cannot be a {kind.__name__}: {value!r}")
    return write(value)


def _write_word(value: object) -> str:
    return str(value).lower()


def _write_tuple(value: tuple[Any, ...]) -> str:
    items = [write_value(item) for item in value]
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def _write_const(value: Const) -> str:
    array, given = value.array, TensorType(value.dtype, value.array.shape)
    if array.size <= READABLE:
        flat = array.reshape(-1)
        parts = flat.view(part_of(given.dtype)) if is_complex(given.dtype) else widened(flat)
        numbers = [str(item).lower() for item in parts]
        # a NaN may carry bits that its name does not tell
        if "nan" not in numbers or _from_numbers(given, numbers).tobytes() == array.tobytes():
            return f"{given}{{{', '.join(numbers)}}}"
    raw = bfloat16_bits(array) if given.dtype == "bfloat16" else array
    return f'{given}"{base64.b64encode(raw.tobytes()).decode()}"'


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    NoneType: _write_word,
    bool: _write_word,
    int: repr,
    float: repr,
    str: json.dumps,
    tuple: _write_tuple,
    TensorType: str,
    Const: _write_const,
}


# ---- reading
def read_type(text: str) -> TensorType:
    """The type of this text."""
    dtype, _, rest = text.partition("[")
    entries = rest.rstrip("]").split(",") if rest != "]" else []
    try:
        shape = tuple(None if entry == "?" else int(entry) for entry in entries)
    except ValueError as error:
        raise GraphError(f"{text!r} is not a type") from error
    return TensorType(dtype, shape)


def _from_numbers(given: TensorType, numbers: list[str]) -> Array:
    if given.dtype == "bool":
        values: list[Any] = [_WORDS[number] for number in numbers]
    else:
        real = is_float(given.dtype) or is_complex(given.dtype)
        values = list(map(float if real else int, numbers))
    flat = constant_array(values, part_of(given.dtype))[0]
    flat = flat.view(given.dtype) if is_complex(given.dtype) else flat
    return flat.reshape([extent or 0 for extent in given.shape])


def _from_bytes(given: TensorType, text: str) -> Array:
    shape = [extent or 0 for extent in given.shape]
    array = np.frombuffer(
        base64.b64decode(text, validate=True), f"u{ITEMSIZE[part_of(given.dtype)]}"
    )
    if given.dtype == "bool" and array.size and array.max() > 1:
        raise GraphError("a bool is 0 or 1")
    return array.view(numpy_dtype(given.dtype)).reshape(shape)


class Reader:
    """A cursor over the literals in one line."""

    __slots__ = ("at", "text")
    at: int
    text: str

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at

    def token(self) -> tuple[str, str]:
        """The kind and the text of the next token; the cursor moves behind it."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.lastgroup is None:
            raise GraphError(f"cannot read {self.text[self.at : self.at + 20]!r}")
        self.at = found.end()
        return found.lastgroup, found[found.lastgroup]

    def accept(self, mark: str) -> bool:
        """Whether the next token is this mark; if so the cursor moves behind it."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found["mark"] != mark:
            return False
        self.at = found.end()
        return True

    def expect(self, mark: str) -> None:
        """Moves behind a mark that must come next."""
        if not self.accept(mark):
            raise GraphError(f"{mark!r} expected before {self.text[self.at : self.at + 20]!r}")

    def attributes(self) -> tuple[tuple[str, Any], ...]:
        """`{name=value, ...}`, in order of names."""
        out: dict[str, Any] = {}
        self.expect("{")
        while not self.accept("}"):
            kind, name = self.token()
            if kind != "word" or name in out:
                raise GraphError(f"{name!r} is not the name of a further attribute")
            self.expect("=")
            out[name] = self.value()
            if not self.accept(","):
                self.expect("}")
                break
        return tuple(sorted(out.items()))

    def value(self, depth: int = 0) -> Any:
        """The value of the literal at the cursor."""
        kind, text = self.token()
        match kind:
            case "type":
                return self._type_or_array(text)
            case "string":
                return json.loads(text)
            case "float":
                return float(text)
            case "integer":
                return int(text)
            case "word" if text in _WORDS:
                return _WORDS[text]
            case "mark" if text == "(" and depth < MAX_DEPTH:
                return self._tuple(depth)
            case _:
                raise GraphError(f"{text!r} is not a value")

    def _tuple(self, depth: int) -> tuple[Any, ...]:
        items: list[Any] = []
        while not self.accept(")"):
            items.append(self.value(depth + 1))
            if not self.accept(","):
                self.expect(")")
                break
        return tuple(items)

    def _type_or_array(self, text: str) -> TensorType | Const:
        given = read_type(text)
        following = self.text[self.at : self.at + 1]
        if following not in ("{", '"'):
            return given
        if None in given.shape:
            raise GraphError(f"an array of type {given} has no definite shape")
        try:
            if following == "{":
                return Const(_from_numbers(given, self._numbers()))
            return Const(_from_bytes(given, self.token()[1][1:-1]))
        except (ValueError, KeyError, OverflowError, binascii.Error) as error:
            raise GraphError(f"these are not the elements of {given}") from error

    def _numbers(self) -> list[str]:
        self.expect("{")
        out: list[str] = []
        while not self.accept("}"):
            out.append(self.token()[1])
            if not self.accept(","):
                self.expect("}")
                break
        return out
