"""PublishedFunction: a function that was looked up by name. Called like a compiled one."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprd import many
from exprd.buffers import Buffer
from exprd.forms import read_form
from exprd.looping import Given
from exprd.named import ParameterInfo, PublishedInfo
from exprd.numeric import warn_of
from exprd.runs import Ready, made
from exprd.session import Session
from exprd.slots import Slot
from exprd.transport import InputValue, OutputValue, RemoteBuffer
from exprd.types import filter_value
from exprd_compiler.errors import CallError, ExprdError
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.type import TensorType

__all__ = ["PublishedFunction", "PublishedVariable"]


class PublishedVariable:
    """A shared variable of a published function, known by its uuid alone.

    Attributes:
        name: as its publisher called it.
        uuid: what it is bound by.
        type: dtype and shape.
        updated: whether a call assigns it.
    """

    __slots__ = ("_session", "name", "type", "updated", "uuid")

    def __init__(self, session: Session, info: ParameterInfo, updated: bool) -> None:
        self._session, self.updated = session, updated
        self.name, self.uuid, self.type = info.name, info.variable, info.type

    @property
    def version(self) -> int:
        """How often it was assigned, from 1 on; for `expecting` and `expected_version`."""
        return self._session.transport.variable_versions((self.uuid,))[0]

    def get_value(self) -> NDArray[Any]:
        """Its value now, a copy."""
        return self._session.transport.get_variable(self.uuid).copy()

    def set_value(self, value: object, expected_version: int | None = None) -> None:
        """Assigns it, if it is at a version when one is expected.

        Raises:
            CallError: the value does not fit its type.
            Conflict: the variable is at another version; nothing has changed.
        """
        given = filter_value(self.type, value).copy()
        self._session.transport.set_variable(self.uuid, given, expected_version)

    def __repr__(self) -> str:
        return f"<{self.name or 'unnamed'} {self.type}{' updated' * self.updated}>"


class PublishedFunction:
    """A function of which only name and form of call are known; its graph stays where it runs.

    Attributes:
        info: name, version, labels, types.
        session: where it runs.
        shared: the variables that it reads or updates.
        trust_input: skip the checks of arguments; arrays must then have exactly the right type.
    """

    def __init__(self, session: Session, info: PublishedInfo) -> None:
        self.session, self.info, self.trust_input = session, info, False
        self._slots, self._layout, self._outputs = read_form(info.form, info.inputs)
        self._run = session.transport.runner(info.handle, len(info.outputs))
        self.shared = tuple(
            PublishedVariable(session, one, place in info.updated)
            for place, one in enumerate(info.shared)
        )
        self.__name__ = info.name
        self.__doc__ = info.doc or None
        self.__signature__ = signature_of(self._slots)
        session.collect_with(self, "function", info.handle)

    @property
    def name(self) -> str:
        """What it was looked up by."""
        return self.info.name

    @property
    def version(self) -> int:
        """Which version it is, for good."""
        return self.info.version

    @property
    def handle(self) -> str:
        """The name of the function where it runs."""
        return self.info.handle

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Runs the function.

        Raises:
            CallError: an argument is missing, unknown, or not of its input's type.
        """
        return made(self._ready(args, kwargs), keep=False)

    keep = many.keep
    submit = many.submit
    submit_keep = many.submit_keep
    batch = many.batch
    repeat = many.repeat
    expecting = many.expecting

    def _ready(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Ready:
        values, loops = self._taken(args, kwargs), self.session.transport.loops
        outputs = len(self.info.outputs)
        return Ready(self, None, self._run, loops, self.info.handle, values, outputs)

    def _concluded(self, _program: None, given: Given, /) -> Any:
        """The user's result of what a call gives."""
        return self._layout.arrange(self._finished(*given))

    def _shown(self, outputs: Sequence[Any], /) -> Any:
        """What the result would be of the arrays of one step."""
        return self._layout.arrange([np.array(x) for x in outputs[: self._outputs]])

    def _explain(self, _program: None, _values: Sequence[InputValue], error: ExprdError, /) -> None:
        """Says whose error it is; no line of the caller's has built the graph."""
        error.add_note(f"in {self!r}")

    def _finished(self, outputs: Sequence[OutputValue], met: Sequence[EventCount]) -> Sequence[Any]:
        found = [Buffer(self.session, x) if isinstance(x, RemoteBuffer) else x for x in outputs]
        if met:
            warn_of(met, ())
        return found[: self._outputs]

    def _taken(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[InputValue]:
        if self.trust_input and not kwargs and len(args) == len(self._slots):
            return args
        return [self._take(place, x) for place, x in enumerate(self._given(args, kwargs))]

    def _take(self, place: int, value: object) -> Any:
        slot = self._slots[place]
        try:
            return slot.take(value, self.session)
        except CallError as error:
            error.op = f"{self.name}, argument {place} ({slot.name or 'unnamed'})"
            raise

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """One value per input, defaults for those that are left out."""
        slots = self._slots
        if len(args) > len(slots):
            raise CallError(f"{self.name} takes {len(slots)} arguments, got {len(args)}")
        given = dict(enumerate(args))
        for word, value in kwargs.items():
            place = self._place_of(word)
            if place in given:
                raise CallError(f"{self.name} got two values for the input {word!r}")
            given[place] = value
        if refused := [i for i in given if slots[i].implicit]:
            names = ", ".join(slots[i].shown(i) for i in refused)
            raise CallError(f"{self.name} got a value for the implicit input {names}")
        missing = [i for i in range(len(slots)) if i not in given and slots[i].default is None]
        if missing:
            names = ", ".join(slots[i].shown(i) for i in missing)
            raise CallError(f"{self.name} misses the input {names}")
        return [given.get(i, slot.default) for i, slot in enumerate(slots)]

    def _place_of(self, word: str) -> int:
        for place, slot in enumerate(self._slots):
            if slot.name == word:
                return place
        known = ", ".join(slot.name for slot in self._slots if slot.name) or "none"
        raise CallError(f"{self.name} has no input {word!r}", hint=f"its keywords: {known}")

    def __repr__(self) -> str:
        where = self.session.target or "this process"
        shown = f"{self.name}{self.__signature__} version {self.version}"
        return f"<published function {shown} in {where}>"


def signature_of(slots: Sequence[Slot]) -> inspect.Signature:
    """The signature of a call. What has no keyword that python can write goes by position."""
    shown = [slot for slot in slots if not slot.implicit]
    words = _words(shown)
    last = max((i for i, word in enumerate(words) if not word), default=-1)
    required = max((i for i, slot in enumerate(shown) if slot.default is None), default=-1)
    parameters = [
        inspect.Parameter(
            words[place] or _free(f"input{place}", words),
            inspect.Parameter.POSITIONAL_ONLY
            if place <= last
            else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            # python shows no default before an input that has to be given
            default=inspect.Parameter.empty if place <= required else slot.default,
            annotation=_Shown(slot.type),
        )
        for place, slot in enumerate(shown)
    ]
    return inspect.Signature(parameters)


class _Shown:
    """A tensor type as an annotation, which `help` shows as it is written elsewhere."""

    __slots__ = ("type",)

    def __init__(self, type_: TensorType) -> None:
        self.type = type_

    def __repr__(self) -> str:
        return str(self.type)


def _words(slots: Sequence[Slot]) -> list[str]:
    """The keywords of slots; "" for one that has none, or shares its name with another."""
    names = [slot.name or "" for slot in slots]
    return [
        name
        if name.isidentifier() and not keyword.iskeyword(name) and names.count(name) == 1
        else ""
        for name in names
    ]


def _free(word: str, words: Sequence[str]) -> str:
    """The word, or one that begins with it and is none of others."""
    while word in words:
        word += "_"
    return word
