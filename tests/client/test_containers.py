"""What functions keep: defaults, inputs with an update, shared variables, and copies of it all."""

from __future__ import annotations

import copy
import gc
import threading

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import In, function, shared
from exprd.errors import CallError, GraphError, UnknownHandle

pytestmark = pytest.mark.usefixtures("mode")


def test_an_input_with_an_update_keeps_its_value() -> None:
    s, inc = T.dscalars("s", "inc")
    f = function([inc, In(s, value=10, update=s + inc)], s * 2)
    assert (f(1), f(2), f[s]) == (20, 22, 13)
    f[s] = 100
    assert (f(1), f["s"]) == (200, 101)


def test_an_update_starts_from_a_given_value() -> None:
    s, inc = T.dscalars("s", "inc")
    f = function([inc, In(s, value=0, update=s + inc)], s)
    assert (f(1, 5), f[s]) == (5, 6)
    assert (f(1, s=7), f[s]) == (7, 8)
    assert (f(1), f[s]) == (8, 9)


def test_updates_of_inputs_and_shared_variables_are_simultaneous() -> None:
    a, b = T.dscalars("a", "b")
    w = shared(3.0, name="w")
    f = function([In(a, value=1, update=b), In(b, value=2, update=w)], [a, b, w], updates=[(w, a)])
    seen = [[float(x) for x in f()] for _ in range(4)]
    assert seen == [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]


def test_a_failed_call_updates_nothing() -> None:
    x, s = T.dvector("x"), T.dscalar("s")
    f = function([x, In(s, value=0, update=s + x[2])], s)
    with pytest.raises(IndexError):
        f([1.0])
    assert f[s] == 0
    f([1.0, 2.0, 3.0])
    assert f[s] == 3


def test_updates_of_inputs_from_many_threads() -> None:
    s = T.lscalar("s")
    f = function([In(s, value=0, update=s + 1)], s)

    def work() -> None:
        for _ in range(50):
            f()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert f[s] == 200


def test_givens_may_use_an_input_that_is_kept() -> None:
    s, y = T.dscalars("s", "y")
    f = function([In(s, value=3, update=s + 1)], y * 2, givens={y: s * 10})
    assert [float(f()) for _ in range(3)] == [60, 80, 100]


def test_defaults_can_be_read_and_changed() -> None:
    x, y = T.dscalars("x", "y")
    f = function([x, In(y, value=1.0)], x + y)
    assert (f[y], f["y"], f[x]) == (1, 1, None)
    f[y] = 5
    assert (f(1), f(1, 2), f(1)) == (6, 3, 6)
    with pytest.raises(CallError, match="number of dimensions"):
        f["y"] = [1.0, 2.0]
    with pytest.raises(KeyError):
        f["z"] = 1


def test_containers_are_found_by_variable_and_name() -> None:
    x, y = T.dscalars("x", "y")
    w = shared(7.0, name="w")
    f = function([x, In(y, value=1.0)], x + y + w, updates={w: w + 1})
    assert list(f.container) == ["x", "y", "w"]
    assert (w in f, "w" in f, "nothing" in f, shared(1.0) in f) == (True, True, False, False)
    f(0)
    assert f[w] == f.value["w"] == f.container["w"].value == 8
    f.value[w] = 3
    assert w.get_value() == 3
    f.container["w"].value = 4
    assert (w.get_value(), dict(f.value)["w"]) == (4, 4)
    assert [c.name for c in f.input_storage] == ["x", "y"]
    assert len(f.value) == len(f.container) == 3
    same = function([In(x, name="n"), In(y, name="n", value=2.0)], x + y)
    with pytest.raises(CallError, match="several"):
        same["n"]  # pyright: ignore[reportUnusedExpression]


