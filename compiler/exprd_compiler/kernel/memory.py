"""Memory needs: what a call will take for temporaries and results, told by its extents beforehand.

A plan knows its buffers as arithmetic on extents. Here that arithmetic is data, which goes with an
artifact; the caller evaluates it on the extents of a call, before anything is allocated. A size
that depends on values (`nonzero`) is not known by then, and left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final, TypeAlias

from exprd_compiler.errors import CompilerBug, LimitExceeded
from exprd_compiler.ir.dtype import ITEMSIZE
from exprd_compiler.ir.integer import OPERATIONS, IntExpr
from exprd_compiler.kernel.form import Buffer, Plan

# ("const", value), ("extent", place among all extents), ("value",), or an operation on the results
# of formulas before it, by their positions.
Formula: TypeAlias = tuple[str, tuple[int, ...]]

_FRESH: Final = -1


@dataclass(frozen=True, slots=True)
class Piece:
    """One buffer of a call.

    Attributes:
        number: of the buffer.
        slot: of the temporaries that share its memory, of which the largest counts; -1 for results.
        dtype: of its elements.
        extents: positions of formulas.
        op: what computes it, for messages; "" for what serves one step alone.
        origin: the node that it stems from, or -1.
    """

    number: int
    slot: int
    dtype: str
    extents: tuple[int, ...]
    op: str
    origin: int


@dataclass(frozen=True, slots=True)
class Need:
    """What one call takes.

    Attributes:
        nbytes: of all results and temporaries, as far as they are known beforehand.
        largest: the largest of them, or None when there are none.
        shape: its shape.
    """

    nbytes: int
    largest: Piece | None = None
    shape: tuple[int, ...] = ()

    def error(self, limit: int, *, late: bool = False) -> LimitExceeded:
        """The error of a call that has this need and less room.

        Args:
            limit: bytes that it may take.
            late: it came out while the call ran, and `largest` is what was refused.
        """
        piece = self.largest
        needs = f"{'had come to need' if late else 'would take'} {self.nbytes} bytes of memory"
        text = f"the call {needs}, above the limit of {limit}"
        if piece is not None:
            role = "the last of them for" if late else "its largest value is"
            maker = f" of {piece.op}" if piece.op else ""
            text += f"; {role} {piece.dtype}{list(self.shape)}{maker}"
        return LimitExceeded(
            text,
            op="" if piece is None else piece.op,
            nodes=() if piece is None or piece.origin < 0 else (piece.origin,),
            hint="pass smaller arrays, or compute in parts",
            fields={"limit": "call_bytes", "estimate": str(self.nbytes), "allowed": str(limit)},
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The buffers of a plan, and the formulas of their extents."""

    formulas: tuple[Formula, ...] = ()
    pieces: tuple[Piece, ...] = ()

    def need(self, extents: Sequence[int]) -> Need:
        """The need of a call with these extents, those of all arguments one after the other."""
        values = self._values(extents)
        slots: dict[int, int] = {}
        results = most = 0
        largest: Piece | None = None
        shape: tuple[int, ...] = ()
        for piece in self.pieces:
            known = _known([values[place] for place in piece.extents])
            if known is None:
                continue
            nbytes = math.prod(known) * ITEMSIZE[piece.dtype]
            if piece.slot == _FRESH:
                results += nbytes
            else:
                slots[piece.slot] = max(slots.get(piece.slot, 0), nbytes)
            if nbytes > most:
                most, largest, shape = nbytes, piece, known
        return Need(results + sum(slots.values()), largest, shape)

    def piece(self, number: int) -> Piece:
        """The piece of a buffer."""
        return next(piece for piece in self.pieces if piece.number == number)

    def to_json(self) -> list[object]:
        """For `from_json`."""
        pieces = [astuple(piece) for piece in self.pieces]
        return [self.formulas, pieces]

    @staticmethod
    def from_json(data: Sequence[Any]) -> MemoryPlan:
        """A plan from `to_json`."""
        formulas, pieces = data
        return MemoryPlan(
            tuple((kind, tuple(args)) for kind, args in formulas),
            tuple(Piece(n, slot, dtype, tuple(e), *rest) for n, slot, dtype, e, *rest in pieces),
        )

    def _values(self, extents: Sequence[int]) -> list[int | None]:
        values: list[int | None] = []
        for kind, args in self.formulas:
            match kind:
                case "const":
                    values.append(args[0])
                case "extent":
                    values.append(extents[args[0]])
                case "value":
                    values.append(None)
                case _:
                    values.append(_computed(kind, [values[place] for place in args]))
        return values


NO_MEMORY: Final = MemoryPlan()


def _known(shape: Sequence[int | None]) -> tuple[int, ...] | None:
    """A shape without unknown extents; a negative extent has failed a check before it counts."""
    known = tuple([max(extent, 0) for extent in shape if extent is not None])
    return known if len(known) == len(shape) else None


def _computed(kind: str, operands: Sequence[int | None]) -> int | None:
    known = [x for x in operands if x is not None]
    # what is divided by 0 has failed a check before anything was allocated
    if len(known) < len(operands) or (kind == "floordiv" and known[1] == 0):
        return None
    if kind == "select":
        return known[1] if known[0] else known[2]
    return OPERATIONS[kind](*known)


def memory_plan(plan: Plan) -> MemoryPlan:
    """The memory of a plan as data."""
    written = _Formulas(plan.arguments)
    pieces: list[Piece] = []
    for buffer in plan.buffers:
        slot = _FRESH if buffer.place == "output" else plan.slot_of.get(buffer.number)
        if slot is not None and buffer.place in ("output", "temporary"):
            pieces.append(_piece(buffer, slot, written))
    return MemoryPlan(tuple(written.formulas), tuple(pieces))


def _piece(buffer: Buffer, slot: int, written: _Formulas) -> Piece:
    extents = tuple(map(written.place, buffer.extents))
    return Piece(buffer.number, slot, buffer.dtype, extents, buffer.op, buffer.origin)


class _Formulas:
    """Expressions as formulas, each once, parts first."""

    def __init__(self, ranks: Sequence[int]) -> None:
        self.formulas: list[Formula] = []
        self._first = [sum(ranks[:argument]) for argument in range(len(ranks))]
        self._places: dict[IntExpr, int] = {}

    def place(self, expr: IntExpr) -> int:
        """The position of an expression's formula."""
        stack = [expr]
        while stack:
            item = stack[-1]
            missing = [part for part in item.parts if part not in self._places]
            if missing and item not in self._places:
                stack.extend(missing)
                continue
            stack.pop()
            if item not in self._places:
                self._places[item] = len(self.formulas)
                self.formulas.append(self._formula(item))
        return self._places[expr]

    def _formula(self, expr: IntExpr) -> Formula:
        match expr.kind, expr.args:
            case "const", (int(number),):
                return "const", (number,)
            case "extent", (int(argument), int(axis)):
                return "extent", (self._first[argument] + axis,)
            case "value", _:
                return "value", ()
            case kind, _ if kind == "select" or kind in OPERATIONS:
                return kind, tuple(self._places[part] for part in expr.parts)
            case _:
                raise CompilerBug(f"no formula for the integer operation {expr.kind!r}")
