"""A perceptron: build it, train it, save its parameters, and load them into a second one.

Runs in this process, or with --target on a server. The file of parameters says nothing of the
architecture: that is the class. The second net gives the same values, bit for bit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import exprd
import exprd.tensor as T
from exprd import nn

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--target", default=None, help="host:port or unix:///path of a server")
parser.add_argument("--steps", type=int, default=200, help="training steps")
parser.add_argument("--file", type=Path, default=None, help="where to save the parameters")
arguments = parser.parse_args()
if arguments.target is not None:
    exprd.connect(arguments.target)


class MLP(nn.Module):
    """Two layers; the first learns the number of its inputs from the first input."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.LazyLinear(256)
        self.output = nn.Linear(256, 10)
        self.relu = nn.ReLU()

    def forward(self, x: T.Variable) -> T.Variable:
        """The scores of ten classes."""
        return self.output(self.relu(self.hidden(x)))


# Data: ten clouds in twenty dimensions
rng = np.random.default_rng(0)
centres = 2 * rng.standard_normal((10, 20))
classes = rng.integers(10, size=500)
points = centres[classes] + rng.standard_normal((500, 20))

net = MLP()
print("before the first input:", net.hidden)
net(points[:1])  # fixes the shapes
print(net)

# Train: a module called with a variable gives an expression
x, y = T.matrix("x"), T.lvector("y")
scores = T.nnet.softmax(net(x))
cost = T.nnet.categorical_crossentropy(scores, y).mean()
parameters = list(net.parameters())
gradients = exprd.grad(cost, parameters)
train = exprd.function(
    [x, y],
    cost,
    updates=[(p, p - 0.1 * g) for p, g in zip(parameters, gradients, strict=True)],
    name="train",
)
costs = [float(train(points, classes)) for _ in range(arguments.steps)]
print(f"cost: {costs[0]:.3f} at first, {costs[-1]:.3f} after {len(costs)} steps")

# Save the parameters, build another net, load them
with tempfile.TemporaryDirectory() as folder:
    path = arguments.file or Path(folder) / "mlp.params"
    exprd.save(net.state_dict(), path)
    print(f"{path.name} has {path.stat().st_size} bytes")
    clone = MLP()
    print(clone.load_state_dict(exprd.load(path)))
clone.eval()

found, expected = clone(points), net(points)
print("right classes:", f"{(found.argmax(1) == classes).mean():.1%}")
print("equal bit for bit:", found.tobytes() == expected.tobytes())
