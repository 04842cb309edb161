"""Healing: what a client remembers of a server, and how it goes on with one that was restarted.

Invariant: a call that was begun before a restart returns only if nothing that was acknowledged to
this client is gone; otherwise it raises `StateRolledBack`. What the client can give again without
changing any acknowledged value - functions, buffers it put, variables that were never assigned -
it gives again, when it is next used. Functions that it had looked up it looks up again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from exprd.transport import Array, BufferRef, CompileJob, InputValue, NewVariable
from exprd_compiler.errors import DeadlineExceeded, ExprdError, StateRolledBack, UnknownHandle
from exprd_compiler.ir.type import TensorType

__all__ = ["Healer", "Needs", "Published", "Restored", "Server", "VariableFacts"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a server says of the state that it was asked for after a restart."""

    incarnation: str
    missing: tuple[str, ...]
    rolled_back: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call uses on the server, by name: functions, buffers, variables."""

    functions: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A function that was found by name."""

    handle: str
    name: str
    version: int


class Acknowledged(Protocol):
    """A variable and its version after a call."""

    @property
    def uuid(self) -> str:
        """Which variable."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...


class Reply(Protocol):
    """What is noted of the answer to a call."""

    @property
    def versions(self) -> Sequence[Acknowledged]:
        """Of the variables that the call has changed."""
        ...

    @property
    def incarnation(self) -> str:
        """Of the server that answered."""
        ...


class Server(Protocol):
    """What healing asks of the connection; each call rides through on its own."""

    def incarnation_now(self) -> str:
        """The incarnation that serves at the moment."""
        ...

    def seconds_left(self) -> float:
        """What is left of the deadline of the call that this thread makes."""
        ...

    def resume(self, incarnation: str, known: Sequence[tuple[str, int]]) -> Restored:
        """What has become of versions that an incarnation had acknowledged."""
        ...

    def give_function(self, job: CompileJob) -> None:
        """Has a graph compiled."""
        ...

    def find_function(self, published: Published) -> None:
        """Looks a function up again, which from then on is held."""
        ...

    def give_buffer(self, handle: str, value: Array) -> None:
        """Uploads an array under a handle."""
        ...

    def give_variable(self, new: NewVariable) -> None:
        """Makes a variable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableFacts:
    """A shared variable without its value."""

    uuid: str
    name: str
    type: TensorType | None  # None where this client has only seen updates of it
    durability: str

    def with_value(self, value: InputValue) -> NewVariable:
        """The variable to be made with a value."""
        assert self.type is not None  # what this client made or attached to
        return NewVariable(
            uuid=self.uuid,
            name=self.name,
            type=self.type,
            durability=self.durability,
            value=value,
        )


@dataclass(slots=True)
class _Variable:
    """A variable that this client has made, or attached to.

    Attributes:
        facts: what it is, without a value.
        version: the newest that was acknowledged or shown to this client.
        first: what it was made of, for as long as that is its value; else None.
        incarnation: the one it was made in.
        lost: whether its value went with a server.
    """

    facts: VariableFacts
    version: int
    first: InputValue | None
    incarnation: str
    lost: bool = False

    @property
    def label(self) -> str:
        return self.facts.name or self.facts.uuid


@dataclass(slots=True)
class _Given:
    """Something that can be given again, and the incarnation that has it."""

    what: CompileJob | Array | Published
    incarnation: str


