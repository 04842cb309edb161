"""Functions by name, in this process and on a server."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import uuid
from functools import partial

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import CallError, Conflict, IndexOutOfRange, UnknownHandle
from exprd.session import current_session


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"f-{uuid.uuid4().hex[:8]}"


def scaled(factor: float = 2.0):
    x = T.dvector("x")
    return exprd.function([x], x * factor)


def counter(total):
    x = T.dscalar("x")
    return exprd.function([x], total, updates=[(total, total + x)])


def test_a_function_is_called_by_name(mode, name):
    info = exprd.publish(name, scaled(), doc="Twice x.")
    assert (info.name, info.version, info.labels, info.doc) == (name, 1, (), "Twice x.")
    f = exprd.lookup(name)
    np.testing.assert_array_equal(f([1.0, 2.0]), [2, 4])
    np.testing.assert_array_equal(f(x=[1.0]), [2])
    assert f.__doc__ == "Twice x."
    assert f.__name__ == name
    assert f"{name}(x: float64[?]) version 1" in repr(f)


def test_versions_ascend_and_never_change(mode, name):
    exprd.publish(name, scaled(2.0))
    assert exprd.publish(name, scaled(3.0)).version == 2
    assert exprd.publish(name, scaled(4.0), version=10).version == 10
    assert exprd.publish(name, scaled(5.0)).version == 11
    found = [exprd.lookup(name, version=v)([1.0])[0] for v in (1, 2, 10, 11)]
    assert found == [2, 3, 4, 5]
    with pytest.raises(Conflict, match=r"version 10 of .* is not beyond the last one, 11"):
        exprd.publish(name, scaled(6.0), version=10)
    assert [info.version for info in exprd.list_functions(name)] == [1, 2, 10, 11]


def test_publishing_the_newest_again_gives_that_version(mode, name):
    f = scaled()
    first = exprd.publish(name, f)
    again = exprd.publish(name, f, labels="stable")
    assert (first.version, again.version, again.labels) == (1, 1, ("stable",))
    assert exprd.publish(name, f, doc="better said").version == 2


def test_a_lookup_without_version_takes_stable_and_else_the_newest(mode, name):
    exprd.publish(name, scaled(2.0))
    exprd.publish(name, scaled(3.0))
    assert exprd.lookup(name).version == 2
    exprd.set_label(name, "stable", 1)
    assert exprd.lookup(name).version == 1
    assert exprd.lookup(name, label="stable").version == 1


def test_a_label_moves_and_is_rolled_back(mode, name):
    for factor in (1.0, 2.0, 3.0):
        exprd.publish(name, scaled(factor), labels=["stable"])
    assert exprd.lookup(name, label="stable").version == 3
    assert exprd.rollback(name).version == 2
    assert exprd.rollback(name).version == 1
    with pytest.raises(UnknownHandle, match="points at no earlier version"):
        exprd.rollback(name)
    assert exprd.lookup(name)([1.0]) == [1]


def test_a_moved_label_is_not_rolled_back_twice(mode, name):
    for factor in (1.0, 2.0, 3.0):
        exprd.publish(name, scaled(factor), labels="stable")
    names = current_session().transport.names
    assert names.set_label(name, "stable", 0, 3).version == 2
    with pytest.raises(Conflict, match="points at 2, not at the expected 3"):
        names.set_label(name, "stable", 0, 3)


def test_what_a_name_may_be(mode, name):
    for wrong in ("", " x", "a\nb", "x" * 2000):
        with pytest.raises(CallError, match="printable characters"):
            exprd.publish(wrong, scaled())
    with pytest.raises(CallError, match="count from 1"):
        exprd.publish(name, scaled(), version=0)
    with pytest.raises(CallError, match="takes a compiled function"):
        exprd.publish(name, np.sin)  # type: ignore[arg-type]


def test_what_is_not_there_is_said_with_what_is(mode, name):
    with pytest.raises(UnknownHandle, match="no published function"):
        exprd.lookup(name)
    exprd.publish(name, scaled(), labels="canary")
    with pytest.raises(UnknownHandle, match=r"no version 7 of .*there is 1"):
        exprd.lookup(name, version=7)
    with pytest.raises(UnknownHandle, match=r"no label 'stable' of .*there is canary"):
        exprd.lookup(name, label="stable")


def test_results_have_their_layout(mode, name):
    x = T.dscalar("x")
    cases = {"single": x + 1, "list": [x + 1, x + 2], "dict": {"b": x + 1, "a": x + 2}, "none": []}
    expected = {"single": 2.0, "list": [2.0, 3.0], "dict": {"b": 2.0, "a": 3.0}, "none": []}
    for kind, outputs in cases.items():
        f = exprd.function([x], outputs, on_unused_input="ignore")
        exprd.publish(f"{name}-{kind}", f)
        assert exprd.lookup(f"{name}-{kind}")(1.0) == expected[kind]


def test_defaults_and_keywords_go_with_the_function(mode, name):
    x, y = T.dvector("x"), T.dscalar("y")
    f = exprd.function([x, exprd.In(y, value=3.0, name="factor")], x * y)
    exprd.publish(name, f)
    g = exprd.lookup(name)
    assert str(inspect.signature(g)) == "(x: float64[?], factor: float64[] = array(3.))"
    np.testing.assert_array_equal(g([1.0]), [3])
    np.testing.assert_array_equal(g([1.0], factor=4), [4])
    with pytest.raises(CallError, match="misses the input x"):
        g()
    with pytest.raises(CallError, match=r"no input 'z'.*its keywords: x, factor"):
        g([1.0], z=1)
    with pytest.raises(CallError, match="two values for the input 'x'"):
        g([1.0], x=[1.0])
    with pytest.raises(CallError, match="argument 0"):
        g(np.ones((2, 2)))


def test_inputs_without_a_name_go_by_position(mode, name):
    x, y = T.dvector(), T.dscalar("class")
    exprd.publish(name, exprd.function([x, y], x * y))
    g = exprd.lookup(name)
    assert [p.kind for p in inspect.signature(g).parameters.values()] == [
        inspect.Parameter.POSITIONAL_ONLY
    ] * 2
    np.testing.assert_array_equal(g([1.0], **{"class": 2.0}), [2])


def test_inputs_that_share_a_name_go_by_position(mode, name):
    x, other, third = (T.dscalar(word) for word in ("x", "x", "input0"))
    exprd.publish(name, exprd.function([x, other, third], x - other * third))
    f = exprd.lookup(name)
    assert list(f.__signature__.parameters) == ["input0_", "input1", "input0"]
    assert f(7, 2, input0=3) == 1


def test_an_input_may_be_called_self(mode, name):
    x = T.dscalar("self")
    f = exprd.function([x], 2 * x)
    exprd.publish(name, f)
    assert [g(self=3) for g in (f, exprd.lookup(name))] == [6, 6]
    assert f.submit(self=4).result() == 8


def test_what_is_no_version_and_what_is_no_name(mode, name):
    f = exprd.function([], T.constant(1.0))
    for version in (0, -1, 1 << 63, 1.5, "1"):
        for ask in (
            partial(exprd.publish, name, f),
            partial(exprd.lookup, name),
            partial(exprd.unpublish, name),
            partial(exprd.set_label, name, "stable"),
        ):
            with pytest.raises(CallError, match="versions count from 1"):
                ask(version)
    for odd in (3, None, "two\nlines", "\udcff"):
        for ask in (exprd.lookup, exprd.list_functions, exprd.rollback, exprd.unpublish):
            with pytest.raises(CallError, match="printable"):
                ask(odd)
        with pytest.raises(CallError, match="printable"):
            exprd.publish(name, f, labels=[odd])


def test_shared_variables_are_those_of_the_publisher(mode, name):
    total = exprd.shared(np.float64(1.0), name="total")
    exprd.publish(name, counter(total))
    f = exprd.lookup(name)
    assert f(4.0) == 1
    assert total.get_value() == 5
    (variable,) = f.shared
    assert (variable.name, variable.updated) == ("total", True)
    variable.set_value(7.0)
    assert (f(0.0), variable.get_value(), total.get_value()) == (7, 7, 7)


def test_an_input_with_a_state_is_a_variable_of_the_published_function(mode, name):
    x, s = T.dscalar("x"), T.dscalar("s")
    f = exprd.function([x, exprd.In(s, value=10.0, update=s + x)], s)
    exprd.publish(name, f)
    g = exprd.lookup(name)
    assert [g(1.0), g(1.0), float(g.shared[0].get_value())] == [10, 11, 12]


def test_it_outlives_the_references_of_its_publisher(mode, name):
    total = exprd.shared(np.float64(1.0))
    f = counter(total)
    exprd.publish(name, f)
    del f, total
    gc.collect()
    scaled()([1.0])  # a compilation gives up what has no owner
    g = exprd.lookup(name)
    assert [g(1.0), g(1.0)] == [1, 2]


def test_outputs_can_stay_where_they_are(mode, name):
    exprd.publish(name, scaled())
    kept = exprd.lookup(name).keep([1.0, 2.0])
    assert isinstance(kept, exprd.Buffer)
    np.testing.assert_array_equal(exprd.lookup(name)(kept), [4, 8])


def test_it_runs_many_times_as_a_compiled_one_does(mode, name):
    total = exprd.shared(np.float64(0.0), name="total")
    exprd.publish(name, counter(total))
    f = exprd.lookup(name)
    assert [float(x.result()) for x in [f.submit(1.0) for _ in range(20)]] == list(range(20))
    assert [float(x) for x in f.batch([(1.0,)] * 5)] == [20, 21, 22, 23, 24]
    told = []
    last = f.repeat(10, x=2.0, every=5, on_progress=lambda p: told.append((p.step, p.outputs)))
    assert (last, told) == (43, [(5, 33), (10, 43)])
    assert f.repeat(3, 1.0, stack=True).tolist() == [45, 46, 47]
    assert f.repeat(100, 1.0, until=0) == 48
    with exprd.pipeline():
        first = f.submit(1.0)
        assert f(1.0) == 50
    assert first.result() == 49
    assert total.get_value() == 51
    kept = f.submit_keep(1.0).result()
    assert (kept.get(), f.repeat(2, 1.0, keep=True).get()) == (51, 53)
    assert [x.get() for x in f.batch([(1.0,)] * 2, keep=True)] == [54, 55]


def test_errors_of_many_calls_say_whose_they_are(mode, name):
    x, i = T.dvector("x"), T.lscalar("i")
    exprd.publish(name, exprd.function([x, i], x[i]))
    f = exprd.lookup(name)
    for call in (
        lambda: f([1.0], 3),
        lambda: f.submit([1.0], 3).result(),
        lambda: f.batch([([1.0], 0), ([1.0], 3)]),
        lambda: f.repeat(2, [1.0], 3),
    ):
        with pytest.raises(IndexOutOfRange) as caught:
            call()
        assert any(f"published function {name}" in note for note in caught.value.__notes__)
    with pytest.raises(CallError, match="misses the input i"):
        f.submit([1.0])


def test_checks_can_be_left_out(mode, name):
    exprd.publish(name, scaled())
    f = exprd.lookup(name)
    f.trust_input = True
    np.testing.assert_array_equal(f(np.ones(2)), [2, 2])
    np.testing.assert_array_equal(f.submit(np.ones(2)).result(), [2, 2])
    with pytest.raises(CallError):  # native code, or the server, looks all the same
        f(np.ones(2, dtype="float32"))


def test_calls_may_expect_versions(mode, name):
    exprd.publish(name, counter(exprd.shared(np.float64(1.0), name="total")))
    f = exprd.lookup(name)
    (total,) = f.shared
    assert f.expecting({total: total.version})(4.0) == 1
    with pytest.raises(CallError, match="'total', which is no shared variable"):
        f.expecting({"total": 1})
    seen = total.version
    total.set_value(9.0, expected_version=seen)
    with pytest.raises(Conflict):
        f.expecting({total: seen})(1.0)
    with pytest.raises(Conflict):
        total.set_value(0.0, expected_version=seen)
    assert total.get_value() == 9


def test_prints_are_no_results(mode, name, capsys):
    x = T.dvector("x")
    exprd.publish(name, exprd.function([x], exprd.printing.Print("seen")(x) * 2))
    np.testing.assert_array_equal(exprd.lookup(name)([1.0]), [2])


def test_versions_are_taken_away(mode, name):
    for factor in (1.0, 2.0, 3.0):
        exprd.publish(name, scaled(factor), labels="stable")
    held = exprd.lookup(name)
    assert exprd.unpublish(name, 3, 99) == 1
    assert exprd.lookup(name).version == 2  # where the label pointed before
    np.testing.assert_array_equal(held([1.0]), [3])  # who has it may go on
    assert exprd.unpublish(name) == 2
    with pytest.raises(UnknownHandle):
        exprd.lookup(name)
    assert exprd.publish(name, scaled(1.0)).version == 4  # numbers are never used again


def test_unpublished_variables_go_when_nobody_wants_them(server, name):
    with exprd.connect(server) as owner:
        total = exprd.shared(np.float64(1.0), name="total")
        exprd.publish(name, counter(total))
        assert owner.target == server
    with exprd.connect(server):  # the publisher has gone, its variable has not
        f = exprd.lookup(name)
        assert f(1.0) == 1
        (variable,) = f.shared
        exprd.unpublish(name)
        with pytest.raises(UnknownHandle):
            variable.get_value()


CALLER = """
import sys, exprd
import numpy as np
with exprd.connect(sys.argv[1]):
    f = exprd.lookup(sys.argv[2], label="stable")
    print(f.version, f.__doc__, float(f(x=2.0)), [v.name for v in f.shared])
"""


def test_a_process_that_never_saw_the_graph_calls_it(server, name, child_env):
    with exprd.connect(server):
        exprd.publish(name, counter(exprd.shared(5.0, name="total")), labels="stable", doc="Adds.")
    found = subprocess.run(
        [sys.executable, "-c", CALLER, server, name],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stdout == "1 Adds. 5.0 ['total']\n", found.stderr
