"""Einstein's subscripts: numpy's text form and its lists, as labels for each axis.

Letters are labels; an ellipsis stands for the axes that are not written, aligned on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from exprd_compiler.errors import GraphError

__all__ = ["Subscripts", "from_lists", "from_text"]

# One operand's axes: letters or numbers, Ellipsis for those that are not written.
Entries: TypeAlias = "list[object]"

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Subscripts:
    """Labels of the axes of each operand and of the result, numbered from 0."""

    operands: tuple[tuple[int, ...], ...]
    result: tuple[int, ...]


def from_text(text: str, ranks: Sequence[int]) -> Subscripts:
    """The labels that a text such as "ij,jk->ik" or "...ii" gives to operands of these ranks.

    Raises:
        GraphError: it is no such text, or does not fit the ranks.
    """
    inputs, arrow, output = text.replace(" ", "").partition("->")
    words = [_entries(word) for word in inputs.split(",")]
    return _labelled(words, _entries(output) if arrow else None, ranks)


def from_lists(
    inputs: Sequence[Sequence[object]], output: Sequence[object] | None, ranks: Sequence[int]
) -> Subscripts:
    """The labels that lists of integers and Ellipsis give to operands of these ranks."""
    return _labelled([list(x) for x in inputs], None if output is None else list(output), ranks)


def _entries(word: str) -> Entries:
    head, dots, tail = word.partition("...")
    wrong = sorted(set(head + tail) - _LETTERS)
    if wrong:
        raise _wrong(
            f"{wrong[0]!r} in {word!r} is no subscript", "letters, one '...', ',' and '->'"
        )
    return [*head, *([...] if dots else []), *tail]


def _wrong(message: str, hint: str = "") -> GraphError:
    return GraphError(message, op="einsum", hint=hint)


def _labelled(words: Sequence[Entries], output: Entries | None, ranks: Sequence[int]) -> Subscripts:
    if len(words) != len(ranks):
        raise _wrong(f"subscripts for {len(words)} operands, but there are {len(ranks)}")
    spare = [_unwritten(word, rank) for word, rank in zip(words, ranks, strict=True)]
    hidden = max(spare, default=0)
    number: dict[object, int] = {(..., place): place for place in range(hidden)}
    operands = [
        [number.setdefault(key, len(number)) for key in _keys(word, count, hidden)]
        for word, count in zip(words, spare, strict=True)
    ]
    wanted = _implicit(words) if output is None else output
    if hidden and ... not in wanted:
        raise _wrong("the output lacks the '...' of the operands", "write it where its axes belong")
    unknown = [key for key in wanted if key is not ... and key not in number]
    if unknown:
        raise _wrong(f"the output names {unknown[0]!r}, which no operand has")
    result = [number[key] for key in _keys(wanted, hidden, hidden)]
    return Subscripts(tuple(map(tuple, operands)), tuple(result))


def _unwritten(word: Entries, rank: int) -> int:
    """How many axes the ellipsis of an operand stands for."""
    written = sum(entry is not ... for entry in word)
    if word.count(...) > 1:
        raise _wrong("an operand has more than one '...'")
    if written > rank or (written < rank and ... not in word):
        raise _wrong(f"{written} subscripts for an operand of rank {rank}")
    return rank - written


def _keys(word: Entries, count: int, hidden: int) -> list[object]:
    """The entries with the ellipsis written out, the last of all hidden axes for the last."""
    out: list[object] = []
    for entry in word:
        out += [(..., hidden - count + i) for i in range(count)] if entry is ... else [entry]
    return out


def _implicit(words: Sequence[Entries]) -> Entries:
    """What numpy takes as output: the ellipsis, then what occurs once in alphabetical order."""
    every = [entry for word in words for entry in word if entry is not ...]
    once = sorted((entry for entry in set(every) if every.count(entry) == 1), key=_order)
    dots: Entries = [...] if any(... in word for word in words) else []
    return [*dots, *once]


def _order(entry: object) -> tuple[int, str]:
    return (entry, "") if isinstance(entry, int) else (0, str(entry))
