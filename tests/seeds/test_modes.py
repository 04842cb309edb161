"""The snippets on configuration and modes: where options come from, the logistic regression."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import exprd as theano
import exprd.tensor as tt
from exprd import tensor as T
from exprd.compile.mode import Mode
from tests.seeds.seeding import seed, waits

WAITING = [
    waits("003", 4, "27-28", "x.tag.test_value: errors while the graph is built", "test values"),
    waits(
        "003",
        8,
        "115-126",
        "'DebugMode' and 'ProfileMode' by name and object",
        "DebugMode, profiling",
    ),
    waits("003", 9, "127-128", "MonitorMode: a function step by step", "MonitorMode"),
    waits("003", 11, "141-145", "the linkers ProfileMode and DebugMode", "DebugMode, profiling"),
    waits("003", 12, "146-160", "mode='DebugMode' checks what it computes", "DebugMode"),
    waits("003", 13, "161-174", "ProfileMode with an optimizer and a linker", "profiling"),
    waits("003", 14, "175-178", "a function with mode=profmode", "profiling"),
    waits("003", 15, "179-217", "profmode.print_summary()", "profiling"),
]
STEPS = 10_000


def run(program: str, env: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    ).stdout


@seed("003", 1, "3-9", "an assignment wins over the flags, they win over the file")
def test_the_order_of_what_sets_an_option(child_env: dict[str, str], tmp_path: Path) -> None:
    files = {
        ".theanorc": "[global]\nfloatX = float32\non_unused_input = warn\nmode = FAST_COMPILE\n"
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    env = {
        **child_env,
        "HOME": str(tmp_path),
        "THEANO_FLAGS": "floatX=float16,on_unused_input=ignore",
    }
    env.pop("THEANORC", None)
    program = (
        "import exprd as theano\ntheano.config.floatX = 'float64'\n"
        "print(theano.config.floatX, theano.config.on_unused_input, theano.config.mode)"
    )
    assert run(program, env).split() == ["float64", "ignore", "FAST_COMPILE"]
    (tmp_path / "elsewhere").write_text("[global]\nmode = FAST_RUN\n")
    env["THEANORC"] = str(tmp_path / "elsewhere")
    assert run(program, env).split() == ["float64", "ignore", "FAST_RUN"]


@seed("003", 2, "10-11", "print(theano.config) lists every option", "print is a function")
def test_the_configuration_is_listed(child_env: dict[str, str]) -> None:
    text = run("import exprd as theano; print(theano.config)", child_env)
    assert "floatX" in text
    assert "Value:  float64" in text
    assert len(text.splitlines()) > 40


def regression(steps: int, data: tuple[numpy.ndarray, numpy.ndarray]):
    """The exercise, up to its prints: the functions, and the last predictions."""
    D, feats = data, data[0].shape[1]
    rng = numpy.random.RandomState(1)
    # Declare Theano symbolic variables
    x = T.matrix("x")
    y = T.vector("y")
    w = theano.shared(rng.randn(feats).astype(theano.config.floatX), name="w")
    b = theano.shared(numpy.asarray(0.0, dtype=theano.config.floatX), name="b")
    x.tag.test_value = D[0]
    y.tag.test_value = D[1]
    # Construct Theano expression graph
    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))  # Probability of having a one
    prediction = p_1 > 0.5  # The prediction that is done: 0 or 1
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)  # Cross-entropy
    cost = xent.mean() + 0.01 * (w**2).sum()  # The cost to optimize
    gw, gb = T.grad(cost, [w, b])
    # Compile expressions to functions
    train = theano.function(
        inputs=[x, y],
        outputs=[prediction, xent],
        updates={w: w - 0.01 * gw, b: b - 0.01 * gb},
        name="train",
    )
    predict = theano.function(inputs=[x], outputs=prediction, name="predict")
    for _ in range(steps):
        pred, err = train(D[0], D[1])
    return train, predict, pred, err, (w, b)


def data_set(n: int = 400, feats: int = 784) -> tuple[numpy.ndarray, numpy.ndarray]:
    rng = numpy.random.RandomState(0)
    return (
        rng.randn(n, feats).astype(theano.config.floatX),
        rng.randint(size=n, low=0, high=2).astype(theano.config.floatX),
    )


def device(train: theano.Function) -> str:
    """What the document prints about where the function runs."""
    nodes = train.maker.fgraph.toposort()
    if any([x.op.__class__.__name__ in ["Gemv", "CGemv", "Gemm", "CGemm"] for x in nodes]):
        return "Used the cpu"
    if any([x.op.__class__.__name__ in ["GpuGemm", "GpuGemv"] for x in nodes]):
        return "Used the gpu"
    return "ERROR, not able to tell if theano used the cpu or the gpu"


@seed("003", 3, "13-55", "logistic regression", "line breaks are where the code needs them")
def test_logistic_regression_learns_its_targets() -> None:
    D = data_set()
    train, predict, pred, err, _ = regression(STEPS, D)
    assert device(train) == "Used the cpu"
    assert pred.tolist() == predict(D[0]).tolist()
    assert predict(D[0]).astype(float).tolist() == D[1].tolist()
    assert err.shape == (400,)
    assert err.max() < 0.7


def test_logistic_regression_is_the_same_on_both_sides(mode: str) -> None:
    D = data_set(40, 30)
    train, _, _, _, (w, b) = regression(100, D)
    x, y = D
    weights, bias = numpy.random.RandomState(1).randn(30), 0.0
    for _ in range(100):
        p = 1 / (1 + numpy.exp(-x @ weights - bias))
        weights, bias = (
            weights - 0.01 * (x.T @ (p - y) / 40 + 0.02 * weights),
            bias - 0.01 * (p - y).mean(),
        )
    assert device(train) == "Used the cpu"
    numpy.testing.assert_allclose(w.get_value(), weights, rtol=1e-9)
    numpy.testing.assert_allclose(b.get_value(), bias, rtol=1e-9)


@seed("003", 5, "56-63", "what keeps a program in float32: casts where integers come in")
def test_the_advice_on_float32(mode: str, float32: None) -> None:
    x, n = T.matrix("x"), T.ivector("n")
    assert x.dtype == "float32"
    assert theano.shared(numpy.zeros(3)).dtype == "float64"  # so cast before storing it
    assert theano.shared(numpy.zeros(3).astype(theano.config.floatX)).dtype == "float32"
    assert (x * n).dtype == "float64"  # int32 with float32
    assert (x * T.cast(n, "int16")).dtype == (x * T.cast(n, "uint8")).dtype == "float32"
    assert n.mean().dtype == "float64"  # the length is an int64
    mean = T.cast(n.mean(), "float32")
    assert (x.sum() + mean).dtype == "float32"
    f = theano.function([x, n], x.sum() + mean)
    assert f(numpy.ones((2, 2), "float32"), numpy.array([1, 2], "int32")) == 5.5
    w = theano.shared(numpy.zeros(3, "float32"), name="w")
    with pytest.raises(TypeError, match="must have the same type"):
        theano.function([n], updates=[(w, w + n)])


@seed(
    "003",
    6,
    "64-108",
    "the exercise's solution in float32",
    "line breaks are where the code needs them",
)
def test_the_solution_in_float32(float32: None) -> None:
    D = data_set()
    train, predict, pred, err, (w, b) = solution(STEPS, D)
    assert (w.dtype, b.dtype, err.dtype) == ("float32", "float32", "float32")
    assert device(train) == "Used the cpu"
    assert predict(D[0]).astype(float).tolist() == D[1].tolist()
    assert pred.tolist() == predict(D[0]).tolist()


def solution(steps: int, data: tuple[numpy.ndarray, numpy.ndarray]):
    """The solution, up to its prints."""
    D, feats = data, data[0].shape[1]
    rng = numpy.random.RandomState(1)
    x = tt.matrix("x")
    y = tt.vector("y")
    w = theano.shared(rng.randn(feats).astype(theano.config.floatX), name="w")
    b = theano.shared(numpy.asarray(0.0, dtype=theano.config.floatX), name="b")
    x.tag.test_value = D[0]
    y.tag.test_value = D[1]
    p_1 = 1 / (1 + tt.exp(-tt.dot(x, w) - b))  # Probability of having a one
    prediction = p_1 > 0.5  # The prediction that is done: 0 or 1
    xent = -y * tt.log(p_1) - (1 - y) * tt.log(1 - p_1)  # Cross-entropy
    cost = tt.cast(xent.mean(), "float32") + 0.01 * (w**2).sum()  # The cost to optimize
    gw, gb = tt.grad(cost, [w, b])
    train = theano.function(
        inputs=[x, y],
        outputs=[prediction, xent],
        updates={w: w - 0.01 * gw, b: b - 0.01 * gb},
        name="train",
    )
    predict = theano.function(inputs=[x], outputs=prediction, name="predict")
    for _ in range(steps):
        pred, err = train(D[0], D[1])
    return train, predict, pred, err, (w, b)


@seed(
    "003", 7, "109-124", "'FAST_COMPILE' and 'FAST_RUN', by name, by configuration and as objects"
)
def test_modes_by_name_and_as_objects(mode: str) -> None:
    x = T.dvector("x")
    y = 10 * x + T.log(1 + T.exp(x))
    expected = 10 * numpy.arange(3.0) + numpy.logaddexp(numpy.arange(3.0), 0)
    for given in (
        "FAST_COMPILE",
        "FAST_RUN",
        Mode(linker="py", optimizer="fast_compile"),
        Mode(linker="cvm", optimizer="fast_run"),
        None,
    ):
        f = theano.function([x], y, mode=given)
        numpy.testing.assert_allclose(f([0, 1, 2]), expected)
    with theano.config.change_flags(mode="FAST_COMPILE"):
        f = theano.function([x], y)
        assert f.maker.mode.optimizer == "fast_compile"
    with pytest.raises(theano.ExprdError, match="no predefined mode exists"):
        theano.function([x], y, mode="FAST_WALK")


@seed("003", 10, "129-140", "the linkers cvm, cvm_nogc, c|py, c|py_nogc, c, py")
@pytest.mark.parametrize("linker", ["cvm", "cvm_nogc", "c|py", "c|py_nogc", "c", "py"])
def test_linkers(mode: str, linker: str) -> None:
    x = T.dvector("x")
    f = theano.function([x], T.exp(x).sum(), mode=Mode(linker=linker))
    assert f([0, 0]) == 2
    with theano.config.change_flags(linker=linker):
        assert theano.function([x], T.exp(x).sum())([0, 0]) == 2
