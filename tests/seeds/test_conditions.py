"""The snippet on conditions: both sides by `switch`, one side by `ifelse`."""

from __future__ import annotations

import time

import numpy

import exprd as theano
from exprd import tensor as T
from tests.seeds.seeding import seed, waits

WAITING = [
    waits("000", 9, "32-39", "ifelse computes one side, in half the time", "lazy ifelse"),
]


@seed(
    "000",
    8,
    "32-38",
    "switch computes both sides",
    "time.clock() of Python 2 is perf_counter(); a tenth of the rows",
)
def test_switch_computes_both_sides(mode: str) -> None:
    a, b = T.scalars("a", "b")
    x, y = T.matrices("x", "y")
    z_switch = T.switch(T.lt(a, b), T.mean(x), T.mean(y))
    f_switch = theano.function([a, b, x, y], z_switch, mode=theano.Mode(linker="vm"))

    val1 = 0.0
    val2 = 1.0
    big_mat1 = numpy.ones((1000, 1000))
    big_mat2 = numpy.ones((1000, 1000)) * 2

    n_times = 10
    tic = time.perf_counter()
    for _ in range(n_times):
        f_switch(val1, val2, big_mat1, big_mat2)
    print("time spent evaluating both values %f sec" % (time.perf_counter() - tic))
    assert f_switch(val1, val2, big_mat1, big_mat2) == 1
    assert f_switch(val2, val1, big_mat1, big_mat2) == 2
