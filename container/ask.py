"""A client outside the container: waits for the server, then compiles and calls a function."""

from __future__ import annotations

import sys

import grpc
import numpy as np

import exprd
import exprd.tensor as T

target = sys.argv[1]
with grpc.insecure_channel(target) as channel:
    grpc.channel_ready_future(channel).result(timeout=30)

exprd.connect(target)
x = T.matrix("x")
total = exprd.shared(np.float64(0.0), name="total")
add = exprd.function([x], T.exp(x), updates=[(total, total + x.sum())])
data = np.arange(6.0).reshape(2, 3)
np.testing.assert_allclose(add(data), np.exp(data), rtol=1e-14)
add(data)
assert total.get_value() == 30.0, total.get_value()
sys.stdout.write(f"answer from {target}: exp and an updated shared variable, as numpy says\n")
