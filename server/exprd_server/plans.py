"""Plans of compiled graphs: their steps, and the same as bytes of the wire.

A worker writes the bytes and the server passes them on, since thousands of steps are many objects
and nobody there looks at them. They are written by hand: with protobuf and gRPC, which a worker has
no other use for, it would start a third slower. The tests compare the two.

Source of the layout: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exprd_server.values import PlanStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exprd_compiler.kernel.listing import Listed

_PLAN: Final = b"\x22"  # field 4 of CompileResponse
_OP, _TEXT, _ORIGINS = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2 and 3 of PlanNode


def plan_of(listing: Sequence[Listed]) -> tuple[PlanStep, ...]:
    """The steps of a compiled graph; %n is step n, $n leaf n."""
    return tuple(
        PlanStep(
            op=row.theano,
            text=f"%{number} = {row.op}({', '.join(map(_ref, row.inputs))}) : {row.type}",
            origins=(row.origin,) if row.origin >= 0 else (),
        )
        for number, row in enumerate(listing)
    )


def plan_bytes(plan: Iterable[PlanStep]) -> bytes:
    """The bytes of a CompileResponse that has this plan and nothing else."""
    return b"".join(_field(_PLAN, _step(step)) for step in plan)


def _ref(row: int) -> str:
    return f"%{row}" if row >= 0 else f"${-1 - row}"


def _step(step: PlanStep) -> bytes:
    origins = b"".join(map(_varint, step.origins))
    parts = ((_OP, step.op.encode()), (_TEXT, step.text.encode()), (_ORIGINS, origins))
    return b"".join(_field(key, data) for key, data in parts if data)


def _field(key: bytes, data: bytes) -> bytes:
    return key + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
