"""Ctrl-C while native code runs in this process: the call ends, and nothing has changed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
import exprd, exprd.tensor as T

x = T.dvector("x")
total = exprd.shared(0.0)
pairs = T.exp(x.dimshuffle(0, "x") * x.dimshuffle("x", 0))
f = exprd.function([x], total, updates=[(total, total + pairs.sum())])

def in_native_code():
    frames = sys._current_frames().values()
    return any(frame.f_code.co_filename.endswith("executable.py") for frame in frames)

def interrupt():
    while not in_native_code():
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
start = time.perf_counter()
try:
    f(np.full(400_000, 1e-3))  # would take minutes
except KeyboardInterrupt:
    print("interrupted", time.perf_counter() - start < 20, total.get_value())
f(np.zeros(3))
print("goes on", total.get_value())
"""


def run(program: str, env: dict[str, str], said: str) -> None:
    """Runs a program in a process of its own, whose main thread is interrupted."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == said, done.stderr


def test_an_interrupt_stops_native_code(child_env: dict[str, str]) -> None:
    run(PROGRAM, child_env, "interrupted True 0.0\ngoes on 9.0\n")


REPEATED = """
import os, signal, sys, threading
import numpy as np
import exprd, exprd.tensor as T

total = exprd.shared(0.0)
add = exprd.function([], total, updates=[(total, total + 1)])
begun = threading.Event()

def interrupt():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    add.repeat(1_000_000_000, every=100, on_progress=lambda made: begun.set())
except KeyboardInterrupt:
    done = total.get_value()
    print("interrupted", 100 <= done < 1_000_000_000)
while len({float(total.get_value()) for _ in range(20)}) > 1:  # it is being stopped
    pass
stood = total.get_value()
print("goes on", add() >= stood >= done)
"""


@pytest.mark.parametrize("place", ["embedded", "remote"])
def test_an_interrupt_ends_a_repetition(
    place: str, request: pytest.FixtureRequest, child_env: dict[str, str]
) -> None:
    env = dict(child_env)
    if place == "remote":
        env["EXPRD_TARGET"] = request.getfixturevalue("server")
    run(REPEATED, env, "interrupted True\ngoes on True\n")


PESTERED = """
import random, signal, threading
import exprd, exprd.tensor as T

a, b = exprd.shared(0.0), exprd.shared(0.0)
f = exprd.function([], [], updates=[(a, a + 1), (b, b + 1)])
f()
wanted, sent, raised = threading.Semaphore(0), [0], 0

def interrupt():
    draw = random.Random(1)
    for turn in range(150):
        wanted.acquire()
        threading.Event().wait(0.001 * draw.random())
        signal.raise_signal(signal.SIGINT)  # its handler runs in the main thread
        sent[0] += 1

threading.Thread(target=interrupt).start()
for turn in range(150):
    try:
        wanted.release()
        while sent[0] <= turn:
            f()
            a.set_value(a.get_value())
    except KeyboardInterrupt:
        raised += 1
        while sent[0] <= turn:
            pass
    first, second = exprd.read([a, b])
    assert first == second
f()
print("whole", raised > 100)
"""


def test_interrupts_leave_all_of_a_call_or_nothing(child_env: dict[str, str]) -> None:
    """In the midst of a commit as well, and no lock is left behind."""
    run(PESTERED, child_env, "whole True\n")


BESIDE_OTHERS = """
import random, signal, threading
import exprd, exprd.tensor as T

exprd.config.doorbell = "off"
a, b, c = exprd.shared(0.0), exprd.shared(0.0), exprd.shared(0.0)
f = exprd.function([], a, updates=[(a, a + 1), (b, b + 1)])
beside = exprd.function([], c, updates=[(c, c + 1)])
wanted, sent, raised, over = threading.Semaphore(0), [0], 0, False
counts = []

def interrupt():
    draw = random.Random(1)
    for turn in range(60):
        wanted.acquire()
        threading.Event().wait(0.003 * draw.random())
        signal.raise_signal(signal.SIGINT)  # its handler runs in the main thread
        sent[0] += 1

def submit():
    while not over:
        counts.extend(float(x.result(60)) for x in [beside.submit() for _ in range(5)])

with exprd.pipeline():
    f()
    threads = [threading.Thread(target=work) for work in (interrupt, submit)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        try:
            wanted.release()
            while sent[0] <= turn:
                f()
        except KeyboardInterrupt:
            raised += 1
            while sent[0] <= turn:
                pass
    over = True
    for thread in threads:
        thread.join()
first, second = exprd.read([a, b])
made = len(counts)
print(first == second, counts == list(range(made)), c.get_value() == made, raised > 40)
"""


def test_interrupts_cost_nobody_else_an_answer(server: str, child_env: dict[str, str]) -> None:
    """Another thread's calls over the same session are each done once, and in order."""
    run(BESIDE_OTHERS, {**child_env, "EXPRD_TARGET": server}, "True True True True\n")
