"""The main job: train two classifiers of handwritten digits on a server, from a thin client.

Starts a server process on a Unix socket, connects to it, puts the data there once, and trains with
one small message per step. Shows what the compiler made of the graph, and what it all costs.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sklearn.datasets import load_digits

import exprd
import exprd.tensor as T

BATCH = 128
HIDDEN = 128
CLASSES = 10
console = Console(width=100)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server process of its own; its target."""
    target = f"unix://{folder / 'exprd.sock'}"
    log = folder / "server.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "exprd", "serve", "--listen", target]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield target
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def connected(target: str, seconds: float = 30.0) -> exprd.Session:
    """A session, as soon as the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return exprd.connect(target)
        except exprd.errors.ConnectionLost:
            if time.monotonic() > end:
                raise


@dataclass
class Digits:
    """The handwritten digits of scikit-learn: 1,797 images of 8 x 8, the last fifth for testing."""

    images: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    test_images: np.ndarray = field(init=False)
    test_labels: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        raw = load_digits()
        order = np.random.default_rng(0).permutation(len(raw.data))
        images = (raw.data[order] / 16.0).astype("float32")
        labels = raw.target[order].astype("int64")
        cut = len(images) * 4 // 5
        self.images, self.test_images = images[:cut], images[cut:]
        self.labels, self.test_labels = labels[:cut], labels[cut:]


@dataclass
class Model:
    """Parameters on the server and the expression of the class scores."""

    name: str
    parameters: list[exprd.Variable]
    scores: exprd.Variable
    images: exprd.Variable


def weights(rows: int, columns: int, name: str) -> exprd.Variable:
    """A matrix of small random numbers on the server."""
    rng = np.random.default_rng(rows * columns)
    scale = np.sqrt(2.0 / (rows + columns))
    return exprd.shared((rng.standard_normal((rows, columns)) * scale).astype("float32"), name=name)


def biases(count: int, name: str) -> exprd.Variable:
    """A vector of zeros on the server."""
    return exprd.shared(np.zeros(count, "float32"), name=name)


def softmax_regression(features: int) -> Model:
    """One linear layer."""
    x = T.fmatrix("images")
    w, b = weights(features, CLASSES, "w"), biases(CLASSES, "b")
    return Model("softmax regression", [w, b], T.dot(x, w) + b, x)


def network(features: int) -> Model:
    """A hidden layer of tanh units."""
    x = T.fmatrix("images")
    w1, b1 = weights(features, HIDDEN, "w1"), biases(HIDDEN, "b1")
    w2, b2 = weights(HIDDEN, CLASSES, "w2"), biases(CLASSES, "b2")
    hidden = T.tanh(T.dot(x, w1) + b1)
    return Model("two-layer network", [w1, b1, w2, b2], T.dot(hidden, w2) + b2, x)


@dataclass
class Run:
    """What training a model showed."""

    model: Model
    train: exprd.Function
    predict: exprd.Function
    compile_seconds: float
    losses: list[float]
    steps_per_second: float
    bytes_per_step: float
    accuracy: float


def compiled(model: Model, data: Digits, rate: float) -> tuple[exprd.Function, exprd.Function]:
    """The training step over one slice of the resident data, and the prediction."""
    images = exprd.shared(data.images, name="resident images", durability="constant")
    labels = exprd.shared(data.labels, name="resident labels", durability="constant")
    y, start = T.lvector("labels"), T.lscalar("start")
    p = T.nnet.softmax(model.scores)
    loss = -T.mean(T.log(p)[T.arange(y.shape[0]), y])
    pairs = zip(model.parameters, T.grad(loss, model.parameters), strict=True)
    train = exprd.function(
        [start],
        loss,
        updates=[(w, w - np.float32(rate) * g) for w, g in pairs],
        givens={model.images: images[start : start + BATCH], y: labels[start : start + BATCH]},
        name=f"train {model.name}",
    )
    predict = exprd.function([model.images], T.argmax(model.scores, axis=1), name="predict")
    return train, predict


def trained(session: exprd.Session, model: Model, data: Digits, epochs: int, rate: float) -> Run:
    """Train with one execute per step, and measure."""
    begin = time.perf_counter()
    train, predict = compiled(model, data, rate)
    compile_seconds = time.perf_counter() - begin
    starts = range(0, len(data.images) - BATCH + 1, BATCH)
    losses: list[float] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    sent = sum(session.traffic)
    begin = time.perf_counter()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(model.name, total=epochs * len(starts), loss=float("nan"))
        for _ in range(epochs):
            losses.extend(float(train(start)) for start in starts)
            progress.update(bar, advance=len(starts), loss=losses[-1])
    seconds = time.perf_counter() - begin
    right = predict(exprd.put(data.test_images)) == data.test_labels
    return Run(
        model=model,
        train=train,
        predict=predict,
        compile_seconds=compile_seconds,
        losses=losses,
        steps_per_second=len(losses) / seconds,
        bytes_per_step=(sum(session.traffic) - sent) / len(losses),
        accuracy=float(right.mean()),
    )


def counted(ops: list[str]) -> str:
    """Ops with how often they occur."""
    return ", ".join(f"{op} x{count}" if count > 1 else op for op, count in Counter(ops).items())


def show_compiler(run: Run) -> None:
    """The ops before and after optimization, and the beginning of a kernel."""
    before = [node.op.name for node in run.train.graph.nodes()]
    after = [node.op.__class__.__name__ for node in run.train.maker.fgraph.toposort()]
    console.rule(f"what became of the training step of the {run.model.name}")
    console.print(f"[b]{len(before)} nodes as built:[/b] {counted(before)}")
    console.print(f"[b]{len(after)} nodes as compiled:[/b] {counted(after)}")
    texts = run.train.texts()
    steps = re.findall(r"^kernel (\w+)|^(gem[mv])", texts["plan"], re.MULTILINE)
    names = ", ".join(kernel or blas for kernel, blas in steps)
    console.print(f"[b]{len(steps)} native steps per call:[/b] {names}")
    kernel = re.search(r"define internal i32 @k\w*tanh.*", texts["llvm"], re.DOTALL)
    console.print("[b]beginning of the kernel of the hidden layer, as LLVM IR:[/b]")
    for line in (kernel.group() if kernel else texts["llvm"]).splitlines()[:24]:
        console.print(line[:98], markup=False, highlight=False)


def show_results(runs: list[Run], plot: Path) -> None:
    """The table of figures, and the plot of the losses."""
    table = Table(title="trained on the server, one message per step")
    for title in ("model", "test accuracy", "compiled in", "steps/s", "bytes/step", "final loss"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for run in runs:
        table.add_row(
            run.model.name,
            f"{run.accuracy:.2%}",
            f"{run.compile_seconds * 1e3:.0f} ms",
            f"{run.steps_per_second:,.0f}",
            f"{run.bytes_per_step:,.0f}",
            f"{np.mean(run.losses[-10:]):.4f}",
        )
    console.print(table)
    figure, axes = plt.subplots(figsize=(7, 4))
    for run in runs:
        axes.plot(run.losses, label=run.model.name, linewidth=0.8)
    axes.set(xlabel="step", ylabel="cross-entropy of the batch", yscale="log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(plot, dpi=120)
    console.print(f"loss plot: {plot}")


def main() -> None:
    """Run everything; exit with 1 if the network stays below 96 % on the test images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150, help="passes over the data")
    parser.add_argument("--plot", type=Path, default=Path("out/demo-loss.png"))
    arguments = parser.parse_args()
    arguments.plot.parent.mkdir(parents=True, exist_ok=True)
    data = Digits()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as target,
        connected(target) as session,
    ):
        info = session.info()
        console.print(
            f"connected to exprd {info['server_version']} at {target}"
            f" (client process {os.getpid()}, without LLVM: {'llvmlite' not in sys.modules})"
        )
        features = data.images.shape[1]
        runs = [
            trained(session, softmax_regression(features), data, arguments.epochs, 0.5),
            trained(session, network(features), data, arguments.epochs, 0.5),
        ]
        show_compiler(runs[1])
        show_results(runs, arguments.plot)
        for w in runs[1].model.parameters:
            value = w.get_value()
            shape = "x".join(map(str, value.shape))
            norm = np.linalg.norm(value)
            console.print(f"read back {w.name}: {shape} {value.dtype}, norm {norm:.3f}")
    if runs[1].accuracy < 0.96:
        sys.exit(f"the network reached {runs[1].accuracy:.2%}, expected 96 %")


if __name__ == "__main__":
    main()
