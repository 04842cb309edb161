"""Plain pickles: the subset of pickle that describes data, read without `pickle` itself.

A pickle is a program; `pickle` would run whatever it names. Here the only names are those of a
table, and the only results containers, strings, numbers and what the table makes. The opcodes are
parsed by `pickletools`, which reads no further than the bytes there are.
"""

from __future__ import annotations

import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from exprd.convert import is_array, is_mapping
from exprd_compiler.errors import DamagedFile

__all__ = ["Name", "PlainPickle", "kind_of", "refused"]

_DAMAGE: Final = (ValueError, IndexError, KeyError, TypeError, OverflowError)
_KEYS: Final = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle mentions; it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class PlainPickle:
    """One pickle being read.

    Args:
        calls: what the named functions make of their arguments.
        persistent: what a persistent id stands for.
    """

    def __init__(
        self,
        calls: Mapping[Name, Callable[..., Any]],
        persistent: Callable[[Any], Any],
    ) -> None:
        self._calls, self._persistent = calls, persistent
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: Mapping[str, Callable[[Any], None]] = MappingProxyType(
            {
                "MARK": self._mark,
                "POP": self._pop,
                "TUPLE": self._tuple,
                "TUPLE1": lambda _: self._short_tuple(1),
                "TUPLE2": lambda _: self._short_tuple(2),
                "TUPLE3": lambda _: self._short_tuple(3),
                "LIST": self._list,
                "DICT": self._dict,
                "APPEND": self._append,
                "APPENDS": self._appends,
                "SETITEM": self._setitem,
                "SETITEMS": self._setitems,
                **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._put),
                "MEMOIZE": self._memoize,
                **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self._get),
                "GLOBAL": self._global,
                "STACK_GLOBAL": self._stack_global,
                "REDUCE": self._reduce,
                "BUILD": self._build,
                "BINPERSID": self._persistent_id,
                **dict.fromkeys(("NEWOBJ", "NEWOBJ_EX", "OBJ"), self._object),
                "INST": self._instance,
            }
        )

    def read(self, stream: io.BytesIO) -> Any:
        """The object of the next pickle of a stream, which then stands behind it.

        Raises:
            DamagedFile: it is no pickle, or one that is more than data.
        """
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._step(opcode.name, argument)
            (value,) = self._stack
            _check_plain(value)
        except DamagedFile:
            raise
        except (*_DAMAGE, Warning) as error:  # odd escapes are warned of, maybe as errors
            raise DamagedFile(f"the pickle is damaged: {error}") from error
        return value

    def _step(self, opcode: str, argument: Any) -> None:
        if opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _FRESH:
            self._stack.append(_FRESH[opcode]())
        elif opcode in self._steps:
            self._steps[opcode](argument)
        elif opcode not in _IGNORED:
            raise DamagedFile(
                f"the pickle needs {opcode}, which is not data",
                hint="save arrays, strings, numbers, and lists and dicts of these",
            )

    # ---- containers
    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _marked(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _tuple(self, _: Any) -> None:
        items = self._marked()
        self._stack.append(tuple(items))

    def _list(self, _: Any) -> None:
        items = self._marked()
        self._stack.append(items)

    def _dict(self, _: Any) -> None:
        items = self._marked()
        self._stack.append({})
        self._set(items)

    def _short_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise DamagedFile("the pickle is damaged: a tuple lacks items")
        items = self._stack[-length:]
        del self._stack[-length:]
        self._stack.append(tuple(items))

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        kind = kind_of(target)
        if kind is not list:
            raise DamagedFile(f"the pickle appends to {_described(target)}")
        target.extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _setitems(self, _: Any) -> None:
        self._set(self._marked())

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict):
            raise DamagedFile(f"the pickle sets items of {_described(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in _KEYS:
                raise DamagedFile(f"the pickle has a dict with the key {_described(key)}")
            target[key] = value

    # ---- memory
    def _put(self, place: Any) -> None:
        self._memo[int(place)] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, place: Any) -> None:
        self._stack.append(self._memo[int(place)])

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    # ---- names and calls
    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Name(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(Name(str(module), str(name)))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Name) or function not in self._calls:
            raise refused(self._outermost(_described(function)))
        if type(arguments) is not tuple:
            raise DamagedFile(f"the pickle calls {function} with {_described(arguments)}")
        self._stack.append(self._calls[function](*arguments))

    def _build(self, _: Any) -> None:
        """The version numbers that torch ties to a state dict say nothing about tensors."""
        state = self._stack.pop()
        target = self._stack[-1]
        if kind_of(target) is not OrderedDict or set(state) != {"_metadata"}:
            raise DamagedFile(f"the pickle gives attributes to {_described(target)}")

    def _object(self, _: Any) -> None:
        raise refused(self._outermost("an object"))

    def _instance(self, argument: str) -> None:
        raise refused(self._outermost(argument.replace(" ", ".")))

    def _outermost(self, what: str) -> str:
        """The name that tells most: of the call whose arguments are still being read."""
        frames = (*self._below, self._stack)
        items = (item for frame in frames for item in frame)
        names = (str(x) for x in items if isinstance(x, Name) and x not in self._calls)
        return next(names, what)

    def _persistent_id(self, _: Any) -> None:
        self._stack.append(self._persistent(self._stack.pop()))


def kind_of(value: object) -> type:
    """Exactly the class of a value; a class below one is not the same."""
    return type(value)


def refused(what: object) -> DamagedFile:
    """The error of a file that holds more than data."""
    return DamagedFile(
        f"the file holds {what}, which is not loaded: it could be any code",
        hint="save the state_dict() of a module, not the module",
    )


def _check_plain(value: Any) -> None:
    """Refuses a result of which a part is a name, or stands for something else."""
    rest, seen = [value], set[int]()
    while rest:
        item = rest.pop()
        kind = kind_of(item)
        if kind in (list, tuple, dict, OrderedDict):
            if id(item) not in seen:
                seen.add(id(item))
                rest.extend(item.values() if is_mapping(item) else item)
        elif kind not in _KEYS and not is_array(item):
            raise refused(_described(item))


def _described(value: object) -> str:
    return str(value) if isinstance(value, Name) else f"an object of {type(value).__name__}"


_IGNORED: Final = frozenset({"PROTO", "FRAME", "STOP"})
_LITERALS: Final = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    }
)
_FRESH: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType(
    {
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
        "EMPTY_DICT": dict,
        "EMPTY_LIST": list,
        "EMPTY_TUPLE": tuple,
    }
)
