"""Random programs mean what numpy means by them: in this process, on a server, at every level.

A batch that fails is shrunk by hypothesis, and its message ends with the smallest graph.
"""

from __future__ import annotations

import numpy as np
import pytest

import exprd
from exprd.session import Session
from exprd.variable import variable_of
from exprd_compiler.errors import CallError
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add
from exprd_compiler.ops.leaves import const, input_
from tests.random_graphs.draws import BATCH, COUNT, judged, soak_batches
from tests.random_graphs.judge import using
from tests.random_graphs.program import LEVELS


@pytest.mark.timeout(900)  # to shrink a failure takes longer than to find it
@pytest.mark.parametrize("batch", range(COUNT // BATCH))
def test_native_code_and_the_server_say_what_numpy_says(
    batch: int, here: Session, there: Session
) -> None:
    judged(batch, here, there)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", soak_batches())
def test_many_more_programs_at_every_level(batch: int, here: Session, there: Session) -> None:
    judged(batch, here, there, LEVELS)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("remote", [False, True])
def test_bytes_in_another_order_are_refused_or_turned(
    dtype: str, remote: bool, here: Session, there: Session
) -> None:
    """An array of the other byte order is never taken for one of this machine's."""
    x = input_(type=TensorType(dtype, (None,)))
    value = np.arange(5).astype(dtype)
    with using(there if remote else here):
        f = exprd.function([variable_of(x)], variable_of(add(x, const(1, dtype))))
        other = value.astype(value.dtype.newbyteorder())
        try:
            got = f(other)
        except CallError:
            return
        np.testing.assert_array_equal(got, value + 1)
