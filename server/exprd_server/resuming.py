"""Resuming: what a restart has taken from callers that were there before it.

Invariant: an acknowledged value that is gone is never passed over. Where it cannot be told whether
a value is gone, it counts as gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exprd_server.values import Resumed

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from exprd_server.store import Incarnation, Store


class StartVersions:
    """The versions with which this run of the server has begun."""

    def __init__(self, store: Store) -> None:
        self._versions = {v.uuid: v.version for v in store.variables()}
        self._runs = store.incarnations()

    def compare(
        self, incarnation: str, known: Sequence[tuple[str, int]], present: Set[str]
    ) -> Resumed:
        """What has become of the newest versions that an incarnation had acknowledged.

        Args:
            incarnation: the one that had.
            known: uuids and versions.
            present: those of the uuids that are here.
        """
        now = self._runs[-1].id
        if incarnation == now:
            return Resumed(incarnation=now, missing=(), rolled_back=())
        doubtful = self._doubtful(incarnation)
        return Resumed(
            incarnation=now,
            missing=tuple(uuid for uuid, _ in known if uuid not in present),
            rolled_back=tuple(
                uuid
                for uuid, version in known
                if uuid in present and self._is_gone(uuid, version, doubtful=doubtful)
            ),
        )

    def _is_gone(self, uuid: str, version: int, *, doubtful: bool) -> bool:
        """Whether an acknowledged version was lost; version 1 is the value of the creation."""
        if uuid not in self._versions:
            return version > 1  # it was made anew
        return version > self._versions[uuid] or (doubtful and version > 1)

    def _doubtful(self, incarnation: str) -> bool:
        """Whether versions do not tell, since numbers that were lost may have been given again."""
        for place, run in enumerate(self._runs):
            if run.id == incarnation:
                return _lost(run) and place < len(self._runs) - 2
        return True  # a run that this store does not know


def _lost(run: Incarnation) -> bool:
    return run.lost > 0
