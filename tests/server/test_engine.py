"""The engine in this process: semantics of calls, functions and what clients hold."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from exprd_compiler.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    DeviceUnavailable,
    GraphError,
    LimitExceeded,
    ResultExpired,
    ShapeError,
    UnknownHandle,
)
from exprd_server.compilers import InProcessCompiler
from exprd_server.deadline import Deadline
from exprd_server.embedded import embedded_engine
from exprd_server.engine import LocalEngine
from exprd_server.settings import Limits, Settings
from exprd_server.store import MemoryStore
from exprd_server.values import (
    BufferInfo,
    BufferRef,
    CallId,
    CompileCall,
    CompileChoices,
    Delivery,
    Durability,
    ExecuteCall,
    SetCall,
    VariableRef,
)
from exprd_server.variables import NewVariable
from tests.server import graphs

LIMITS = Limits(functions=4, inline_bytes=100, replay_bytes=64)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An engine with short forms of its calls."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    def variable(self, value, **facts) -> str:
        new = NewVariable(value=np.array(value, dtype=float), **facts)
        return self.engine.create_variable("c", new).uuid

    def compile(self, graph, *bindings, client_id="c", **choices):
        call = CompileCall(
            client_id=client_id,
            graph=graph,
            bindings=bindings,
            choices=CompileChoices(**choices),
        )
        return self.engine.compile(call)

    def execute(self, function, *inputs, deadline=None, **facts):
        values = tuple(
            x if isinstance(x, BufferRef | VariableRef) else np.asarray(x, float) for x in inputs
        )
        call = ExecuteCall(handle=function.handle, inputs=values, client_id="c", **facts)
        return self.engine.execute(call, deadline)

    def value(self, uuid):
        return self.engine.get_variable("c", uuid)[1]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bench(clock):
    settings = Settings(lease_seconds=60, limits=LIMITS)
    return Bench(LocalEngine(settings, InProcessCompiler(), MemoryStore(), clock=clock))


def test_outputs_use_old_values_and_updates_follow(bench):
    w = bench.variable([1, 2])
    function = bench.compile(graphs.step(), w)
    reply = bench.execute(function, [2, 2])
    assert reply.outputs[0] == 6
    assert reply.versions == ((w, 2),)
    np.testing.assert_array_equal(bench.value(w), [0, 1])


def test_the_signature_is_told(bench):
    function = bench.compile(graphs.step(), bench.variable([1]))
    assert [p.name for p in function.signature.inputs] == ["x"]
    assert [p.name for p in function.signature.shared] == ["w"]
    assert function.signature.updated == (0,)
    assert function.signature.outputs[0].type == graphs.SCALAR
    assert {"Elemwise", "Sum"} <= {step.op for step in function.plan}


def test_equal_content_and_bindings_give_the_equal_handle(bench):
    w, v = bench.variable([1]), bench.variable([1])
    first = bench.compile(graphs.step(), w)
    again = bench.compile(graphs.step(), w)
    other = bench.compile(graphs.step(), v)
    assert (again.handle, again.cache_hit) == (first.handle, True)
    assert other.handle != first.handle
    assert bench.compile(graphs.step(), w, mode="FAST_COMPILE").handle != first.handle


def test_a_digest_stands_for_a_graph(bench):
    w, v = bench.variable([1]), bench.variable([1])
    first = bench.compile(graphs.step(), w)
    assert bench.compile(first.graph_digest, v).graph_digest == first.graph_digest
    with pytest.raises(UnknownHandle, match="send the graph itself"):
        bench.compile(b"nope", v)


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_results_never_share_memory_with_anything(bench, target):
    w = bench.variable([1, 2])
    x = np.array([3.0, 4.0])
    function = bench.compile(graphs.keep_everything(), w, target=target)
    call = ExecuteCall(handle=function.handle, inputs=(x,))
    first, second = bench.engine.execute(call).outputs
    x[:] = first[:] = second[:] = -1
    np.testing.assert_array_equal(bench.value(w), [3, 4])


def test_published_values_are_read_only(bench):
    w = bench.variable([1, 2])
    with pytest.raises(ValueError, match="read-only"):
        bench.value(w)[0] = 5
    bench.execute(bench.compile(graphs.step(), w), [2, 2])
    with pytest.raises(ValueError, match="read-only"):
        bench.value(w)[0] = 5


def test_a_failed_call_changes_nothing(bench):
    w = bench.variable([1, 2])
    function = bench.compile(graphs.step(), w)
    with pytest.raises(ShapeError):
        bench.execute(function, [1, 2, 3])
    np.testing.assert_array_equal(bench.value(w), [1, 2])
    assert bench.engine.get_variable("c", w)[0].version == 1


def test_a_lapsed_or_cancelled_call_changes_nothing(bench):
    w = bench.variable([1, 2])
    function = bench.compile(graphs.step(), w)
    cancelled = Deadline(60)
    cancelled.cancel()
    for deadline, error in ((Deadline(0), DeadlineExceeded), (cancelled, Cancelled)):
        with pytest.raises(error, match="nothing has changed"):
            bench.execute(function, [1, 2], deadline=deadline)
    np.testing.assert_array_equal(bench.value(w), [1, 2])


def test_a_call_id_makes_a_retry_a_replay(bench):
    total = bench.variable(0)
    function = bench.compile(graphs.counter(), total)
    first = bench.execute(function, 5, call_id=CallId(client_id="c", seq=1))
    again = bench.execute(function, 5, call_id=CallId(client_id="c", seq=1))
    assert not first.replayed
    assert again.replayed
    assert again.outputs == first.outputs
    assert again.versions == first.versions
    assert bench.value(total) == 5


def test_a_large_answer_is_committed_once_and_not_replayed(bench):
    w = bench.variable(np.ones(10))
    function = bench.compile(graphs.keep_everything(), w)
    call_id = CallId(client_id="c", seq=1)
    bench.execute(function, np.zeros(10), call_id=call_id)
    with pytest.raises(ResultExpired):
        bench.execute(function, np.zeros(10), call_id=call_id)
    assert bench.engine.get_variable("c", w)[0].version == 2


def test_a_refused_call_may_use_its_id_again(bench):
    w = bench.variable([1, 2])
    function = bench.compile(graphs.step(), w)
    call_id = CallId(client_id="c", seq=1)
    with pytest.raises(ShapeError):
        bench.execute(function, [1, 2, 3], call_id=call_id)
    assert not bench.execute(function, [1, 2], call_id=call_id).replayed


def test_kept_outputs_are_buffers_and_inputs(bench):
    w = bench.variable([1, 2])
    function = bench.compile(graphs.scale(), w)
    reply = bench.execute(function, [3, 4], deliveries=(Delivery.KEEP, Delivery.DISCARD))
    kept, dropped = reply.outputs
    assert isinstance(kept, BufferInfo)
    assert dropped is None
    assert (kept.shape, kept.dtype) == ((2,), "float64")
    np.testing.assert_array_equal(bench.engine.get("c", kept.handle), [3, 8])
    assert bench.execute(function, BufferRef(kept.handle)).outputs[1] == 19
    assert bench.engine.release_buffers("c", [kept.handle]) == 1
    with pytest.raises(UnknownHandle):
        bench.execute(function, BufferRef(kept.handle))


def test_large_outputs_stay_when_the_choice_is_left(bench):
    w = bench.variable(np.ones(20))
    function = bench.compile(graphs.scale(), w)
    large, small = bench.execute(function, np.ones(20), delivery=Delivery.AUTO).outputs
    assert isinstance(large, BufferInfo)
    assert small == 20


def test_an_answer_that_fits_no_message_is_refused_before_the_commit(bench):
    w = bench.variable(np.ones(10))
    function = bench.compile(graphs.keep_everything(), w)
    with pytest.raises(LimitExceeded, match="nothing has changed"):
        bench.execute(function, np.zeros(10), reply_bytes=100)
    np.testing.assert_array_equal(bench.value(w), np.ones(10))
    assert bench.engine.usage().buffers == 0


def test_variables_are_inputs_too(bench):
    w, v = bench.variable([1, 2]), bench.variable([3, 4])
    function = bench.compile(graphs.scale(), w)
    assert bench.execute(function, VariableRef(v)).outputs[1] == 11


def test_expected_versions_guard_a_call(bench):
    total = bench.variable(0, name="total")
    function = bench.compile(graphs.counter(), total)
    bench.execute(function, 1, expected=((total, 1),))
    said = rf"shared variable 'total' \({total}\) is at version 2, not at the expected 1"
    with pytest.raises(Conflict, match=said) as caught:
        bench.execute(function, 1, expected=((total, 1),))
    assert caught.value.fields == {"uuid": total, "name": "total", "version": "2", "expected": "1"}
    assert bench.value(total) == 1


def test_assignments(bench):
    w = bench.variable([1, 2])
    buffer = bench.engine.put("c", np.array([7.0]))
    set_ = bench.engine.set_variable
    call = SetCall(uuid=w, value=np.zeros(3), call_id=CallId(client_id="c", seq=1))
    assert set_(call).variable.version == 2
    assert set_(call).replayed
    assert set_(SetCall(uuid=w, value=BufferRef(buffer.handle))).variable.shape == (1,)
    with pytest.raises(Conflict, match=f"shared variable {w} is at version 3"):
        set_(SetCall(uuid=w, value=np.zeros(3), expected_version=1))
    with pytest.raises(ShapeError):
        set_(SetCall(uuid=w, value=np.zeros((3, 3))))
    np.testing.assert_array_equal(bench.value(w), [7])


def test_constants_are_read_by_many_and_written_by_none(bench):
    data = bench.variable([1, 2], durability=Durability.CONSTANT)
    with pytest.raises(GraphError, match="constant"):
        bench.compile(graphs.step(), data)
    assert bench.execute(bench.compile(graphs.scale(), data), [1, 1]).outputs[1] == 3


def test_functions_live_as_long_as_somebody_holds_them(bench):
    w = bench.variable([1])
    function = bench.compile(graphs.scale(), w)
    bench.compile(graphs.scale(), w, client_id="d")
    assert bench.engine.release_functions("c", [function.handle, "nope"]) == 1
    bench.execute(function, [1])
    assert bench.engine.release_functions("c", [function.handle]) == 0
    bench.engine.release_functions("d", [function.handle])
    with pytest.raises(UnknownHandle, match="compile it again"):
        bench.execute(function, [1])


def test_functions_are_counted(bench):
    for length in range(4):
        bench.compile(graphs.chain(length + 1))
    with pytest.raises(LimitExceeded, match="4 functions"):
        bench.compile(graphs.chain(9))
    bench.compile(graphs.chain(1))


def test_a_function_of_a_deleted_variable_says_so(bench):
    w = bench.variable([1])
    function = bench.compile(graphs.step(), w)
    assert bench.engine.delete_variables("c", [w, "nope"]) == 1
    with pytest.raises(UnknownHandle, match="was deleted"):
        bench.execute(function, [1])


def test_a_silent_client_is_collected(bench, clock):
    w = bench.variable([1])
    function = bench.compile(graphs.scale(), w)
    bench.engine.put("c", np.zeros(1))
    clock.now = 50
    bench.execute(function, [1])
    clock.now = 100
    assert bench.engine.collect() == ()
    clock.now = 200
    assert bench.engine.collect() == ("c",)
    usage = bench.engine.usage()
    assert (usage.functions, usage.buffers, usage.variables) == (0, 0, 0)


def test_a_client_may_leave(bench):
    w = bench.variable([1])
    bench.compile(graphs.scale(), w)
    bench.engine.put("c", np.zeros(1))
    assert bench.engine.end_lease("c") == (1, 1, 1)
    assert bench.engine.end_lease("c") == (0, 0, 0)


def test_what_is_lent_stays_charged_when_the_lease_ends(bench):
    held = bench.engine._leases.held_bytes
    bench.engine.lend("c", 100)
    bench.engine.end_lease("c")
    assert held("c") == 100
    bench.engine.renew("c")
    bench.engine.lend("c", -100)
    assert held("c") == 0


@pytest.mark.parametrize(
    ("choices", "error", "says"),
    [
        ({"target": "tpu"}, DeviceUnavailable, "tpu"),
        ({"mode": "SLOW"}, GraphError, "SLOW"),
        ({"excluding": ("no such rewrite",)}, GraphError, "no such rewrite"),
    ],
)
def test_unknown_choices_are_refused(bench, choices, error, says):
    with pytest.raises(error, match=says):
        bench.compile(graphs.chain(1), **choices)


def test_the_stages_of_a_function_are_texts(bench):
    function = bench.compile(graphs.step(), bench.variable([1]))
    assert bench.engine.describe(function.handle, texts=False).texts == {}
    texts = bench.engine.describe(function.handle).texts
    assert "sum(" in texts["graph"]
    assert "define" in texts["llvm"]


def test_concurrent_transfers_keep_the_sum_and_lose_nothing(bench):
    a, b = bench.variable(0), bench.variable(0)
    forth, back = bench.compile(graphs.transfer(), a, b), bench.compile(graphs.transfer(), b, a)
    sums: list[float] = []

    def work(function, amount: float) -> None:
        sums.extend(float(bench.execute(function, amount).outputs[0]) for _ in range(100))

    threads = [threading.Thread(target=work, args=pair) for pair in ((forth, 1.0), (back, 3.0)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sums) == {0.0}
    assert (bench.value(a), bench.value(b)) == (400, -400)
    assert bench.engine.get_variable("c", a)[0].version == 401


def test_concurrent_counts_give_unique_totals(bench):
    total = bench.variable(0)
    function = bench.compile(graphs.counter(), total)
    seen: list[float] = []

    def work() -> None:
        seen.extend(float(bench.execute(function, 1).outputs[0]) for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(400))


def test_the_embedded_engine_needs_no_grpc(child_env):
    code = (
        "import sys, exprd_server.embedded as e; e.embedded_engine(); print('grpc' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_embedded_engine_has_no_quota():
    bench = Bench(embedded_engine())
    assert bench.engine.collect() == ()
    w = bench.variable([1, 2])
    assert bench.execute(bench.compile(graphs.scale(), w), [3, 4]).outputs[1] == 11


def test_what_was_kept_goes_when_the_commit_fails(clock):
    """The update outgrows the client's memory after an output was already kept."""
    limits = Limits(client_bytes=1000)
    engine = LocalEngine(Settings(limits=limits), InProcessCompiler(), MemoryStore(), clock=clock)
    bench = Bench(engine)
    w = bench.variable([1.0])
    function = bench.compile(graphs.keep_everything(), w)
    deliveries = (Delivery.KEEP, Delivery.INLINE)
    with pytest.raises(LimitExceeded, match="limit of 1000"):
        bench.execute(function, np.zeros(80), deliveries=deliveries)
    assert engine.usage().buffers == 0
    np.testing.assert_array_equal(bench.value(w), [1])
    bench.execute(function, np.zeros(50), deliveries=deliveries)


def test_a_second_kept_output_that_is_refused_takes_the_first_along(clock):
    limits = Limits(client_bytes=1000)
    engine = LocalEngine(Settings(limits=limits), InProcessCompiler(), MemoryStore(), clock=clock)
    bench = Bench(engine)
    w = bench.variable(np.zeros(30))
    function = bench.compile(graphs.keep_everything(), w)
    with pytest.raises(LimitExceeded):
        bench.execute(function, np.zeros(80), deliveries=(Delivery.KEEP, Delivery.KEEP))
    assert engine.usage().buffers == 0
