"""Where settings come from: flags of the environment, and files.

Every source is read into rows (name, text, source); what they mean is the table's business.
"""

from __future__ import annotations

import configparser
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from exprd.config.option import ConfigWarning

__all__ = ["Setting", "settings"]

# From the weakest to the strongest: (variable of the environment, default file).
_FILES: Final = (("THEANORC", "~/.theanorc"), ("EXPRDRC", "~/.exprdrc"))
_FLAGS: Final = ("THEANO_FLAGS", "EXPRD_FLAGS")


class Setting(NamedTuple):
    """One setting as found: dotted name, value as text, and where it stood."""

    name: str
    text: str
    source: str


def settings(environment: Mapping[str, str]) -> Iterator[Setting]:
    """All settings, the stronger ones later."""
    for variable, default in _FILES:
        for path in environment.get(variable, default).split(os.pathsep):
            yield from _of_file(path)
    for variable in _FLAGS:
        yield from _of_flags(environment.get(variable, ""), variable)


def _of_flags(text: str, source: str) -> Iterator[Setting]:
    """The settings of a comma-separated list; quotes as in a shell."""
    splitter = shlex.shlex(text, posix=True)
    splitter.whitespace, splitter.whitespace_split, splitter.commenters = ",", True, ""
    try:
        items = list(splitter)
    except ValueError as error:
        warnings.warn(f"{source} cannot be read: {error}", ConfigWarning, stacklevel=2)
        return
    for item in items:
        name, equals, value = item.strip().partition("=")
        if equals:
            yield Setting(dotted(name.strip()), value.strip(), source)
        elif name:
            warnings.warn(f"{source}: {item!r} has no value", ConfigWarning, stacklevel=2)


def _of_file(path: str) -> Iterator[Setting]:
    """The settings of one INI file; keys outside any section count as in [global]."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8") if path else ""
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # RuntimeError: no home
        return
    except (OSError, UnicodeDecodeError) as error:
        warnings.warn(f"{path} cannot be read: {error}", ConfigWarning, stacklevel=2)
        return
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(f"[global]\n{text}", source=path)
    except configparser.Error as error:
        warnings.warn(f"{path} cannot be read: {error}", ConfigWarning, stacklevel=2)
        return
    for section in parser.sections():
        prefix = "" if section == "global" else f"{section}."
        for name, value in parser.items(section):
            yield Setting(dotted(prefix + name), value.strip(), path)


def dotted(name: str) -> str:
    """The name of an option in the one spelling; `a__b` means `a.b`."""
    return name.replace("__", ".")
