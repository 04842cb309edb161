"""The logistic regression of Theano's tutorial: compile time, and time per step by transport.

400 x 784 float64 inputs. A step computes predictions, losses and both updates, and returns the
400 predictions and losses; weights live with the engine, so every step changes the data.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import exprd
import exprd.tensor as T
from benchmarks.harness import Measurement, from_samples, measure

ROWS, FEATURES = 400, 784
COMPILE_SAMPLES = 3


def data() -> tuple[np.ndarray, np.ndarray]:
    """The tutorial's random data."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, FEATURES)), rng.integers(0, 2, ROWS).astype("float64")


def train_function() -> Callable[..., object]:
    """The tutorial's training step."""
    x, y = T.matrix("x"), T.vector("y")
    w = exprd.shared(np.zeros(FEATURES), name="w")
    b = exprd.shared(np.float64(0.0), name="b")
    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
    cost = xent.mean() + 0.01 * (w**2).sum()
    gw, gb = exprd.grad(cost, [w, b])
    updates = [(w, w - 0.01 * gw), (b, b - 0.01 * gb)]
    return exprd.function([x, y], [p_1 > 0.5, xent], updates=updates, name="train")


@contextmanager
def server() -> Iterator[str]:
    """A server process on a Unix socket, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        target, log = f"unix://{folder}/s", Path(folder) / "log"
        command = [sys.executable, "-m", "exprd", "serve", "--listen", target]
        with (
            log.open("wb") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
        ):
            try:
                if process.stdout is None or not process.stdout.readline():
                    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
                yield target
            finally:
                process.terminate()


def compile_seconds(cache: Path) -> float:
    """Seconds from the expression to the function, in a process of its own that is warmed up."""
    program = """
import time
import exprd
import exprd.tensor as T
from benchmarks import logistic_regression
x = T.scalar("x")
exprd.function([x], x + 1)  # loads the code generator
start = time.perf_counter()
logistic_regression.train_function()
print(time.perf_counter() - start)
"""
    env = {**os.environ, "EXPRD_CACHE_DIR": str(cache)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def compilation() -> Iterator[Measurement]:
    """Compile times: nothing cached, and the object code found on disk."""
    cold: list[float] = []
    cached: list[float] = []
    for _ in range(COMPILE_SAMPLES):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(compile_seconds(Path(folder)))
            cached.append(compile_seconds(Path(folder)))
    yield from_samples("logistic regression: compile, cold", cold)
    yield from_samples("logistic regression: compile, object cached on disk", cached)


def run() -> list[Measurement]:
    """Every figure of this subject."""
    x, y = data()
    found = list(compilation())
    train = train_function()
    found.append(measure("logistic regression: step, embedded", lambda: train(x, y)))
    with server() as target, exprd.connect(target):
        train = train_function()
        found.append(measure("logistic regression: step, remote, inline", lambda: train(x, y)))
        kept = exprd.put(x), exprd.put(y)
        found.append(measure("logistic regression: step, remote, put", lambda: train(*kept)))
    return found
