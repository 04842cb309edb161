"""Programs for Theano 1.0 on Python 3, unmodified; each ends with assertions and prints a line."""

from __future__ import annotations

from typing import Final

# The solution of the exercise in Theano's tutorial on modes, with the first exercise's size.
LOGISTIC_REGRESSION: Final = """
#!/usr/bin/env python
# Theano tutorial
# Solution to Exercise in section 'Configuration Settings and Compiling Modes'
from __future__ import print_function
import numpy
import theano
import theano.tensor as tt

theano.config.floatX = 'float32'

rng = numpy.random

N = 400
feats = 784
D = (rng.randn(N, feats).astype(theano.config.floatX),
     rng.randint(size=N, low=0, high=2).astype(theano.config.floatX))
training_steps = 10000

# Declare Theano symbolic variables
x = tt.matrix("x")
y = tt.vector("y")
w = theano.shared(rng.randn(feats).astype(theano.config.floatX), name="w")
b = theano.shared(numpy.asarray(0., dtype=theano.config.floatX), name="b")
x.tag.test_value = D[0]
y.tag.test_value = D[1]

# Construct Theano expression graph
p_1 = 1 / (1 + tt.exp(-tt.dot(x, w) - b))  # Probability of having a one
prediction = p_1 > 0.5  # The prediction that is done: 0 or 1
xent = -y * tt.log(p_1) - (1 - y) * tt.log(1 - p_1)  # Cross-entropy
cost = tt.cast(xent.mean(), 'float32') + \\
       0.01 * (w ** 2).sum()  # The cost to optimize
gw, gb = tt.grad(cost, [w, b])

# Compile expressions to functions
train = theano.function(
            inputs=[x, y],
            outputs=[prediction, xent],
            updates={w: w - 0.01 * gw, b: b - 0.01 * gb},
            name="train")
predict = theano.function(inputs=[x], outputs=prediction,
            name="predict")

if any([x.op.__class__.__name__ in ['Gemv', 'CGemv', 'Gemm', 'CGemm'] for x in
train.maker.fgraph.toposort()]):
    print('Used the cpu')
elif any([x.op.__class__.__name__ in ['GpuGemm', 'GpuGemv'] for x in
train.maker.fgraph.toposort()]):
    print('Used the gpu')
else:
    print('ERROR, not able to tell if theano used the cpu or the gpu')
    print(train.maker.fgraph.toposort())

for i in range(training_steps):
    pred, err = train(D[0], D[1])

print("target values for D")
print(D[1])

print("prediction on D")
print(predict(D[0]))
assert (predict(D[0]) == D[1]).all()
"""

PERCEPTRON: Final = """
import pickle
from collections import OrderedDict

import numpy
import theano
import theano.tensor as T
from theano.tensor.nnet import categorical_crossentropy, relu, softmax


class Layer(object):
    def __init__(self, rng, input, n_in, n_out, activation=None):
        bound = numpy.sqrt(6. / (n_in + n_out))
        W = numpy.asarray(rng.uniform(-bound, bound, (n_in, n_out)), dtype=theano.config.floatX)
        self.W = theano.shared(value=W, name='W', borrow=True)
        self.b = theano.shared(numpy.zeros((n_out,), dtype=theano.config.floatX), name='b')
        linear = T.dot(input, self.W) + self.b
        self.output = linear if activation is None else activation(linear)
        self.params = [self.W, self.b]


def momentum(cost, params, rate, mu=0.9):
    updates = OrderedDict()
    for param, grad in zip(params, T.grad(cost, params)):
        velocity = theano.shared(param.get_value() * 0., broadcastable=param.broadcastable)
        step = mu * velocity - T.cast(rate, theano.config.floatX) * grad
        updates[velocity] = step
        updates[param] = param + step
    return updates


rng = numpy.random.RandomState(1234)
points = rng.uniform(-1, 1, (600, 2)).astype(theano.config.floatX)
labels = ((points ** 2).sum(axis=1) > .5).astype('int32')
data = theano.shared(points, borrow=True)
target = theano.shared(labels, borrow=True)

index = T.lscalar('index')
rate = T.scalar('rate')
x = T.matrix('x')
y = T.ivector('y')
hidden = Layer(rng, x, 2, 32, relu)
output = Layer(rng, hidden.output, 32, 2)
p_y = softmax(output.output)
params = hidden.params + output.params
cost = categorical_crossentropy(p_y, y).mean() + 1e-4 * sum(T.sum(p ** 2) for p in params)
errors = T.mean(T.neq(T.argmax(p_y, axis=1), y))
batch = 50
part = {x: data[index * batch:(index + 1) * batch], y: target[index * batch:(index + 1) * batch]}
train = theano.function([index, theano.In(rate, value=0.1)], cost,
                        updates=momentum(cost, params, rate), givens=part)
test = theano.function([], errors, givens={x: data, y: target})

for epoch in range(60):
    costs = [train(i) for i in range(12)]
assert test() < 0.05, test()

with open('model.pkl', 'wb') as f:
    pickle.dump([p.get_value(borrow=True) for p in params], f, protocol=pickle.HIGHEST_PROTOCOL)
for p in params:
    p.set_value(p.get_value() * 0)
assert test() > 0.2
with open('model.pkl', 'rb') as f:
    for p, value in zip(params, pickle.load(f)):
        p.set_value(value)
print('errors', test())
"""

