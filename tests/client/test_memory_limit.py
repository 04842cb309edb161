"""Calls that would take too much memory: refused by a server, and here if one asks for it."""

from __future__ import annotations

import numpy as np
import pytest

import exprd
import exprd.tensor as T
from exprd.errors import LimitExceeded


@pytest.fixture
def limited(request, server):
    """Both places, with the default limit of a server here as well."""
    target = server if request.param == "remote" else ""
    with exprd.config.change_flags(memory_limit=4 << 30), exprd.connect(target):
        yield


@pytest.mark.parametrize("limited", ["embedded", "remote"], indirect=True)
def test_ten_gigabytes_are_refused_before_anything_is_allocated(limited):
    v, w = T.vector("v"), exprd.shared(np.zeros(3), name="w")
    sums = exprd.function([v], T.dot(v.dimshuffle(0, "x"), v.dimshuffle("x", 0)).max())
    with pytest.raises(LimitExceeded) as caught:
        sums(np.ones(36_000))
    facts = caught.value.fields
    assert (facts["limit"], facts["allowed"]) == ("call_bytes", str(4 << 30))
    assert int(facts["estimate"]) >= 8 * 36_000**2
    assert "its largest value is float64[36000, 36000]" in caught.value.message
    assert sums(np.ones(36)) == 1

    n = T.lscalar("n")
    grow = exprd.function([n], T.alloc(np.float64(1), n, n), updates=[(w, w + 1)])
    grow(3)
    with pytest.raises(LimitExceeded, match=r"the last of them for float64\[36000, 36000\]"):
        grow(36_000)  # whose shape comes with a value
    np.testing.assert_array_equal(w.get_value(), [1, 1, 1])


def test_without_a_limit_there_is_none_here():
    with exprd.connect(""):
        v = T.vector("v")
        assert exprd.function([v], v * 2)(np.ones(10)).sum() == 20
    with exprd.config.change_flags(memory_limit=79), exprd.connect(""):
        v = T.vector("v")
        double = exprd.function([v], v * 2)
        assert double(np.ones(9)).sum() == 18
        with pytest.raises(LimitExceeded, match="80 bytes of memory, above the limit of 79"):
            double(np.ones(10))
