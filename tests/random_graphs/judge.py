"""The judge: a program run by numpy, in this process and by a server, and what must be equal.

numpy interprets the graph as it was built; native code may be rewritten, fused and vectorized, yet
its values, errors and state have to be numpy's. The server's have to be this process's to the bit.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import exprd
from exprd import session as sessions
from exprd.session import Session
from exprd.shared import TensorSharedVariable
from exprd.variable import variable_of
from exprd_compiler.errors import ExprdError
from exprd_compiler.ir.graph import Graph, substitute
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.text import print_graph
from exprd_compiler.passes.levels import optimize
from tests.random_graphs.noise import (
    Outcome,
    Unjudged,
    agree,
    allowed,
    is_rounded,
    outcome,
    wide,
)
from tests.random_graphs.program import Program


@contextlib.contextmanager
def using(session: Session) -> Iterator[None]:
    """Makes a session the one in use."""
    sessions._SESSIONS.enter(session)
    try:
        yield
    finally:
        sessions._SESSIONS._stack.pop()


@dataclass(frozen=True, slots=True)
class Running:
    """A program compiled in a session, with shared variables of its own."""

    call: Any
    shared: tuple[TensorSharedVariable, ...]

    def state(self) -> list[Array]:
        """The values of the shared variables."""
        return [variable.get_value() for variable in self.shared]


def _shared(graph: Graph, state: Sequence[Array]) -> tuple[TensorSharedVariable, ...]:
    return tuple(
        exprd.shared(value, broadcastable=node.type.broadcastable)
        for node, value in zip(graph.shared, state, strict=True)
    )


def compiled(program: Program, session: Session, mode: str) -> Running:
    """The program as a function of a session."""
    graph = program.graph
    with using(session):
        variables = _shared(graph, program.state)
        replace = {old: new.node for old, new in zip(graph.shared, variables, strict=True)}
        roots = substitute(graph.roots, replace)
        count = len(graph.outputs)
        slots = [variables[slot] for slot, _ in graph.updates]
        function = exprd.function(
            [variable_of(node) for node in graph.inputs],
            [variable_of(node) for node in roots[:count]],
            updates=[(s, variable_of(n)) for s, n in zip(slots, roots[count:], strict=True)],
            mode=mode,
            on_unused_input="ignore",
        )
        for variable in variables:
            variable.bind(session)  # also what no output depends on
    return Running(function, variables)


# ---- one call
@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave: outputs, or the error that it raised, and the state behind it."""

    outputs: list[Array]
    error: ExprdError | None
    state: list[Array]


def _answer(running: Running, arguments: Sequence[Any]) -> Answer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # integer corners are no matter here
        try:
            outputs, error = running.call(*arguments), None
        except ExprdError as raised:
            outputs, error = [], raised
    return Answer(outputs, error, running.state())


def _bits(arrays: Sequence[Array]) -> list[tuple[str, tuple[int, ...], bytes]]:
    return [(a.dtype.name, a.shape, _canonical(a).tobytes()) for a in arrays]


def _canonical(array: Array) -> Array:
    """The array with one pattern for all NaNs."""
    if not is_rounded(array.dtype.name):
        return array
    return np.where(np.isnan(array), np.array(np.nan, array.dtype), array)


def _check_values(what: str, got: Sequence[Array], want: Outcome, first: int) -> None:
    for place, (array, tracked) in enumerate(
        zip(got, want.values[first : first + len(got)], strict=True)
    ):
        if not agree(array, tracked.value, tracked.depth):
            raise AssertionError(
                f"{what} {place} is {array.dtype}{array.shape}\n{array!r}\nnumpy says"
                f" {tracked.value.dtype}{tracked.value.shape}\n{tracked.value!r}"
                + _difference(array, tracked.value, tracked.depth)
            )