class Healer:
    """The memory of one client. Thread safe.

    Attributes:
        incarnation: the server that this client believes to talk to.
        epoch: how many restarts it has met; a call notes it when it begins.
    """

    def __init__(self, server: Server, incarnation: str) -> None:
        self._server = server
        self.incarnation = incarnation
        self.epoch = 0
        self._lock = threading.RLock()
        self._functions: dict[str, _Given] = {}
        self._buffers: dict[str, _Given] = {}
        self._variables: dict[str, _Variable] = {}
        self._loss: tuple[int, StateRolledBack] | None = None
        self._untold: StateRolledBack | None = None
        self._gifts = 0  # how often something was given again

    # ---- remembering
    def gave_function(self, handle: str, job: CompileJob) -> None:
        """Notes that a function was compiled."""
        self._functions[handle] = _Given(job, self.incarnation)

    def found_function(self, published: Published) -> None:
        """Notes that a function was looked up."""
        self._functions.setdefault(published.handle, _Given(published, self.incarnation))

    def gave_buffer(self, handle: str, value: Array) -> None:
        """Notes that an array was uploaded, and keeps it."""
        self._buffers[handle] = _Given(value, self.incarnation)

    def gave_variable(self, new: NewVariable) -> None:
        """Notes that a variable was made."""
        facts = VariableFacts(
            uuid=new.uuid, name=new.name, type=new.type, durability=new.durability
        )
        self._variables[new.uuid] = _Variable(facts, 1, new.value, self.incarnation)

    def attached(self, facts: VariableFacts, version: int) -> None:
        """Notes that a variable of somebody else is used, and the version that was seen."""
        with self._lock:
            self._variables.setdefault(
                facts.uuid, _Variable(facts, version, None, self.incarnation)
            )

    def saw(self, versions: Sequence[tuple[str, int]], incarnation: str) -> None:
        """Notes versions that an incarnation of the server has acknowledged or shown.

        Raises:
            StateRolledBack: the answer came late, a restart is known already, and has taken what
                it acknowledged.
        """
        with self._lock:
            if incarnation != self.incarnation:
                found = self._server.resume(incarnation, versions)
                lost = self._names([*found.missing, *found.rolled_back])
                if lost:
                    raise _rolled_back(lost)
                return
            self._note(versions)

    def saw_now(self, versions: Sequence[tuple[str, int]], incarnation: str) -> bool:
        """The same if nothing has to be waited for; whether they are noted."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if incarnation != self.incarnation:
                return False
            self._note(versions)
            return True
        finally:
            self._lock.release()

    def _note(self, versions: Sequence[tuple[str, int]]) -> None:
        """Notes versions of the server that is known; under the lock."""
        for uuid, version in versions:
            known = self._variables.get(uuid)
            if known is None:  # of a function that was looked up
                facts = VariableFacts(uuid=uuid, name="", type=None, durability="")
                self._variables[uuid] = _Variable(facts, version, None, self.incarnation)
            elif version > known.version:
                known.version = version
                known.first = None

    @property
    def untold(self) -> bool:
        """Whether the next call is to be told of a loss."""
        return self._untold is not None

    def saw_reply(self, reply: Reply) -> None:
        """Notes what an answer says; see `saw`."""
        if reply.versions or reply.incarnation != self.incarnation:
            self.saw([(v.uuid, v.version) for v in reply.versions], reply.incarnation)

    def saw_aside(self, versions: Sequence[tuple[str, int]], incarnation: str) -> None:
        """The same, away from the caller's thread: what was lost is told to the next call."""
        try:
            self.saw(versions, incarnation)
        except StateRolledBack as error:
            self._untold = error

    def forget(
        self, functions: Iterable[str], buffers: Iterable[str], variables: Iterable[str]
    ) -> None:
        """Drops what is no longer used."""
        for table, names in (
            (self._functions, functions),
            (self._buffers, buffers),
            (self._variables, variables),
        ):
            for name in names:
                table.pop(name, None)

    def is_lost(self, uuid: str) -> bool:
        """Whether the value of a variable went with the server, and can only be given anew."""
        known = self._variables.get(uuid)
        return known is not None and known.lost and known.facts.type is not None

    # ---- healing
    def begin(self) -> int:
        """How many restarts the client knows of, for a call that begins now.

        Raises:
            StateRolledBack: what one of them has taken was not told yet.
        """
        if self._untold is not None:
            self._tell_untold()
        return self.epoch

    def call(self, needs: Needs, attempt: Callable[[], T], epoch: int | None = None) -> T:
        """The answer of a call that names the incarnation it expects, over restarts.

        Args:
            needs: what the call uses.
            attempt: makes it once.
            epoch: when the call was begun, if that was before.

        Raises:
            StateRolledBack: a restart has taken acknowledged values of this client.
            ExprdError: whatever the call raises.
        """
        begun = self.epoch if epoch is None else epoch
        while True:
            self._tell(begun)
            gifts = self._gifts
            try:
                return attempt()
            except UnknownHandle as error:
                self._heal(error, needs, gifts)

    def _heal(self, error: UnknownHandle, needs: Needs, gifts: int) -> None:
        """Gives the server what it lacks.

        Args:
            error: of the attempt.
            needs: what it uses.
            gifts: the count when it was begun.

        Raises:
            UnknownHandle: nothing is there now that was not there before.
        """
        try:
            healed = self._healed(error, needs, gifts)
        except UnknownHandle as lacking:
            raise self._explained(lacking, needs) from None
        if not healed:
            raise self._explained(error, needs) from None

    def _healed(self, error: UnknownHandle, needs: Needs, gifts: int) -> bool:
        # Another thread that heals may have more time than this one.
        if not self._lock.acquire(timeout=self._server.seconds_left()):
            raise DeadlineExceeded("the time of the call ran out while the server was met again")
        try:
            told = error.fields.get("incarnation")
            if (told or self._server.incarnation_now()) != self.incarnation:
                self._resume()
                return True
            for uuid in self._variables_of(needs):
                self._give_variable(uuid)
            for handle in needs.buffers:
                self._give_buffer(handle)
            for handle in needs.functions:
                self._give_function(handle, missing=error.fields.get("handle") == handle)
            # Another thread may have met the restart before this one, or given things meanwhile.
            return told is not None or self._gifts > gifts
        finally:
            self._lock.release()

    def _resume(self) -> None:
        # Other threads make variables and give them up meanwhile, the collector of garbage may even
        # in this one; `copy`, unlike a loop over items, makes no objects that could call it.
        variables = self._variables.copy()
        known = [(uuid, v.version) for uuid, v in variables.items() if not v.lost]
        found = self._server.resume(self.incarnation, known)
        names = [self._lose(uuid) for uuid in found.missing]
        names += [self._roll_back(uuid) for uuid in found.rolled_back]
        self.incarnation = found.incarnation
        self.epoch += 1
        lost = sorted({name for name in names if name})
        if lost:
            self._loss = (self.epoch, _rolled_back(lost))

    def _lose(self, uuid: str) -> str:
        """Notes that a variable is gone; its name, or "" when nothing is lost by that."""
        known = self._variables.get(uuid)
        if known is None or known.first is not None:
            return ""
        known.lost, known.version = True, 0
        return known.label

    def _roll_back(self, uuid: str) -> str:
        known = self._variables.get(uuid)
        if known is None:
            return ""
        known.version = 0  # whatever it is there from now on
        return known.label

    def _names(self, uuids: Iterable[str]) -> list[str]:
        known = (self._variables.get(uuid) for uuid in uuids)
        return sorted({variable.label for variable in known if variable is not None})

    def _tell(self, epoch: int) -> None:
        """Returns unless a loss has still to be told to a call that was begun at an epoch."""
        if self._untold is not None:
            self._tell_untold()
        if self._loss is not None and self._loss[0] > epoch:
            told = self._loss[1]
            raise StateRolledBack(told.message, hint=told.hint, fields=told.fields)

    def _tell_untold(self) -> None:
        with self._lock:
            untold, self._untold = self._untold, None
        if untold is not None:
            raise untold

    def _variables_of(self, needs: Needs) -> list[str]:
        bound = [uuid for handle in needs.functions for uuid in self._bindings(handle)]
        return [*needs.variables, *bound]

    def _bindings(self, handle: str) -> tuple[str, ...]:
        given = self._functions.get(handle)
        return given.what.bindings if given and isinstance(given.what, CompileJob) else ()

    def _give_function(self, handle: str, *, missing: bool) -> None:
        given = self._functions.get(handle)
        if given is None:
            return
        if isinstance(given.what, Published):
            if missing:
                self._server.find_function(given.what)
                self._gifts += 1
        elif given.incarnation != self.incarnation:
            assert isinstance(given.what, CompileJob)
            self._server.give_function(given.what)
            given.incarnation = self.incarnation
            self._gifts += 1

    def _give_buffer(self, handle: str) -> None:
        given = self._buffers.get(handle)
        if given is not None and given.incarnation != self.incarnation:
            assert not isinstance(given.what, CompileJob | Published)
            self._server.give_buffer(handle, given.what)
            given.incarnation = self.incarnation
            self._gifts += 1

    def _give_variable(self, uuid: str) -> None:
        known = self._variables.get(uuid)
        if known is None or known.first is None or known.incarnation == self.incarnation:
            return
        if isinstance(known.first, BufferRef):
            self._give_buffer(known.first.handle)
        self._server.give_variable(known.facts.with_value(known.first))
        known.incarnation = self.incarnation
        self._gifts += 1

    def give_anew(self, uuid: str, value: InputValue) -> None:
        """Makes a variable again whose value was lost, with a value that the user gives."""
        with self._lock:
            known = self._variables[uuid]
            self._server.give_variable(known.facts.with_value(value))
            self._variables[uuid] = _Variable(known.facts, 1, value, self.incarnation)
            self._gifts += 1

    def _explained(self, error: UnknownHandle, needs: Needs) -> ExprdError:
        lost = [uuid for uuid in self._variables_of(needs) if self.is_lost(uuid)]
        if not lost:
            return error
        names = ", ".join(repr(self._variables[uuid].label) for uuid in lost)
        return UnknownHandle(
            f"the value of {names} was lost when the server was restarted",
            hint="set_value() gives it one again",
            fields={"uuids": " ".join(lost)},
        )


def _rolled_back(names: Sequence[str]) -> StateRolledBack:
    return StateRolledBack(
        f"the server was restarted and has lost acknowledged values of {', '.join(names)};"
        " this call was not repeated",
        hint="go on from the values that are there, or set_value() what they should be",
        fields={"variables": ", ".join(names)},
    )
