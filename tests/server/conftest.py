"""A real server process for the tests of the server, and a plain client of its wire."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto.arrays import array_from_wire, array_to_wire, chunks_of, header_of

STARTUP_SECONDS = 30


class ServerProcess:
    """One `exprd serve`; its log goes to a file."""

    def __init__(self, env: dict[str, str], log: Path, *flags: str) -> None:
        self._log = log
        fixed = ("--drain-seconds", "0", "--cache-dir", "")
        command = [sys.executable, "-m", "exprd_server", "serve", *fixed, *flags]
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, env=env, text=True
            )
        line = self.process.stdout.readline()
        if not line.startswith("serving on "):
            self.end()
            pytest.fail(self.log)
        self.target = line.removeprefix("serving on ").strip()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        """Kills the process if it still runs, and closes the pipe."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STARTUP_SECONDS)
        self.process.stdout.close()
        return status


@dataclass
class Client:
    """Stubs of one channel, and short forms of the calls that tests make."""

    channel: grpc.Channel
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    seq: int = 0

    def __post_init__(self) -> None:
        self.compiler = wire.CompilerServiceStub(self.channel)
        self.executor = wire.ExecutorServiceStub(self.channel)
        self.data = wire.DataServiceStub(self.channel)
        self.state = wire.StateServiceStub(self.channel)
        self.admin = wire.AdminServiceStub(self.channel)

    def next_id(self, acked: int = 0) -> wire.CallId:
        self.seq += 1
        return wire.CallId(client_id=self.client_id, seq=self.seq, acked_through=acked)

    def variable(self, value: Any, **facts: Any) -> str:
        source = wire.VariableValue(array=array_to_wire(np.asarray(value)))
        request = wire.StateServiceCreateRequest(client_id=self.client_id, value=source, **facts)
        return self.state.Create(request).variable.uuid

    def value(self, name: str) -> np.ndarray:
        reply = self.state.Get(wire.StateServiceGetRequest(uuid=name))
        return array_from_wire(reply.value.array)

    def version(self, name: str) -> int:
        return self.state.Get(wire.StateServiceGetRequest(uuid=name)).variable.version

    def compile(self, bundle: wire.GraphBundle, *uuids: str, **facts: Any) -> wire.CompileResponse:
        bindings = [wire.VariableBinding(slot=i, uuid=name) for i, name in enumerate(uuids)]
        request = wire.CompileRequest(
            client_id=self.client_id, graph=bundle, bindings=bindings, **facts
        )
        return self.compiler.Compile(request)

    def execute(self, handle: str, *arrays: Any, **facts: Any) -> wire.ExecuteResponse:
        timeout = facts.pop("timeout", 30)
        inputs = [
            x
            if isinstance(x, wire.ExecuteInput)
            else wire.ExecuteInput(array=array_to_wire(np.asarray(x)))
            for x in arrays
        ]
        request = wire.ExecuteRequest(handle=handle, inputs=inputs, **facts)
        return self.executor.Execute(request, timeout=timeout)

    def call(self, handle: str, *arrays: Any, **facts: Any) -> list[np.ndarray]:
        reply = self.execute(handle, *arrays, **facts)
        return [array_from_wire(output.array) for output in reply.outputs]

    def put(self, value: np.ndarray) -> wire.BufferInfo:
        header = wire.PutHeader(client_id=self.client_id, array=header_of(value))
        messages = [wire.DataServicePutRequest(header=header)]
        messages += [wire.DataServicePutRequest(chunk=chunk) for chunk in chunks_of(value)]
        return self.data.Put(iter(messages)).buffer


@pytest.fixture(scope="session")
def server(child_env, tmp_path_factory) -> Iterator[ServerProcess]:
    """A server on a Unix socket that all tests share."""
    folder = tmp_path_factory.mktemp("server")
    flags = ("--listen", f"unix://{folder}/s.sock", "--log-level", "debug")
    process = ServerProcess(child_env, folder / "log", *flags)
    yield process
    assert process.stop() == 0


@pytest.fixture
def start_server(child_env, tmp_path) -> Iterator[Any]:
    """A function that starts further servers with other flags."""
    started: list[ServerProcess] = []

    def start(*flags: str) -> ServerProcess:
        started.append(ServerProcess(child_env, tmp_path / f"log{len(started)}", *flags))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def channel(server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture
def client(channel) -> Iterator[Client]:
    """A client that gives up its lease at the end."""
    client = Client(channel)
    yield client
    client.admin.EndLease(wire.EndLeaseRequest(client_id=client.client_id))
