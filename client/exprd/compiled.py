"""Function: a compiled graph, called like a Python function. Thread safe.

A call filters its arguments by Theano's rules, runs, and arranges the results; what a function
keeps between calls lies in its containers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from exprd import many
from exprd.ahead import Ahead
from exprd.buffers import Buffer
from exprd.containers import Container, Containers, DefaultContainer, SharedContainer, Values
from exprd.errors import explain, locate
from exprd.futures import Future
from exprd.looping import Given
from exprd.maker import CompiledGraph, Maker
from exprd.numeric import warn_of
from exprd.recipe import Program, Recipe
from exprd.runs import Ready
from exprd.session import Session, current_session
from exprd.shared import TensorSharedVariable
from exprd.slots import Slot
from exprd.transport import InputValue, OutputValue, RemoteBuffer
from exprd_compiler.errors import CallError, ExprdError
from exprd_compiler.ir.counts import EventCount
from exprd_compiler.ir.dtype import numpy_dtype
from exprd_compiler.ir.graph import Graph

__all__ = ["Function"]

_NONE: Final[frozenset[int]] = frozenset()


class Function:
    """A compiled function; `f(...)` runs it, `f[x]` is what it keeps for an input or shared.

    Args:
        recipe: what it is made of.
        session: where it is compiled; the one in use by default.
        lazy: compile in the background; the first call waits for it.

    Attributes:
        name: as given, or the file and line of the call that made it.
        trust_input: skip the checks of arguments; arrays must then have exactly the right type.
    """

    def __init__(
        self, recipe: Recipe, session: Session | None = None, *, lazy: bool = False
    ) -> None:
        self._session = session or current_session()
        self._recipe = recipe
        self._programs: dict[frozenset[int], Program] = {}
        self._lock = threading.Lock()
        self.name, self.trust_input = recipe.title, False
        slots = self._slots = recipe.slots
        self._names = {s.name: i for i, s in enumerate(slots) if s.name is not None}
        self._forms = tuple((numpy_dtype(s.type.dtype), s.type.shape) for s in slots)
        for output in recipe.graph.outputs:
            numpy_dtype(output.dtype)  # refused here rather than when a value comes back
        self._plain = not any(s.implicit or s.state is not None for s in slots)
        self._places = tuple(self._place(i) for i in range(len(slots)))
        self._accepted: list[object] = [None] * len(slots)  # the type of the last buffer
        self._ahead = Ahead()
        if lazy:
            self._ahead.begin(partial(self._variant, _NONE))
        else:
            self._variant(_NONE)

    def when_ready(self) -> Future[Function]:
        """This function, or the error, once the compilation that it began with has ended."""
        return self._ahead.then(self)

    # ---- what it is
    @property
    def ready(self) -> bool:
        """Whether a call would not have to wait for the compiler."""
        return _NONE in self._programs

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per stage of the compilation."""
        return dict(self._variant(_NONE).info.timings)

    @property
    def handle(self) -> str:
        """The name of the function where it runs."""
        return self._variant(_NONE).info.handle

    @property
    def recipe(self) -> Recipe:
        """What the function is made of."""
        return self._recipe

    @property
    def session(self) -> Session:
        """Where the function runs."""
        return self._session

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The declared inputs."""
        return self._slots

    @property
    def maker(self) -> Maker:
        """`f.maker.fgraph.toposort()` lists the compiled plan."""
        graph = CompiledGraph(self, self._variant(_NONE).info.plan)
        return Maker(graph, self._recipe.mode)

    @property
    def graph(self) -> Graph:
        """The graph as it was before compilation."""
        return self._recipe.graph

    @property
    def unpack_single(self) -> bool:
        """Whether a call gives one array instead of a list."""
        return self._recipe.layout.kind == "single"

    def texts(self) -> Mapping[str, str]:
        """The stages of the compilation as text, by name."""
        return self._session.transport.texts(self.handle)

    def get_shared(self) -> tuple[TensorSharedVariable, ...]:
        """The shared variables that the function reads or updates."""
        hidden = {slot.state for slot in self._slots if not slot.implicit}
        return tuple(v for v in self._recipe.shared if v not in hidden)

    # ---- what it keeps
    @property
    def input_storage(self) -> list[Container]:
        """The containers of the inputs, in order."""
        return list(self._places)

    @property
    def container(self) -> Containers:
        """The containers of inputs and shared variables, by variable or name."""
        hidden = {slot.state for slot in self._slots}
        rest = [v for v in self._recipe.shared if v not in hidden]
        return Containers([*self._places, *(SharedContainer(v.node, v.name, v) for v in rest)])

    @property
    def value(self) -> Values:
        """The values of the containers; assigning to one changes it."""
        return Values(self.container)

    def __getitem__(self, key: object) -> Any:
        return self.value[key]

    def __setitem__(self, key: object, value: object) -> None:
        self.value[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.container

    def _place(self, index: int) -> Container:
        slot = self._slots[index]
        if slot.state is None:
            return DefaultContainer(slot)
        return SharedContainer(slot.node, slot.name, slot.state)

    # ---- calls
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Runs the function.

        Raises:
            CallError: an argument is missing, unknown, or not of its input's type.
            ExprdError: whatever the run says; then no shared variable has changed.
        """
        program, values = self._prepared(args, kwargs)
        try:  # as `made` does, which every call but this can afford
            given = program.run(values, False)
        except ExprdError as error:
            self._explain(program, values, error)
            raise
        return self._concluded(program, given)

    keep = many.keep
    submit = many.submit
    submit_keep = many.submit_keep
    batch = many.batch
    repeat = many.repeat
    expecting = many.expecting

    def _prepared(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Program, Sequence[InputValue]]:
        """The program to run for arguments, and its inputs."""
        if not self._plain:
            return self._chosen(args, kwargs)
        program = self._programs.get(_NONE) or self._variant(_NONE)
        taken = args if self.trust_input and not kwargs else self._taken(args, kwargs)
        return program, taken

    def _ready(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Ready:
        program, values = self._prepared(args, kwargs)
        loops, outputs = self._session.transport.loops, len(self._recipe.graph.outputs)
        return Ready(self, program, program.run, loops, program.info.handle, values, outputs)

    def _concluded(self, program: Program, given: Given, /) -> Any:
        """The user's result of what a call gives."""
        return self._recipe.layout.arrange(self._finished(program, *given))

    def _shown(self, outputs: Sequence[Any], /) -> Any:
        """What the result would be of the arrays of one step."""
        count = len(self._recipe.graph.outputs) - self._recipe.printed
        return self._recipe.layout.arrange([np.array(x) for x in outputs[:count]])

    def _explain(
        self, program: Program, values: Sequence[InputValue], error: ExprdError, /
    ) -> None:
        """Adds the user's lines and what the inputs were."""
        locate(error, program.origins)
        explain(error, self.graph, values)

    def _finished(
        self, program: Program, outputs: Sequence[OutputValue], met: Sequence[EventCount]
    ) -> Sequence[Any]:
        """What the user gets of what came back."""
        session = self._session
        found = [Buffer(session, x) if isinstance(x, RemoteBuffer) else x for x in outputs]
        if met:  # when all is done, since a warning may be an error
            warn_of(met, program.origins)
        return self._printed(found) if self._recipe.prints else found

    def _printed(self, found: Sequence[Any]) -> Sequence[Any]:
        """The outputs that were asked for; the others are printed."""
        count = len(found) - self._recipe.printed
        rest = iter([x.get() if isinstance(x, Buffer) else x for x in found[count:]])
        for one in self._recipe.prints:
            one.show([next(rest) for _ in one.outputs])
        return found[:count]

    def _taken(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[InputValue]:
        forms = self._forms
        if kwargs or len(args) != len(forms):
            given = self._given(args, kwargs)
            args = tuple(self._or_default(i, given) for i in range(len(forms)))
        out: list[InputValue] = []
        for place, value in enumerate(args):
            # what most calls pass, without a further call
            if type(value) is np.ndarray:
                dtype, shape = forms[place]
                if value.dtype is dtype and len(shape) == value.ndim == shape.count(None):
                    out.append(value)
                    continue
            elif type(value) is Buffer:
                out.append(self._buffered(place, value))
                continue
            out.append(self._take(place, value))
        return out

    def _buffered(self, place: int, buffer: Buffer) -> InputValue:
        """The reference of a buffer; one that was taken by the same place fits again."""
        if buffer.type is self._accepted[place] and buffer.session is self._session:
            return buffer.ref
        ref = self._take(place, buffer)
        self._accepted[place] = buffer.type
        return ref

    def _chosen(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Program, list[InputValue]]:
        """The program that takes what is given, and its inputs."""
        given = self._given(args, kwargs)
        states = frozenset(i for i in given if self._slots[i].state is not None)
        places = [i for i, slot in enumerate(self._slots) if slot.state is None or i in states]
        values = [self._take(i, self._or_default(i, given)) for i in places]
        return self._variant(states), values

    def _variant(self, states: frozenset[int]) -> Program:
        """The program in which some inputs with a state are given instead."""
        with self._lock:
            if states not in self._programs:
                self._programs[states] = self._recipe.compiled(self._session, states)
            return self._programs[states]

    def _take(self, place: int, value: object) -> InputValue:
        try:
            return self._slots[place].take(value, self._session)
        except CallError as error:
            error.op = f"{self.name}, argument {place} ({self._slots[place].name or 'unnamed'})"
            raise

    def _or_default(self, place: int, given: Mapping[int, Any]) -> Any:
        return given[place] if place in given else self._places[place].value

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[int, Any]:
        """The arguments by place; what is left out has a default or a state."""
        slots = self._slots
        if len(args) > len(slots):
            raise CallError(f"{self.name} takes {len(slots)} arguments, got {len(args)}")
        given = dict(enumerate(args))
        for keyword, value in kwargs.items():
            place = self._place_of(keyword)
            if place in given:
                raise CallError(f"{self.name} got two values for the input {keyword!r}")
            given[place] = value
        if refused := [i for i in given if slots[i].implicit]:
            names = ", ".join(slots[i].shown(i) for i in refused)
            raise CallError(f"{self.name} got a value for the implicit input {names}")
        if missing := [i for i in range(len(slots)) if i not in given and self._lacks(i)]:
            names = ", ".join(slots[i].shown(i) for i in missing)
            raise CallError(f"{self.name} misses the input {names}")
        return given

    def _place_of(self, keyword: str) -> int:
        place = self._names.get(keyword)
        if place is None:
            known = ", ".join(filter(None, self._names)) or "none"
            raise CallError(f"{self.name} has no input {keyword!r}", hint=f"its keywords: {known}")
        return place

    def _lacks(self, place: int) -> bool:
        return self._slots[place].state is None and self._places[place].value is None

    # ---- copies
    def copy(
        self,
        share_memory: bool = False,
        swap: Mapping[TensorSharedVariable, TensorSharedVariable] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
        profile: object = None,
    ) -> Function:
        """A function of the same graph, without compiling it again.

        Inputs that keep their value start from the value they have now, and go their own way.

        Args:
            share_memory: accepted for Theano's sake; temporaries belong to calls.
            swap: pairs (shared variable of this function, one that takes its place).
            delete_updates: leave the updates out; that is another graph, and compiled.
            name: of the copy; this one's name and "copy" by default.
            profile: accepted for Theano's sake.

        Raises:
            CallError: a variable to swap is not in the function, or its type differs.
        """
        swap = dict(swap or {})
        self._check_swap(swap)
        for slot in self._slots:
            if slot.state is not None and not slot.implicit:
                swap[slot.state] = slot.state.clone()
        recipe = self._recipe.with_shared(swap)
        if delete_updates:
            recipe = recipe.without_updates()
        recipe = replace(recipe, name=name or f"{self.name} copy")
        made = Function(recipe, self._session)
        made.trust_input = self.trust_input
        made.set_defaults(self.defaults())
        return made

    def defaults(self) -> list[Any]:
        """The default values of the inputs; None where there is none, or the input is kept."""
        return [p.value if isinstance(p, DefaultContainer) else None for p in self._places]

    def set_defaults(self, values: Sequence[Any]) -> None:
        """Gives the inputs the defaults that another function of the kind has."""
        for place, value in zip(self._places, values, strict=True):
            if isinstance(place, DefaultContainer):
                place.value = value

    def _check_swap(self, swap: Mapping[TensorSharedVariable, TensorSharedVariable]) -> None:
        known = set(self.get_shared())
        for old, new in swap.items():
            if old not in known:
                raise CallError(f"swap: {old!r} is no shared variable of {self.name}")
            if old.type != new.type:
                raise CallError(
                    f"swap: {new!r} is {new.node.type}, {old!r} is {old.node.type}",
                    hint="both need the same dtype and pattern",
                )

    def __copy__(self) -> Function:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        swap = {v: v.__deepcopy__(memo) for v in self._recipe.shared}
        made = Function(self._recipe.with_shared(swap), self._session)
        made.set_defaults(self.defaults())
        memo[id(self)] = made
        return made

    def free(self) -> None:
        """Gives up the function where it runs, and the memory it keeps there between calls.

        The next call has it compiled again, from the cache of objects if it is there.
        """
        with self._lock:
            self._programs.clear()
        self._session.sweep()

    def __repr__(self) -> str:
        return f"<function {self.name} in {self._session.target or 'this process'}>"
