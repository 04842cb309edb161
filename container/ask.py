"""A client outside the container: trains over TLS with a token, and comes back after a kill.

    python ask.py refused TARGET FOLDER  who has no token, or does not encrypt, is refused
    python ask.py train TARGET FOLDER    half of a run, a published function; a whole run beside it
    python ask.py again TARGET FOLDER    what was left is there; the other half; the same bits

FOLDER has what access.py wrote, and what `train` noted for `again`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import exprd
import exprd.tensor as T
import exprd_proto as wire
from exprd_proto.channels import Access, open_channel

STEPS = 60
RNG = np.random.default_rng(5)
INPUTS = RNG.standard_normal((200, 6))
LABELS = (INPUTS @ RNG.standard_normal(6) > 0).astype(float)


def say(text: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def code(target: str, access: Access) -> str:
    """How a server answers a greeting."""
    with open_channel(target, access) as channel:
        try:
            wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=10)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"


def refused(target: str, folder: Path) -> None:
    """Greets in four ways, of which one is right."""
    ca, token = str(folder / "ca.pem"), _token(folder, "trained")
    cases = {
        "no token": (Access(ca=ca), "UNAUTHENTICATED"),
        "a wrong token": (Access(ca=ca, token="x" * 43), "UNAUTHENTICATED"),
        "no TLS": (Access(token=token), "UNAVAILABLE"),
        "TLS and the token": (Access(ca=ca, token=token), "OK"),
    }
    for what, (access, expected) in cases.items():
        found = code(target, access)
        say(f"  {what}: {found}")
        assert found == expected, what


def train(target: str, folder: Path) -> None:
    """Half of the training under one token, all of it under another."""
    with _connected(target, folder, "undisturbed"):
        _run(STEPS)
        whole = _state()
    with _connected(target, folder, "trained"):
        predict = _run(STEPS // 2)
        exprd.publish("predict", predict, labels="stable", doc="The chance of label 1.")
        half = _state()
        said = predict(INPUTS[:3]).tolist()
    say(f"  trained {STEPS // 2} steps; w is at version {half['version']}; published predict")
    (folder / "noted.json").write_text(json.dumps({"whole": whole, "half": half, "said": said}))


def again(target: str, folder: Path) -> None:
    """Finds what `train` left, and finishes its work."""
    noted = json.loads((folder / "noted.json").read_text())
    with _connected(target, folder, "trained"):
        assert _state() == noted["half"], "state differs from what was acknowledged"
        say(f"  w is there, at version {noted['half']['version']}, bit for bit")
        predict = exprd.lookup("predict")
        assert predict(INPUTS[:3]).tolist() == noted["said"]
        say(f"  {predict} answers as before")
        _run(STEPS - STEPS // 2)
        assert _state() == noted["whole"], "the run differs from an undisturbed one"
        say(f"  {STEPS} steps in all, the same bits as the undisturbed run")


def _connected(target: str, folder: Path, namespace: str) -> Any:
    return exprd.connect(target, token=_token(folder, namespace), ca=str(folder / "ca.pem"))


def _token(folder: Path, namespace: str) -> str:
    return (folder / f"token-{namespace}").read_text()


def _run(steps: int) -> Any:
    """Logistic regression, so many steps from where it is; the function that predicts."""
    x, y = T.matrix("x"), T.vector("y")
    w = exprd.open_shared("w", default=np.zeros(INPUTS.shape[1]))
    chance = T.nnet.sigmoid(T.dot(x, w))
    cost = T.nnet.binary_crossentropy(chance, y).mean()
    step = exprd.function([x, y], cost, updates=[(w, w - 0.1 * exprd.grad(cost, w))])
    inputs, labels = exprd.put(INPUTS), exprd.put(LABELS)
    for _ in range(steps):
        step(inputs, labels)
    return exprd.function([x], chance)


def _state() -> dict[str, Any]:
    w = exprd.open_shared("w")
    return {"bits": w.get_value().tobytes().hex(), "version": w.version}


if __name__ == "__main__":
    {"refused": refused, "train": train, "again": again}[sys.argv[1]](
        sys.argv[2], Path(sys.argv[3])
    )
