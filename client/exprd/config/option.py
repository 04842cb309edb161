"""Option: one configuration variable, and how its values are read from text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ConfigWarning", "Option"]

_TRUE: Final = ("true", "1")
_FALSE: Final = ("false", "0")


class ConfigWarning(UserWarning):
    """A setting that was not understood or has no effect here, and is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One configuration variable.

    Attributes:
        name: dotted name.
        default: value when nothing else is said; its type is the type of the option.
        doc: one sentence.
        choices: the allowed values; empty means any.
        environment: a variable of the environment of its own.
        fixed: whether the value stays as it was when exprd was imported.
        secret: whether the value is never shown.
    """

    name: str
    default: Any
    doc: str
    choices: tuple[Any, ...] = ()
    environment: str = ""
    fixed: bool = False
    secret: bool = False

    def shown(self, value: object) -> str:
        """A value for people."""
        return "***" if self.secret and value else str(value)

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
            if text not in (*_TRUE, *_FALSE):
                raise ValueError(f"{self.name} is true or false, not {value!r}")
            return text in _TRUE
        try:
            return type(self.default)(value)
        except (TypeError, ValueError):
            kind = type(self.default).__name__
            raise ValueError(f"{self.name} is of type {kind}, not {value!r}") from None
