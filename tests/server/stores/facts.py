"""Short forms of what is stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from exprd_compiler.ir.type import TensorType
from exprd_server.store import CallRecord, Change, Store, StoredVariable
from exprd_server.values import Durability, ExecuteReply


def variable(
    uuid: str, value: Any = 0.0, durability: Durability = Durability.DURABLE, **facts: Any
) -> StoredVariable:
    array = np.asarray(value)
    return StoredVariable(
        **{"uuid": uuid, "name": uuid, "version": 1, "owner": "me", **facts},
        type=TensorType(array.dtype.name, (None,) * array.ndim),
        durability=durability,
        value=array,
    )


def record(seq: int, client_id: str = "c", value: float | None = None) -> CallRecord:
    reply = None if value is None else ExecuteReply(outputs=(np.asarray(value),))
    return CallRecord(client_id=client_id, seq=seq, digest=b"d", reply=reply, nbytes=8)


def change(uuid: str, expected: int, value: Any, dirty: Any = None) -> Change:
    return Change(uuid, expected, np.asarray(value), dirty)


def content(store: Store) -> dict[str, tuple[int, Any]]:
    """Versions and values by uuid."""
    return {v.uuid: (v.version, v.value.tolist()) for v in store.variables()}


def keys(store: Store) -> list[tuple[str, int]]:
    """The calls on record."""
    return sorted((r.client_id, r.seq) for r in store.records())
