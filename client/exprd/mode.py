"""Mode: how a function is compiled, by Theano's names.

A mode is a linker (what runs the graph) and an optimizer (how far it is rewritten), less the
rewrites that are excluded by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from exprd.config import config
from exprd.config.table import BY_NAME
from exprd_compiler.errors import GraphError

__all__ = ["FAST_COMPILE", "FAST_RUN", "Mode", "get_default_mode", "get_mode"]

LINKERS: Final = BY_NAME["linker"].choices
_LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "o4": "FAST_RUN",
        "o3": "FAST_RUN",
        "o2": "FAST_RUN",
        "fast_run": "FAST_RUN",
        "o1": "FAST_COMPILE",
        "fast_compile": "FAST_COMPILE",
        "merge": "NONE",
        "None": "NONE",
    }
)


@dataclass(frozen=True, slots=True)
class Mode:
    """A linker, an optimizer, and the names of excluded rewrites.

    Args:
        linker: "py" runs the graph node by node with numpy; the others are native code. None and
            "default" mean `config.linker`.
        optimizer: "fast_run" ("o2" to "o4"), "fast_compile" ("o1"), or "None". "default" means
            `config.optimizer`, None means "None".
        excluded: names of rewrites and passes that are left out.

    Raises:
        GraphError: there is no such linker or optimizer.
    """

    linker: str | None = None
    optimizer: str | None = "default"
    excluded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        linker = config.linker if self.linker in (None, "default") else self.linker
        chosen = config.optimizer if self.optimizer == "default" else str(self.optimizer)
        for name, known in ((linker, LINKERS), (chosen, tuple(_LEVELS))):
            if name not in known:
                raise GraphError(f"no mode with {name!r}", hint=f"one of {', '.join(known)}")
        object.__setattr__(self, "linker", linker)
        object.__setattr__(self, "optimizer", chosen)

    def excluding(self, *names: str) -> Mode:
        """The mode without some more rewrites."""
        return replace(self, excluded=(*self.excluded, *names))

    @property
    def level(self) -> str:
        """The name of the optimizer's level in a request."""
        return _LEVELS[str(self.optimizer)]

    @property
    def target(self) -> str:
        """The name of what runs the graph, in a request."""
        return "reference" if self.linker == "py" else "cpu"


FAST_RUN: Final = Mode("cvm", "fast_run")
FAST_COMPILE: Final = Mode("cvm", "fast_compile")
_NAMED: Final[Mapping[str, Mode]] = MappingProxyType(
    {"FAST_RUN": FAST_RUN, "FAST_COMPILE": FAST_COMPILE, "NONE": Mode("cvm", None)}
)


def get_mode(mode: Mode | str | None) -> Mode:
    """The mode that a name or an object means; None means `config.mode`.

    Raises:
        GraphError: there is no mode of this name.
    """
    if isinstance(mode, Mode):
        return mode
    name = str(config.mode if mode is None else mode)
    if name == "Mode":
        excluded = str(config.optimizer_excluding)
        return Mode(excluded=tuple(filter(None, excluded.split(":"))))
    found = _NAMED.get(name.upper())
    if found is None:
        raise GraphError(
            f"no predefined mode exists for {name!r}", hint=f"one of Mode, {', '.join(_NAMED)}"
        )
    return found


def get_default_mode() -> Mode:
    """The mode of functions that name none."""
    return get_mode(None)