FUNCTIONS: Final = """
from theano import function, In, shared, pp
from theano.tensor import *
import theano
import numpy as np

state = shared(0)
inc = iscalar('inc')
accumulator = function([inc], state, updates=[(state, state + inc)])
decrementor = function([inc], state, updates=[(state, state - inc)])
assert int(accumulator(1)) == 0 and int(state.get_value()) == 1
assert int(accumulator(300)) == 1 and int(state.get_value()) == 301
state.set_value(-1)
assert int(accumulator(3)) == -1 and int(decrementor(2)) == 2 and int(state.get_value()) == 0

x, y, w = dscalars('x', 'y', 'w')
f = function([x, In(y, value=1), In(w, value=2, name='w_by_name')], (x + y) * w)
assert f(33) == 68. and f(33, 0, 1) == 33. and f(33, w_by_name=1, y=0) == 33.

v = vector('v')
gy = grad(sum(v ** 2), v)
assert function([v], gy)([1, 2]).tolist() == [2., 4.]
assert theano.gradient.jacobian(v ** 2, v).eval({v: np.arange(3.)}).shape == (3, 3)
assert 'v' in pp(gy)
try:
    function([x, y], x * 2)
except theano.compile.UnusedInputError as error:
    assert 'y' in str(error)
else:
    raise AssertionError('no error')
with theano.configparser.change_flags(floatX='float32'):
    assert matrix().dtype == 'float32'
theano.printing.debugprint(gy)
print('done')
"""

FILES: Final = """
import numpy
import theano
import theano.tensor as T
from theano.misc.pkl_utils import dump, load

foo_1 = theano.shared(0, name='foo')
foo_2 = theano.shared(1, name='foo')
with open('model.zip', 'wb') as f:
    dump((foo_1, foo_2, numpy.array(2)), f)
assert sorted(numpy.load('model.zip').keys()) == ['array_0', 'foo', 'foo_2', 'pkl']
assert numpy.load('model.zip')['foo'] == 0
with open('model.zip', 'rb') as f:
    foo_1, foo_2, array = load(f)
assert (int(foo_1.get_value()), int(foo_2.get_value()), int(array)) == (0, 1, 2)
from theano.tensor.extra_ops import cumsum, unique
from theano.tensor.nlinalg import det, matrix_inverse
from theano.tensor.slinalg import cholesky
from theano.tensor.sort import argsort
from theano.gof.graph import inputs
A = T.dmatrix('A')
f = theano.function([A], [det(A), matrix_inverse(A), cholesky(A), argsort(A), cumsum(A)],
                    mode=theano.Mode(linker='vm'))
assert abs(f(numpy.eye(2) * 2)[0] - 4) < 1e-12
assert inputs([det(A)]) == [A]
print(theano.__version__)
"""

PROGRAMS: Final = {
    "logistic regression": LOGISTIC_REGRESSION,
    "perceptron": PERCEPTRON,
    "functions": FUNCTIONS,
    "files": FILES,
}
