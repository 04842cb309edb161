"""Logistic regression, as in Theano's tutorial: 400 cases, 784 features, 10,000 steps.

Runs in this process, or with --target on a server; with --put the data is sent there once, and not
with every step. The model is the tutorial's, but for the imports and the prints.
"""

from __future__ import annotations

import argparse
import time

import numpy

import exprd as theano
import exprd.tensor as T

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--target", default=None, help="host:port or unix:///path of a server")
parser.add_argument("--put", action="store_true", help="send the data once, before the first step")
parser.add_argument("--steps", type=int, default=10000, help="training steps")
parser.add_argument("--seed", type=int, default=0, help="of the random data")
arguments = parser.parse_args()
if arguments.target is not None:
    theano.connect(arguments.target)

theano.config.floatX = "float32"
rng = numpy.random.RandomState(arguments.seed)

N = 400
feats = 784
D = (
    rng.randn(N, feats).astype(theano.config.floatX),
    rng.randint(size=N, low=0, high=2).astype(theano.config.floatX),
)
training_steps = arguments.steps

# Declare symbolic variables
x = T.matrix("x")
y = T.vector("y")
w = theano.shared(rng.randn(feats).astype(theano.config.floatX), name="w")
b = theano.shared(numpy.asarray(0.0, dtype=theano.config.floatX), name="b")
x.tag.test_value = D[0]
y.tag.test_value = D[1]

# Construct the expression graph
p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))  # probability of having a one
prediction = p_1 > 0.5  # the prediction that is done: 0 or 1
xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)  # cross-entropy
cost = T.cast(xent.mean(), "float32") + 0.01 * (w**2).sum()  # the cost to optimize
gw, gb = T.grad(cost, [w, b])

# Compile expressions to functions
start = time.perf_counter()
train = theano.function(
    inputs=[x, y],
    outputs=[prediction, xent],
    updates={w: w - 0.01 * gw, b: b - 0.01 * gb},
    name="train",
)
predict = theano.function(inputs=[x], outputs=prediction, name="predict")
print(f"compiled two functions in {time.perf_counter() - start:.2f} s")

if any(
    node.op.__class__.__name__ in ["Gemv", "CGemv", "Gemm", "CGemm"]
    for node in train.maker.fgraph.toposort()
):
    print("Used the cpu")
elif any(
    node.op.__class__.__name__ in ["GpuGemm", "GpuGemv"] for node in train.maker.fgraph.toposort()
):
    print("Used the gpu")
else:
    print("ERROR, not able to tell if theano used the cpu or the gpu")
print(*train.maker.fgraph.toposort(), sep="\n")

data = [theano.put(part) for part in D] if arguments.put else D
start = time.perf_counter()
for _ in range(training_steps):
    pred, err = train(data[0], data[1])
seconds = time.perf_counter() - start
print(f"{training_steps} steps of {seconds / max(training_steps, 1) * 1e6:.0f} us")
print(f"cross-entropy {err.mean():.4f}, bias {float(b.get_value()):.4f}")

print("target values for D")
print(D[1].astype(int))
print("prediction on D")
print(predict(D[0]).astype(int))
print("predictions equal to the targets:", bool((predict(D[0]) == D[1]).all()))