def test_an_input_that_stands_for_a_shared_variable() -> None:
    x, s = T.dscalars("x", "s")
    w = shared(3.0, name="w")
    f = function([x, In(s, value=w, update=s + x)], s * 10)
    assert (f(1), f(2)) == (30, 40)
    assert w.get_value() == f[s] == 6
    assert f.get_shared() == (w,)
    with pytest.raises(TypeError, match="implicit input s"):
        f(1, 2)
    with pytest.raises(TypeError, match="implicit input s"):
        f(1, s=2)
    with pytest.raises(GraphError, match="both assign"):
        function([In(s, value=w, update=s + 1)], s, updates={w: w + 2})


def test_a_copy_shares_variables_and_keeps_its_own_inputs() -> None:
    s = T.dscalar("s")
    w = shared(1.0, name="w")
    f = function([In(s, value=0, update=s + w)], s, updates={w: w * 2}, name="f")
    assert f() == 0
    g = f.copy()
    assert (g.name, g[s], f[s]) == ("f copy", 1, 1)
    g()
    assert (g[s], f[s], w.get_value()) == (3, 1, 4)
    assert copy.copy(f).name == "f copy"
    assert f.copy(share_memory=True, name="h").name == "h"


def test_a_copy_with_other_variables() -> None:
    x = T.dscalar("x")
    w, v = shared(1.0, name="w"), shared(50.0, name="v")
    f = function([In(x, value=3.0)], x * w, updates={w: w + 1})
    f["x"] = 2
    g = f.copy(swap={w: v})
    assert (g(), g()) == (100, 102)
    assert (w.get_value(), v.get_value(), g.get_shared(), f.get_shared()) == (1, 52, (v,), (w,))
    with pytest.raises(CallError, match="no shared variable"):
        f.copy(swap={v: w})
    with pytest.raises(CallError, match="same dtype"):
        f.copy(swap={w: shared(np.float32(1))})


def test_a_copy_is_not_compiled_again() -> None:
    x = T.dvector("x")
    w, v = shared(np.ones(3)), shared(np.ones(3))
    f = function([x], T.exp(x * w).sum(), updates={w: w + 1})
    g = f.copy(swap={w: v})
    assert g.timings == f.timings
    assert g.handle != f.handle


def test_a_copy_without_updates() -> None:
    s, w = T.dscalar("s"), shared(1.0)
    f = function([In(s, value=5, update=s + 1)], s * w, updates={w: w * 2})
    g = f.copy(delete_updates=True)
    assert [float(g()) for _ in range(3)] == [5, 5, 5]
    assert (w.get_value(), f(), f()) == (1, 5, 12)


def test_a_deep_copy_has_variables_of_its_own() -> None:
    w = shared(1.0, name="w")
    f = function([], w, updates={w: w + 1})
    pair = copy.deepcopy((w, f))
    assert pair[1].get_shared() == (pair[0],)
    pair[1]()
    assert (pair[0].get_value(), w.get_value()) == (2, 1)


def test_what_a_function_says_of_itself() -> None:
    x, w = T.dscalar("x"), shared(1.0, name="w")
    f = function([x], [x + w], updates={w: x}, mode="FAST_COMPILE")
    assert f.maker.fgraph.inputs == [x, w]
    assert f.maker.fgraph.outputs[1] == x
    assert not f.unpack_single
    assert f.maker.mode == exprd.compile.FAST_COMPILE


def test_free_gives_up_what_the_server_keeps(mode: str) -> None:
    x, s = T.dvector("x"), T.dscalar("s")
    f = function([x, In(s, value=1.0, update=s + 1)], T.exp(x).sum() * s)
    assert f([0.0, 0.0]) == 2
    session = f.session
    before = int(session.info()["functions"])
    f.free()
    assert int(session.info()["functions"]) == before - 1
    assert (f([0.0, 0.0]), f[s]) == (4, 3)
    assert mode in ("embedded", "remote")


def test_equal_functions_live_apart() -> None:
    x, y = T.dscalar("x"), T.dscalar("x")
    f, g = function([x], x * 7), function([y], y * 7)
    assert f.handle == g.handle
    session = f.session
    del f
    gc.collect()
    session.sweep()
    assert g(1.0) == 7
    handle = g.handle
    del g
    gc.collect()
    session.sweep()
    with pytest.raises(UnknownHandle):
        session.transport.texts(handle)
