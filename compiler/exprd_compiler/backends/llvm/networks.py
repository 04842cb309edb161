"""Sorting of many short rows at a time: one row per lane, by a network that asks for no values.

The network is Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm
M), whose comparisons depend on the length alone. It does not keep the order of equal values, which
can be told from each other only if they are zeros or NaN; rows with -0 or NaN are left to others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exprd_compiler.backends.llvm import memory
from exprd_compiler.backends.llvm.control import branched, either, repeated
from exprd_compiler.backends.llvm.counting import any_lane
from exprd_compiler.backends.llvm.loops import ZERO
from exprd_compiler.backends.llvm.order import INFINITY, raw_dtype
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.text import Value, constant
from exprd_compiler.backends.llvm.types import SCALARS, item_size

if TYPE_CHECKING:
    from collections.abc import Mapping

# Rows sorted together, by the bytes of an element: two registers of AVX-512, so that there is more
# than one exchange per round of a loop. Smaller elements cannot be gathered.
TOGETHER: Final[Mapping[int, int]] = MappingProxyType({4: 32, 8: 16})
# Rows up to this length: the comparisons of longer ones outweigh what is done at a time.
LONGEST: Final = 512

_ONE: Final = constant(1, "int64")


def network_room(k: LLVMBuilder, dtype: str) -> Value | None:
    """Memory on the stack for rows of a dtype, if there is a network for it."""
    lanes = TOGETHER.get(item_size(dtype))
    if lanes is None:
        return None
    signed = raw_dtype(dtype).removeprefix("u")
    kind = f"[{LONGEST} x {LLVMBuilder(k.function, lanes).const(0, signed).type}]"
    return k.function.emit(f"alloca {kind}, align 64", "ptr")


class Network:
    """Rows of `n` elements of a dtype, one behind the other, to be sorted as values.

    Args:
        k: builder of the function.
        dtype: of the elements.
        room: what `network_room` gave.
        n: the length of a row.
        descending: whether the largest comes first.
    """

    def __init__(
        self, k: LLVMBuilder, dtype: str, room: Value, n: Value, *, descending: bool
    ) -> None:
        self.lanes = TOGETHER[item_size(dtype)]
        self.one, self.many = k, LLVMBuilder(k.function, self.lanes)
        self.dtype, self.room, self.n, self.descending = dtype, room, n, descending
        self.raw = raw_dtype(dtype).removeprefix("u")
        self.offsets = memory.lane_offsets(self.many, n)

    def fits(self, rows: Value) -> Value:
        """Whether so many rows can be sorted together."""
        k = self.one
        enough = k.compare("le", constant(self.lanes, "int64"), rows)
        return k.and_(enough, k.compare("le", self.n, constant(LONGEST, "int64")))

    def sort(self, rows: Value, out: Value, otherwise: Callable[[], object]) -> None:
        """Sort as many rows as there are lanes, or run `otherwise` if one is to be left alone."""
        refused = self._load(rows)
        either(self.one.function, refused, otherwise, lambda: self._sorted(out))

    def _sorted(self, out: Value) -> None:
        self._exchange()
        self._store(out)

    # ---- keys: signed integers in the order of the values
    def _load(self, rows: Value) -> Value:
        """Put the keys of the rows side by side; whether any row has -0 or NaN."""
        many = self.many

        def each(state: Sequence[Value]) -> Sequence[Value]:
            place, refused = state
            at = memory.element_pointer(self.one, rows, self.raw, place)
            bits = memory.gather(many, at, self.raw, self.offsets, many.const(1, "bool"))
            self._put(self._key(bits), place)
            return (self.one.add(place, _ONE), many.or_(refused, self._refused(bits)))

        start = (ZERO, many.const(0, "bool"))
        _, refused = repeated(self.one.function, start, self._inside, each)
        return any_lane(self.one.function, refused)

    def _store(self, out: Value) -> None:
        many = self.many

        def each(state: Sequence[Value]) -> Sequence[Value]:
            at = memory.element_pointer(self.one, out, self.raw, state[0])
            bits = self._bits(self._get(state[0]))
            memory.scatter(many, bits, at, self.offsets, many.const(1, "bool"))
            return (self.one.add(state[0], _ONE),)

        repeated(self.one.function, (ZERO,), self._inside, each)

    def _inside(self, state: Sequence[Value]) -> Value:
        return self.one.compare("lt", state[0], self.n)

    def _key(self, bits: Value) -> Value:
        key = self._flipped(bits)
        return self.many.not_(key) if self.descending else key

    def _bits(self, key: Value) -> Value:
        return self._flipped(self.many.not_(key) if self.descending else key)

    def _flipped(self, bits: Value) -> Value:
        """Bits as a key, or back."""
        k, width = self.many, 8 * item_size(self.dtype)
        kind = SCALARS[self.dtype].kind
        if kind == "unsigned":
            return k.xor(bits, k.like(-(1 << (width - 1)), bits))
        if kind == "float":
            count = k.like(width - 1, bits)
            signs = k.function.emit(f"ashr {bits.typed}, {count.text}", self.raw, k.lanes)
            return k.xor(bits, k.and_(signs, k.like((1 << (width - 1)) - 1, bits)))
        return bits

    def _refused(self, bits: Value) -> Value:
        k, width = self.many, 8 * item_size(self.dtype)
        if self.dtype not in INFINITY:
            return k.const(0, "bool")
        size = k.and_(bits, k.like((1 << (width - 1)) - 1, bits))
        undefined = k.compare("gt", size, k.like(INFINITY[self.dtype], bits))
        return k.or_(undefined, k.compare("eq", bits, k.like(-(1 << (width - 1)), bits)))

    # ---- the network
    def _exchange(self) -> None:
        """For p, and for q from p down, both powers of two: compare those q apart."""
        doubled = self.one.add(_ONE, _ONE)

        def rounds(state: Sequence[Value]) -> Sequence[Value]:
            (p,) = state
            self._halving(p)
            return (self.one.mul(p, doubled),)

        repeated(self.one.function, (_ONE,), self._inside, rounds)

    def _halving(self, p: Value) -> None:
        k = self.one

        def step(state: Sequence[Value]) -> Sequence[Value]:
            (q,) = state
            first = k.select(k.compare("eq", q, p), ZERO, q)
            self._compare_all(p, q, first)
            return (k.function.emit(f"lshr i64 {q.text}, 1", "int64"),)

        repeated(k.function, (p,), lambda s: k.compare("lt", ZERO, s[0]), step)

    def _compare_all(self, p: Value, q: Value, first: Value) -> None:
        k = self.one
        last, twice = k.sub(self.n, q), k.add(q, q)

        def blocks(state: Sequence[Value]) -> Sequence[Value]:
            (start,) = state
            self._compare_block(p, q, start, k.minimum(k.add(start, q), last))
            return (k.add(start, twice),)

        repeated(k.function, (first,), lambda s: k.compare("lt", s[0], last), blocks)

    def _compare_block(self, p: Value, q: Value, start: Value, end: Value) -> None:
        """Those from a place below another with those q behind, if both are in a merge of 2 p.

        A block does not lie across the middle between two merges, so its first place tells.
        """
        k = self.one
        apart = k.xor(start, k.add(start, q))
        together = k.compare("lt", apart, k.add(p, p))
        (end,) = branched(k.function, together, lambda: (end,), lambda: (start,))

        def each(state: Sequence[Value]) -> Sequence[Value]:
            place, behind = state[0], k.add(state[0], q)
            a, b = self._get(place), self._get(behind)
            self._put(k.function.intrinsic("smin", a, b), place)
            self._put(k.function.intrinsic("smax", a, b), behind)
            return (k.add(place, _ONE),)

        repeated(k.function, (start,), lambda s: k.compare("lt", s[0], end), each)

    # ---- the keys of one place
    def _at(self, place: Value) -> Value:
        kind = self.many.const(0, self.raw).type
        return self.one.function.emit(
            f"getelementptr {kind}, ptr {self.room.text}, i64 {place.text}", "ptr"
        )

    def _get(self, place: Value) -> Value:
        kind = self.many.const(0, self.raw).type
        text = f"load {kind}, ptr {self._at(place).text}, align 64"
        return self.one.function.emit(text, self.raw, self.lanes)

    def _put(self, key: Value, place: Value) -> None:
        self.one.function.line(f"store {key.typed}, ptr {self._at(place).text}, align 64")
