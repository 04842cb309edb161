"""Waiting: commits whose answer waits for the disk, and work whose errors they are told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from exprd_compiler.errors import CompilerBug, ExprdError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting:
    """A commit whose answer waits for the disk, and how to undo it."""

    undo: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)
    error: ExprdError | None = None

    def tell(self, error: ExprdError | None) -> None:
        """Ends the wait."""
        self.error = error
        self.done.set()


def again(error: ExprdError) -> ExprdError:
    """An error that says the same: one that many raise would keep what each of them was doing."""
    return type(error)(error.message, hint=error.hint, fields=error.fields)


def tried(work: Callable[[], T]) -> T | ExprdError:
    """What work gives, or its error: whoever waits must be told, whatever it is."""
    try:
        return work()
    except ExprdError as fault:
        return fault
    except Exception as bug:
        return CompilerBug(f"the store failed with {type(bug).__name__}: {bug}")
