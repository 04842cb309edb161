"""The worker process over its pipes: every task, every error with its facts, and rubbish."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from exprd_compiler.driver import Artifact, link
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.text import print_graph
from exprd_compiler.ir.type import TensorType
from exprd_compiler.ops.arithmetic import add, sub
from exprd_compiler.ops.index import gather
from exprd_compiler.ops.leaves import shared
from exprd_compiler.ops.transcendental import exp
from exprd_compiler.options import CompileOptions
from exprd_compiler.worker import pack, unpack
from tests.compiler.native import leaf


@dataclass
class Worker:
    process: subprocess.Popen[bytes]

    def send(self, *frames: bytes) -> None:
        assert self.process.stdin
        for frame in frames:
            self.process.stdin.write(struct.pack("<Q", len(frame)) + frame)
        self.process.stdin.flush()

    def frame(self) -> bytes:
        assert self.process.stdout
        (length,) = struct.unpack("<Q", self.process.stdout.read(8))
        return self.process.stdout.read(length)

    def ask(self, header: object, body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self.send(json.dumps(header).encode(), body)
        return json.loads(self.frame()), self.frame()


@pytest.fixture(scope="module")
def worker(child_env: dict[str, str]) -> Iterator[Worker]:
    command = [sys.executable, "-m", "exprd_compiler.worker"]
    with subprocess.Popen(
        command,
        env=child_env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield Worker(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


def graph() -> Graph:
    x, w = leaf(1), shared(type=TensorType("float64", (None,)))
    return Graph((x,), (exp(add(x, w)),), (w,), ((0, sub(w, x)),))


def request(task: str, **fields: Any) -> dict[str, Any]:
    return {"task": task, "options": CompileOptions().to_json(), "cache": "", **fields}


def test_an_artifact_comes_back(worker: Worker) -> None:
    answer, payload = worker.ask(request("compile"), print_graph(graph()).encode())
    assert answer == {"ok": True}
    x, w = np.arange(3.0), np.ones(3)
    out, new = link(Artifact.from_bytes(payload))([x, w])
    np.testing.assert_allclose(out, np.exp(x + w))
    np.testing.assert_array_equal(new, w - x)


def test_a_graph_is_evaluated_by_numpy(worker: Worker) -> None:
    text = print_graph(graph()).encode()
    x, w = np.arange(3.0), np.ones(3)
    body = text + pack([x, w])
    answer, payload = worker.ask({"task": "evaluate", "text": len(text)}, body)
    assert answer == {"ok": True, "arrays": 2, "met": []}
    out, new = unpack(payload, 2)
    np.testing.assert_array_equal(out, np.exp(x + w))
    np.testing.assert_array_equal(new, w - x)


def test_the_stages_of_a_graph_as_text(worker: Worker) -> None:
    answer, payload = worker.ask(request("texts"), print_graph(graph()).encode())
    assert answer["ok"]
    assert payload == b""
    assert "exp" in answer["texts"]["optimized"]
    assert "define" in answer["texts"]["llvm"]


def test_an_error_keeps_its_class_and_its_facts(worker: Worker) -> None:
    x, index = leaf(1), leaf(1, "int64")
    text = print_graph(Graph((x, index), (gather(x, index),))).encode()
    body = text + pack([np.zeros(3), np.array([7])])
    answer, payload = worker.ask({"task": "evaluate", "text": len(text)}, body)
    assert payload == b""
    error = answer["error"]
    assert (error["kind"], error["op"]) == ("IndexOutOfRange", "gather")
    assert "7" in error["message"]
    assert set(error) == {"kind", "message", "op", "nodes", "hint", "fields"}


@pytest.mark.parametrize(
    ("header", "body", "kind"),
    [
        (request("compile"), b"this is no graph", "GraphError"),
        (request("compile"), b"", "GraphError"),
        (request("compile", options='{"level": "O9"}'), b"", None),
        (request("compile", options="rubbish"), b"", None),
        (request("dance"), b"", "CompilerBug"),
        ({"no": "task"}, b"", "CompilerBug"),
        ([1, 2], b"", "CompilerBug"),
        ({"task": "evaluate", "text": "many"}, b"", "CompilerBug"),
        (request("compile"), b"\xff\xfe", None),
    ],
)
def test_a_request_that_makes_no_sense_is_answered(
    worker: Worker, header: object, body: bytes, kind: str | None
) -> None:
    answer, payload = worker.ask(header, body)
    assert (answer["ok"], payload) == (False, b"")
    assert kind in (None, answer["error"]["kind"])
    assert answer["error"]["message"]


def test_a_header_that_is_not_json_is_answered(worker: Worker) -> None:
    for header in (b"", b"\x00\xff", b"{", b"NaN"):
        worker.send(header, b"body")
        assert json.loads(worker.frame())["ok"] is False
        assert worker.frame() == b""
    assert worker.ask(request("texts"), print_graph(graph()).encode())[0]["ok"]


def test_arrays_that_are_missing_are_an_error(worker: Worker) -> None:
    text = print_graph(graph()).encode()
    body = text + pack([np.zeros(3)])
    answer, _ = worker.ask({"task": "evaluate", "text": len(text)}, body)
    assert answer["error"]["kind"] == "GraphError"


def test_nothing_that_could_run_code_is_read(worker: Worker) -> None:
    text = print_graph(graph()).encode()
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    answer, _ = worker.ask({"task": "evaluate", "text": len(text)}, text + pickled.getvalue() * 2)
    assert answer["error"]["kind"] == "GraphError"


def test_a_worker_ends_when_its_pipe_does(child_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "exprd_compiler.worker"]
    for data in (b"", b"\x05", struct.pack("<Q", 10) + b"short"):
        ended = subprocess.run(
            command, env=child_env, input=data, capture_output=True, check=False, timeout=60
        )
        assert (ended.returncode, ended.stdout) == (0, b"")
