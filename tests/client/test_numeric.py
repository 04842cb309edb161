"""Numeric warnings: what a call warns of, where it points, how it is silenced or made an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd import NumericWarning

pytestmark = pytest.mark.usefixtures("mode")


def warned(call: Callable[[], object]) -> list[warnings.WarningMessage]:
    """What a call warns of."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return found


def ints(*values: int) -> np.ndarray:
    return np.array(values, "int64")


def test_one_warning_for_each_kind_names_ops_counts_and_lines() -> None:
    x, y, z = T.lvector("x"), T.lvector("y"), T.dvector("z")
    quotient = x // y
    rest = x % y
    whole = T.cast(z, "int32")
    f = exprd.function([x, y, z], [quotient, rest, whole])
    a, b, c = ints(1, 2, 3), ints(0, 5, 0), np.array([1e300, np.nan, 3.0])
    division, cast = warned(lambda: f(a, b, c))
    assert (division.category, cast.category) == (NumericWarning, NumericWarning)
    assert issubclass(NumericWarning, RuntimeWarning)
    lines = str(division.message).splitlines()
    assert lines[0] == "integer division by zero"
    assert lines[1].startswith("  2 elements of int_div, built at File ")
    assert lines[1].endswith("quotient = x // y")
    assert lines[2].startswith("  2 elements of mod, built at File ")
    assert (division.message.kind, division.message.count) == ("integer division by zero", 4)
    assert str(cast.message).startswith("invalid cast\n  2 elements of cast, built at ")
    assert {Path(one.filename) for one in (division, cast)} == {Path(__file__)}


def test_nothing_is_said_when_nothing_happens() -> None:
    x, y = T.lvector("x"), T.lvector("y")
    f = exprd.function([x, y], x // y)
    assert warned(lambda: f(ints(1), ints(0)))
    assert not warned(lambda: f(ints(1), ints(1)))


def test_an_option_silences_them() -> None:
    x = T.lvector("x")
    f = exprd.function([x], x << x)
    assert warned(lambda: f(ints(64)))
    with exprd.config.change_flags(warn_numeric=False):
        assert not warned(lambda: f(ints(64)))


def test_as_an_error_it_comes_after_the_call() -> None:
    x = T.lscalar("x")
    total = exprd.shared(np.int64(0))
    f = exprd.function([x], 7 // x, updates=[(total, total + 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NumericWarning, match="integer division by zero") as caught:
            f(0)
    assert (caught.value.kind, caught.value.count) == ("integer division by zero", 1)
    assert total.get_value() == 1


def test_kept_outputs_warn_too() -> None:
    x = T.lvector("x")
    f = exprd.function([x], 7 // x)
    kept: list[exprd.Buffer] = []
    (one,) = warned(lambda: kept.append(f.keep(ints(0, 1))))
    assert one.message.count == 1
    np.testing.assert_array_equal(kept[0].get(), [0, 7])


def test_updates_count_as_outputs_do() -> None:
    x = T.lvector("x")
    state = exprd.shared(ints(5, 6))
    f = exprd.function([x], updates=[(state, state // x)])
    (one,) = warned(lambda: f(ints(0, 2)))
    assert one.message.count == 1
    np.testing.assert_array_equal(state.get_value(), [0, 3])


def test_numpy_node_by_node_says_the_same() -> None:
    x, y = T.lvector("x"), T.lvector("y")
    found = []
    for mode in ("FAST_RUN", exprd.Mode(linker="py")):
        f = exprd.function([x, y], [x // y, x << y], mode=mode)
        found.append([str(one.message) for one in warned(lambda f=f: f(ints(1, 2), ints(0, 64)))])
    assert found[0] == found[1]
    assert len(found[0]) == 2
