"""Configuration: the object that holds the values of all options.

A value comes from, the stronger first: an assignment, `EXPRD_FLAGS`, `THEANO_FLAGS`, `.exprdrc`,
`.theanorc`, the default. Only this package of the client reads the environment.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exprd.config.option import ConfigWarning, Option
from exprd.config.sources import Setting, dotted, settings
from exprd.config.table import BY_NAME, IGNORED, OPTIONS, PENDING, reason_ignored

__all__ = [
    "IGNORED",
    "OPTIONS",
    "PENDING",
    "Config",
    "ConfigWarning",
    "Option",
    "change_flags",
    "config",
]

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
_SECTIONS: Final = frozenset(
    name.partition(".")[0]
    for name in (*BY_NAME, *PENDING, *(key for keys in IGNORED.values() for key in keys))
    if "." in name
)


class Config:
    """The values of all options, as attributes; `a.b` is also spelled `a__b`.

    An assignment holds for the process, `change_flags` for the block and thread that says it.

    Raises:
        AttributeError: there is no such option.
        ValueError: the value is not one of the option's choices.
    """

    _home: str
    _ignored: dict[str, Any]
    _local: ContextVar[Mapping[str, Any]]
    _sources: dict[str, str]
    _values: dict[str, Any]

    def __init__(self, environment: Mapping[str, str]) -> None:
        fields: dict[str, Any] = {
            "_home": environment.get("XDG_CACHE_HOME", ""),
            "_ignored": {},
            "_local": ContextVar("exprd_flags", default=_EMPTY),
            "_sources": {},
            "_values": {option.name: option.default for option in OPTIONS},
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        for setting in (*settings(environment), *_own_variables(environment)):
            self._take(setting)

    def __getattr__(self, name: str) -> Any:
        name = dotted(name)
        local = self._local.get()
        if name in local:
            return local[name]
        if name in self._values:
            return self._values[name]
        if name in _SECTIONS:
            return _Section(self, name)
        if name in self._ignored:
            return self._ignored[name]
        raise AttributeError(_unknown(name))

    def __setattr__(self, name: str, value: object) -> None:
        option = self._option(name, value)
        if option is None:
            return
        parsed, local = option.parse(value), self._local.get()
        if option.name in local:
            self._local.set(MappingProxyType({**local, option.name: parsed}))
            return
        self._values[option.name] = parsed
        self._sources[option.name] = "assigned"

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *BY_NAME]

    def __str__(self) -> str:
        return "\n".join(self._shown(option) for option in OPTIONS)

    def ignored(self) -> Mapping[str, tuple[str, ...]]:
        """The keys of Theano that are accepted without effect, by reason."""
        return IGNORED

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
        """Other values for a `with` block or, as a decorator, for the calls of a function.

        They hold in this thread only.
        """
        options = [(self._option(name, value), value) for name, value in flags.items()]
        new = {option.name: option.parse(value) for option, value in options if option}
        token = self._local.set(MappingProxyType({**self._local.get(), **new}))
        try:
            yield
        finally:
            self._local.reset(token)

    def _take(self, setting: Setting) -> None:
        """A setting from outside the program: what it says wrongly is a warning where it can be."""
        name, text, source = setting
        option = BY_NAME.get(name)
        if option is not None:
            try:
                self._values[name] = option.parse(text)
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from None
            self._sources[name] = source
        elif (why := reason_ignored(name)) is not None:
            self._ignore(name, text, why)
        else:
            warnings.warn(f"{source}: {_unknown(name)}", ConfigWarning, stacklevel=2)

    def _option(self, name: str, value: object) -> Option | None:
        """The option that may be set; None when the name is known and has no effect."""
        name = dotted(name)
        option = BY_NAME.get(name)
        if option is None:
            why = reason_ignored(name)
            if why is None:
                raise AttributeError(_unknown(name))
            self._ignore(name, value, why)
            return None
        if option.fixed and option.parse(value) != getattr(self, name):
            raise AttributeError(
                f"can't change the value of the config parameter {name} after initialization;"
                f" set it in EXPRD_FLAGS"
            )
        return option

    def _ignore(self, name: str, value: object, why: str) -> None:
        if name not in self._ignored:
            warnings.warn(f"{name} has no effect here: {why}", ConfigWarning, stacklevel=4)
        self._ignored[name] = value

    def _shown(self, option: Option) -> str:
        kind = "/".join(map(str, option.choices)) or type(option.default).__name__
        source = self._sources.get(option.name, "default")
        if option.name in self._local.get():
            source = "change_flags"
        value = option.shown(getattr(self, option.name))
        return f"{option.name} ({kind})\n    Doc:  {option.doc}\n    Value:  {value}  [{source}]\n"


class _Section:
    """The options `name.*` as attributes."""

    __slots__ = ("_config", "_name")

    def __init__(self, config: Config, name: str) -> None:
        object.__setattr__(self, "_config", config)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, f"{self._name}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._config, f"{self._name}.{name}", value)


def _own_variables(environment: Mapping[str, str]) -> Iterator[Setting]:
    """The options that have a variable of the environment of their own."""
    for option in OPTIONS:
        if environment.get(option.environment):
            yield Setting(option.name, environment[option.environment], option.environment)


def _unknown(name: str) -> str:
    why = reason_ignored(name)
    if why is not None:
        return f"the option {name!r} of Theano has no value here: {why}"
    close = difflib.get_close_matches(name, BY_NAME, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"no option {name!r}; {meant}print(exprd.config) lists them"


config: Final = Config(os.environ)
change_flags: Final = config.change_flags
