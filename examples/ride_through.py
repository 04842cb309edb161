"""A training loop whose server is killed in the middle of it, and what becomes of the model.

    python examples/ride_through.py

starts a server of its own on a state directory, trains, kills it with SIGKILL while calls are on
their way, starts it again, goes on, and compares the result bit for bit with that of a run that
nobody has disturbed. Nothing in the loop knows of any of this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import exprd
import exprd.tensor as T

Weights = list[np.ndarray]


class Server:
    """`exprd serve` on a state directory."""

    def __init__(self, folder: Path) -> None:
        self.target = f"unix://{folder / 'exprd.sock'}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Starts it; the first line it prints says that it can be called."""
        state, cache = str(self._folder / "state"), str(self._folder / "cache")
        flags = ("--listen", self.target, "--state", state, "--cache-dir", cache)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "exprd", "serve", *flags, "--log-level", "error"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def kill(self) -> None:
        """Ends it as a power cut would, without a chance to say good-bye."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def train(steps: int, at_step: dict[int, threading.Event]) -> Weights:
    """A classifier of two layers after some steps of gradient descent.

    Args:
        steps: how many; each is one call of the server, which updates the weights.
        at_step: events to set when these steps begin.
    """
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((200, 8))
    targets = (inputs[:, 0] * inputs[:, 1] > 0).astype(float)
    x, y = T.matrix("x"), T.vector("y")
    weights = [
        exprd.shared(rng.standard_normal(shape) / 2, name, durability="durable")
        for name, shape in (("hidden", (8, 16)), ("output", (16,)))
    ]
    hidden, output = weights
    chance = T.nnet.sigmoid(T.dot(T.tanh(T.dot(x, hidden)), output))
    cost = T.nnet.binary_crossentropy(chance, y).mean()
    updates = [(w, w - 0.5 * g) for w, g in zip(weights, exprd.grad(cost, weights), strict=True)]
    step = exprd.function([x, y], cost, updates=updates)
    inputs_there, targets_there = exprd.put(inputs), exprd.put(targets)
    slowest, costs = 0.0, []
    for number in range(steps):
        if number in at_step:
            at_step[number].set()
        begin = time.perf_counter()
        costs.append(float(step(inputs_there, targets_there)))
        slowest = max(slowest, time.perf_counter() - begin)
    print(f"  {steps} steps, cost {costs[0]:.4f} -> {costs[-1]:.4f}, slowest step {slowest:.2f} s")
    print(f"  the weights are at version {hidden.version}: one, and one for each step")
    return exprd.read(weights)


def disturb(server: Server, moments: list[threading.Event]) -> None:
    """Kills and restarts a server whenever a moment has come."""
    for number, moment in enumerate(moments, 1):
        moment.wait()
        server.kill()
        print(f"  kill -9, number {number}; calls meet nobody now")
        server.start()
        print("  started again on the same state")


def main() -> None:
    """Trains twice and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args()
    kills = [(n + 1) * options.steps // (options.kills + 1) for n in range(options.kills)]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            print("undisturbed:")
            with exprd.connect(server.target):
                expected = train(options.steps, {})
            print(f"disturbed at steps {', '.join(map(str, kills))}:")
            moments = {step: threading.Event() for step in kills}
            killer = threading.Thread(target=disturb, args=(server, list(moments.values())))
            killer.start()
            with exprd.connect(server.target):
                found = train(options.steps, moments)
            killer.join()
        finally:
            server.kill()
    same = all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
    print(f"weights equal to the undisturbed run, bit for bit: {same}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
