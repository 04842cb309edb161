"""Configuration: one table of options, and the object that holds their values.

Values come from `EXPRD_FLAGS`, then `THEANO_FLAGS`, then the defaults; an assignment overrides all.
This is the only module of the client that reads the environment.
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["OPTIONS", "Config", "ConfigWarning", "Option", "config"]


class ConfigWarning(UserWarning):
    """A flag that was not understood, and is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One configuration variable.

    Attributes:
        name: dotted name.
        default: value when nothing else is said; its type is the type of the option.
        doc: one sentence.
        choices: the allowed values; empty means any.
        environment: a variable of the environment of its own.
    """

    name: str
    default: Any
    doc: str
    choices: tuple[Any, ...] = ()
    environment: str = ""

    def parse(self, value: object) -> Any:
        """The value in the option's type.

        Raises:
            ValueError: it is none of the choices, or of another type.
        """
        parsed = self._converted(value)
        if self.choices and parsed not in self.choices:
            allowed = ", ".join(map(str, self.choices))
            raise ValueError(f"{self.name} cannot be {value!r}; it is one of {allowed}")
        return parsed

    def _converted(self, value: object) -> Any:
        if isinstance(self.default, bool):
            text = str(value).lower()
            if text not in ("true", "1", "false", "0"):
                raise ValueError(f"{self.name} is true or false, not {value!r}")
            return text in ("true", "1")
        try:
            return type(self.default)(value)
        except (TypeError, ValueError):
            kind = type(self.default).__name__
            raise ValueError(f"{self.name} is of type {kind}, not {value!r}") from None


OPTIONS: Final = (
    Option(
        name="floatX",
        default="float64",
        doc="Default float dtype.",
        choices=("float64", "float32"),
    ),
    Option(
        name="cast_policy",
        default="custom",
        doc="What python numbers become.",
        choices=("custom",),
    ),
    Option(
        name="int_division",
        default="int",
        doc="Whether / on integers is refused; else it is the quotient in floatX.",
        choices=("int", "floatX", "raise"),
    ),
    Option(name="device", default="cpu", doc="Where functions run.", choices=("cpu",)),
    Option(name="mode", default="FAST_RUN", doc="Default mode of function()."),
    Option(name="optimizer", default="fast_run", doc="Default set of rewrites."),
    Option(name="linker", default="c", doc="Default way of running a compiled graph."),
    Option(
        name="on_unused_input",
        default="raise",
        doc="What function() does about an input that plays no part.",
        choices=("raise", "warn", "ignore"),
    ),
    Option(name="profile", default=False, doc="Collect timings of every function."),
    Option(
        name="exception_verbosity",
        default="low",
        doc="How much an error tells.",
        choices=("low", "high"),
    ),
    Option(name="deadline", default=300.0, doc="Seconds a call of the server may take."),
    Option(
        name="target",
        default="",
        doc="Server to use: host:port or unix:///path; empty means this process.",
        environment="EXPRD_TARGET",
    ),
    Option(
        name="cache_dir",
        default="",
        doc="Folder of compiled objects; empty means the user's cache folder.",
        environment="EXPRD_CACHE_DIR",
    ),
)
_BY_NAME: Final = {option.name: option for option in OPTIONS}


class Config:
    """The values of all options, as attributes.

    Raises:
        AttributeError: there is no such option.
        ValueError: the value is not one of the option's choices.
    """

    _values: dict[str, Any]
    _home: str

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {option.name: option.default for option in OPTIONS}
        for source in ("THEANO_FLAGS", "EXPRD_FLAGS"):
            for name, text in _flags(environment.get(source, ""), source):
                values[name] = _BY_NAME[name].parse(text)
        for option in OPTIONS:
            if environment.get(option.environment):
                values[option.name] = option.parse(environment[option.environment])
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_home", environment.get("XDG_CACHE_HOME", ""))

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name.replace("__", ".")]
        except KeyError:
            raise AttributeError(f"no option {name!r}; print(exprd.config) lists them") from None

    def __setattr__(self, name: str, value: object) -> None:
        option = _BY_NAME.get(name.replace("__", "."))
        if option is None:
            raise AttributeError(f"no option {name!r}; print(exprd.config) lists them")
        self._values[option.name] = option.parse(value)

    def __str__(self) -> str:
        return "\n".join(f"{o.name} ({o.doc})\n    Value:  {self._values[o.name]}" for o in OPTIONS)

    def cache_folder(self) -> Path | None:
        """The folder of compiled objects; None when the user's cache folder cannot be had."""
        if self.cache_dir:
            return Path(self.cache_dir).expanduser()
        try:
            folder = Path(self._home or Path("~/.cache").expanduser()) / "exprd"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # a user without a home
            return None
        return folder

    @contextmanager
    def change_flags(self, **flags: Any) -> Generator[None]:
        """Other values for the time of a `with` block."""
        old = {name: getattr(self, name) for name in flags}
        try:
            for name, value in flags.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in old.items():
                setattr(self, name, value)


def _flags(text: str, source: str) -> Iterator[tuple[str, str]]:
    """The known flags of a comma-separated list, in order."""
    splitter = shlex.shlex(text, posix=True)
    splitter.whitespace, splitter.whitespace_split, splitter.commenters = ",", True, ""
    for item in splitter:
        name, equals, value = item.strip().partition("=")
        name = name.replace("__", ".")
        if equals and name in _BY_NAME:
            yield name, value
        elif not equals or source == "EXPRD_FLAGS":  # Theano has many flags that mean nothing here
            warnings.warn(f"{source}: flag {item!r} is ignored", ConfigWarning, stacklevel=4)


config: Final = Config(os.environ)
