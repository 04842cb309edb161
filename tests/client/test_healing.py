"""What a client remembers and gives again, against a server that is a table in this process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from exprd.healing import Healer, Needs, Restored, VariableFacts
from exprd.transport import Array, BufferRef, CompileJob, NewVariable
from exprd_compiler.errors import DeadlineExceeded, StateRolledBack, UnknownHandle
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.type import TensorType

SCALAR = TensorType("float64", ())


class Table:
    """The state of a server that forgets everything when it is restarted."""

    def __init__(self) -> None:
        self.number = 1
        self.seconds = 10.0
        self.given: list[str] = []
        self.versions: dict[str, int] = {}

    def restart(self) -> None:
        self.number += 1
        self.given, self.versions = [], {}

    def incarnation_now(self) -> str:
        return str(self.number)

    def seconds_left(self) -> float:
        return self.seconds

    def resume(self, incarnation: str, known: Sequence[tuple[str, int]]) -> Restored:
        here = incarnation == str(self.number)
        missing = tuple(name for name, _ in known if name not in self.versions and not here)
        return Restored(incarnation=str(self.number), missing=missing, rolled_back=())

    def give_function(self, job: CompileJob) -> None:
        if lacking := [name for name in job.bindings if name not in self.versions]:
            raise UnknownHandle(f"no variable {lacking[0]}")
        self.given.append(job.name)

    def give_buffer(self, handle: str, value: Array) -> None:
        self.given.append(f"{handle}={value.tolist()}")

    def give_variable(self, new: NewVariable) -> None:
        self.given.append(new.uuid)
        self.versions[new.uuid] = 1


def variable(name: str, value: Array | BufferRef) -> NewVariable:
    return NewVariable(uuid=name, name=name, type=SCALAR, durability="volatile", value=value)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def healer(table: Table) -> Healer:
    healer = Healer(table, table.incarnation_now())
    healer.gave_buffer("buf", np.ones(2))
    for new in (variable("v", np.array(2.0)), variable("b", BufferRef("buf"))):
        table.give_variable(new)
        healer.gave_variable(new)
    job = CompileJob(graph=Graph((), ()), bindings=("v", "b"), name="f")
    table.give_function(job)
    healer.gave_function("f", job)
    table.given.clear()
    return healer


def calling(table: Table, healer: Healer, *wanted: str) -> Callable[[], str]:
    """A call that succeeds when the server knows everything that is wanted."""

    def attempt() -> str:
        if healer.incarnation != table.incarnation_now():
            raise UnknownHandle("restarted", fields={"incarnation": table.incarnation_now()})
        for name in wanted:
            if not any(given.startswith(name) for given in table.given):
                raise UnknownHandle(f"no {name}")
        return "done"

    return attempt


def test_everything_is_given_again_in_order(table: Table, healer: Healer) -> None:
    table.restart()
    assert healer.call(Needs(functions=("f",)), calling(table, healer, "f", "v", "b")) == "done"
    assert table.given == ["v", "buf=[1.0, 1.0]", "b", "f"]
    assert healer.epoch == 1


def test_variables_may_be_made_and_given_up_while_a_restart_is_met(
    table: Table, healer: Healer
) -> None:
    ended = threading.Event()

    def churn() -> None:
        number = 0
        while not ended.is_set():
            healer.gave_variable(variable(f"x{number}", np.array(1.0)))
            healer.forget((), (), [f"x{number - 500}"])
            number += 1

    for number in range(5_000):
        healer.attached(VariableFacts(uuid=f"u{number}", name="", type=None, durability=""), 1)
    interval = sys.getswitchinterval()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(churn)
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(30):
                table.restart()
                with suppress(StateRolledBack):
                    healer.call(Needs(), calling(table, healer))
        finally:
            sys.setswitchinterval(interval)
            ended.set()
        going.result()
    assert healer.epoch == 30


def test_a_variable_may_be_given_up_while_the_server_is_asked_for_it(
    table: Table, healer: Healer
) -> None:
    resume = table.resume

    def resumed(incarnation: str, known: Sequence[tuple[str, int]]) -> Restored:
        healer.forget((), (), ["v", "b"])
        return resume(incarnation, known)

    table.resume = resumed  # type: ignore[method-assign]
    table.restart()
    assert healer.call(Needs(), calling(table, healer)) == "done"


def test_what_nobody_knows_stays_unknown(table: Table, healer: Healer) -> None:
    for _ in range(2):
        with pytest.raises(UnknownHandle, match="no g"):
            healer.call(Needs(functions=("g",)), calling(table, healer, "g"))
        table.restart()


def test_a_restart_while_a_call_heals_is_met_as_well(table: Table, healer: Healer) -> None:
    restarts = iter([True, True, False])
    wanted = calling(table, healer, "f")

    def attempt() -> str:
        if next(restarts, False):
            table.restart()
        return wanted()

    assert healer.call(Needs(functions=("f",)), attempt) == "done"
    assert healer.epoch == 2


def test_acknowledged_values_are_told_to_every_call_that_was_begun_before(
    table: Table, healer: Healer
) -> None:
    healer.saw([("v", 2)], "1")
    table.restart()
    needs, attempt = Needs(functions=("f",)), calling(table, healer)
    for _ in range(2):
        with pytest.raises(StateRolledBack, match="of v;"):
            healer.call(needs, attempt, epoch=0)
    assert healer.call(Needs(), attempt) == "done"
    with pytest.raises(UnknownHandle, match="'v' was lost"):
        healer.call(needs, calling(table, healer, "f"))
    assert healer.is_lost("v")
    healer.give_anew("v", np.array(3.0))
    assert healer.call(needs, calling(table, healer, "f")) == "done"


def test_an_answer_that_comes_after_the_restart_is_known(table: Table, healer: Healer) -> None:
    table.restart()
    healer.call(Needs(), calling(table, healer))
    with pytest.raises(StateRolledBack, match="of v;"):
        healer.saw([("v", 2)], "1")
    assert not healer.saw_now([("v", 2)], "1")
    healer.saw_aside([("v", 2)], "1")
    with pytest.raises(StateRolledBack, match="of v;"):
        healer.call(Needs(), calling(table, healer))
    assert healer.call(Needs(), calling(table, healer)) == "done"


def test_versions_are_noted_at_once_unless_that_would_have_to_wait(
    table: Table, healer: Healer
) -> None:
    seen = [("v", 2)]
    assert healer.saw_now(seen, "1")
    with ThreadPoolExecutor(1) as other, healer._lock:
        assert not other.submit(healer.saw_now, seen, "1").result()
    table.restart()
    with pytest.raises(StateRolledBack, match="of v;"):
        healer.call(Needs(), calling(table, healer))


def test_variables_of_others_are_told_by_what_is_known_of_them(
    table: Table, healer: Healer
) -> None:
    facts = VariableFacts(uuid="u", name="total", type=SCALAR, durability="durable")
    healer.attached(facts, 5)
    healer.saw([("looked-up", 3)], "1")
    table.restart()
    with pytest.raises(StateRolledBack, match="of looked-up, total;"):
        healer.call(Needs(), calling(table, healer))
    assert healer.is_lost("u")
    assert not healer.is_lost("looked-up")


def test_a_call_waits_for_another_that_heals_no_longer_than_it_may(
    table: Table, healer: Healer
) -> None:
    table.restart()
    table.seconds = 0.05
    with pytest.raises(DeadlineExceeded), ThreadPoolExecutor(1) as pool, healer._lock:
        pool.submit(healer.call, Needs(), calling(table, healer)).result()
    assert healer.call(Needs(), calling(table, healer)) == "done"


def test_what_was_released_is_neither_given_nor_missed(table: Table, healer: Healer) -> None:
    healer.saw([("v", 2)], "1")
    healer.forget(["f"], ["buf"], ["v", "b"])
    table.restart()
    assert healer.call(Needs(), calling(table, healer)) == "done"
    assert not table.given