def _difference(got: Array, want: Array, depth: int) -> str:
    if got.shape != want.shape or not is_rounded(want.dtype.name):
        return ""
    with np.errstate(all="ignore"):
        off = np.nan_to_num(np.abs(wide(got) - wide(want)) / allowed(want, depth))
    return f"\nat most {off.max(initial=0.0):.3g} times what is allowed is wrong"


def _check_call(want: Outcome, got: Answer, program: Program, before: Sequence[Array]) -> None:
    if want.errors:
        kinds = " or ".join(sorted(want.errors))
        raised = type(got.error).__name__
        assert raised in want.errors, f"numpy raises {kinds}, got {got.error!r}: {got.error}"
        assert _bits(got.state) == _bits(before), "a failed call has changed the state"
        return
    if got.error is not None:
        raise AssertionError(f"numpy has a value, got {got.error!r}") from got.error
    count = len(program.graph.outputs)
    _check_values("output", got.outputs, want, 0)
    changed = [slot for slot, _ in program.graph.updates]
    _check_values("new value", [got.state[slot] for slot in changed], want, count)
    for slot, (old, new) in enumerate(zip(before, got.state, strict=True)):
        if slot not in changed:
            assert _bits([old]) == _bits([new]), f"shared variable {slot} was not to change"


def _check_own_memory(outputs: Sequence[Array], arguments: Sequence[Any]) -> None:
    """Every output may be written to without changing anything else."""
    arrays = [x for x in arguments if isinstance(x, np.ndarray)]
    for place, output in enumerate(outputs):
        assert output.flags.writeable, f"output {place} is read-only"
        for other in (*arrays, *outputs[:place]):
            assert not np.may_share_memory(output, other), f"output {place} shares memory"


def _without_what_is_spared(
    program: Program, mode: str, arguments: Sequence[Any], state: Sequence[Array], want: Outcome
) -> Outcome | None:
    """What numpy says of the rewritten graph: an error may be gone with a value nobody needs."""
    if mode == "NONE":
        return want
    return _expected(optimize(program.graph, level=mode.lower()), arguments, state)


def _expected(graph: Graph, arguments: Sequence[Any], state: Sequence[Array]) -> Outcome | None:
    """What numpy says of a call; nothing where a compiler cannot be judged by it."""
    values = [
        np.asarray(value, node.dtype) for node, value in zip(graph.inputs, arguments, strict=True)
    ]
    leaves: dict[Node, Array] = dict(zip(graph.leaves, (*values, *state), strict=True))
    try:
        found = outcome(graph.roots, leaves)
    except Unjudged:
        return None
    return found if found.errors or found.sound else None


# ---- a program
def judge(program: Program, here: Session, there: Session, modes: Sequence[str] = ()) -> None:
    """Run a program everywhere and compare.

    Raises:
        AssertionError: something differs; the message ends with the graph.
    """
    for mode in modes or (program.mode,):
        try:
            _judge(program, here, there, mode)
        except Exception as error:
            error.add_note(f"mode {mode}, {len(program.calls)} calls\n{print_graph(program.graph)}")
            raise


def _judge(program: Program, here: Session, there: Session, mode: str) -> None:
    local, remote = (compiled(program, session, mode) for session in (here, there))
    for arguments in program.calls:
        before = local.state()
        want = _expected(program.graph, arguments, before)
        if want is None:  # and what comes later is about another state
            return
        kept = [np.array(value) for value in arguments]
        got, again = _answer(local, arguments), _answer(remote, arguments)
        if want.errors and got.error is None:
            want = _without_what_is_spared(program, mode, arguments, before, want)
            if want is None:
                return
        _check_call(want, got, program, before)
        _check_own_memory(got.outputs, arguments)
        assert _bits([np.asarray(x) for x in arguments]) == _bits(kept), "an argument has changed"
        assert type(again.error) is type(got.error), f"the server raises {again.error!r}"
        assert _bits(again.outputs) == _bits(got.outputs), "the server gives other outputs"
        assert _bits(again.state) == _bits(got.state), "the server has another state"
