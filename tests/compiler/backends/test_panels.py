"""Large products are cut into calls that add up to them, and between which they can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.backends.executable import Executable
from exprd_compiler.backends.llvm import panels
from exprd_compiler.driver import compile_graph
from exprd_compiler.errors import Cancelled
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.node import Array, Node
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.leaves import input_
from exprd_compiler.ops.linalg import dot, gemm, transpose
from exprd_compiler.options import CompileOptions

SIZES = ((50, 70, 40), (33, 1, 50), (20, 200, 3), (17, 16, 16))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of so few multiplications that small products are cut in every way."""
    monkeypatch.setattr(panels, "LIMIT", {"gemm": 16**3, "gemv": 512})
    monkeypatch.setattr(panels, "LEAST", {"gemm": 16, "gemv": 1})
    monkeypatch.setattr(panels, "DEPTH", 16)


def matrix(dtype: str = "float64") -> Node:
    return input_(type=TensorType(dtype, (None, None)))


def native(graph: Graph) -> Executable:
    made = compile_graph(graph, CompileOptions()).executable
    assert isinstance(made, Executable)
    return made


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_parts_add_up(
    sizes: tuple[int, int, int], turned: tuple[bool, bool], rng: np.random.Generator
) -> None:
    m, k, n = sizes
    a, b = rng.normal(size=(k, m) if turned[0] else (m, k)), rng.normal(size=(k, n))
    b = np.ascontiguousarray(b.T) if turned[1] else b
    c = rng.normal(size=(m, n))
    left, right = (a.T if turned[0] else a), (b.T if turned[1] else b)
    x, y, z = matrix(), matrix(), matrix()
    first, second = (transpose(x) if turned[0] else x), (transpose(y) if turned[1] else y)
    added = gemm(first, second, z, alpha=0.5, beta=1.0)
    function = native(Graph((x, y, z), (dot(first, second), added)))
    product, total = function([a, b, c])
    np.testing.assert_allclose(product, left @ right, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total, 0.5 * (left @ right) + c, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(256, 1 << 18, 256), (3000, 3000, 3000)], ids=str)
def test_a_long_product_is_stopped(
    sizes: tuple[int, int, int], figure: Callable[..., None]
) -> None:
    """Some seconds of work, over pages that nothing was ever written to."""
    x, y = matrix("float32"), matrix("float32")
    function = native(Graph((x, y), (dot(x, y),)))
    m, k, n = sizes
    arrays: list[Array] = [np.zeros((m, k), "float32"), np.zeros((k, n), "float32")]
    stopped: list[float] = []

    def guard(run: Callable[[], int], stop: Callable[[], None], /) -> int:
        def late() -> None:
            stopped.append(time.perf_counter())
            stop()

        timer = threading.Timer(0.03, late)
        timer.start()
        status = run()
        stopped.append(time.perf_counter())
        timer.join()
        return status

    with pytest.raises(Cancelled):
        function.run(arrays, guard)
    seconds = stopped[1] - stopped[0]
    figure("cancel and deadline", product=str(sizes), stopped_after_ms=round(seconds * 1e3, 1))
    assert seconds < 5  # 20 ms on a core of its own
