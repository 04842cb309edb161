"""Ctrl-C while native code runs in this process: the call ends, and nothing has changed."""

from __future__ import annotations

import subprocess
import sys

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


def test_an_interrupt_stops_native_code(child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=child_env, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "interrupted True 0.0\ngoes on 9.0\n", done.stderr
