"""Holding: who keeps the compiled functions of a server, and for how long.

A function lives as long as somebody holds it: clients, while their leases last, and published
versions, until they are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exprd_server.functions import Holding

PUBLISHED: Final = "@"  # begins the names under which published versions hold their functions
SHOWN: Final = 8  # of the characters of a client's id


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A client that holds a function; the beginning of its id, and what is left of its lease."""

    client: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFunction:
    """A compiled function as listings show it.

    Attributes:
        handle: its name for callers.
        name: as who compiled it calls it.
        holders: clients, those first whose leases last longest.
        published: versions that hold it, as "name@version".
        variables: how many it reads or updates.
    """

    handle: str
    name: str
    holders: tuple[Holder, ...]
    published: tuple[str, ...]
    variables: int


def held_page(
    functions: Iterable[Holding],
    left: Callable[[str], float],
    *,
    prefix: str = "",
    size: int = 100,
    after: str = "",
) -> tuple[tuple[HeldFunction, ...], str]:
    """A page of functions in order of their handles, and after which the next begins, or "".

    Args:
        functions: all there are.
        left: the seconds that are left of a client's lease.
        prefix: of the functions' names.
        size: at most so many.
        after: the handle that ended the page before.
    """
    wanted = sorted(x for x in functions if x.handle > after and x.name.startswith(prefix))
    page = tuple(_shown(x, left) for x in wanted[:size])
    return page, page[-1].handle if len(wanted) > size else ""


def _shown(held: Holding, left: Callable[[str], float]) -> HeldFunction:
    clients = [name for name in held.holders if not name.startswith(PUBLISHED)]
    holders = [Holder(client=name[:SHOWN], seconds=left(name)) for name in clients]
    versions = [name.removeprefix(PUBLISHED) for name in held.holders if name not in clients]
    return HeldFunction(
        handle=held.handle,
        name=held.name,
        holders=tuple(sorted(holders, key=lambda x: (-x.seconds, x.client))),
        published=tuple(sorted(versions)),
        variables=held.variables,
    )
