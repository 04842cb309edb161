"""The server as a process: addresses, health, signals, workers that die, leaks of text."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import exprd_proto as wire
from exprd_proto import ErrorDetail
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

SERVING = health_pb2.HealthCheckResponse.SERVING
COMPILER = "exprd.v1.CompilerService"


def exprd(env, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exprd_server", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def cpu_ticks(pid: int) -> int:
    """Processor time of a process so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@contextlib.contextmanager
def compiling(server, length: int):
    """A channel and a compilation at which a worker of the server is at work by now."""
    (worker,) = children_of(server.process.pid)
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        client.compile(bundle(graphs.chain(1)))  # the worker has started
        idle = cpu_ticks(worker)
        request = wire.CompileRequest(client_id="c", graph=bundle(graphs.chain(length)))
        running = client.compiler.Compile.future(request)
        while cpu_ticks(worker) < idle + 3 and not running.done():
            threading.Event().wait(0.005)
        yield client, running, worker


def test_health_is_told_per_service(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", COMPILER, "exprd.v1.ExecutorService", "exprd.v1.AdminService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING


def test_the_commands_ask_a_server(server, child_env):
    asked = exprd(child_env, "health", server.target)
    assert (asked.returncode, asked.stdout) == (0, "SERVING\n")
    told = exprd(child_env, "info", server.target)
    assert json.loads(told.stdout)["store"] == "memory"


def test_the_commands_say_when_nobody_is_there(child_env, tmp_path):
    target = f"unix://{tmp_path}/nobody"
    for command in ("health", "info"):
        asked = exprd(child_env, command, target, "--seconds", "1")
        assert asked.returncode == 1
        assert "does not answer" in asked.stderr
        assert "Traceback" not in asked.stderr


def test_two_servers_cannot_share_a_port(start_server, child_env):
    first = start_server("--listen", "127.0.0.1:0")
    assert not first.target.endswith(":0")
    second = exprd(child_env, "serve", "--listen", first.target)
    assert second.returncode == 1
    assert "is another server there?" in second.stderr
    assert "Traceback" not in second.stderr
    assert exprd(child_env, "health", first.target).returncode == 0


def test_a_port_that_becomes_free_is_waited_for(child_env):
    """As that of a killed server does, whose child has not begun to run a program of its own."""
    taken = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [sys.executable, "-m", "exprd_server", "serve", "--listen", address]
    with subprocess.Popen(command, env=child_env, stderr=subprocess.PIPE, text=True) as second:
        assert second.stderr is not None
        for line in second.stderr:
            if "Address already in use" in line:  # gRPC's own word on the first attempt
                taken.close()
            if '"serving"' in line:
                break
        assert exprd(child_env, "health", address).returncode == 0
        second.terminate()
        second.stderr.read()
    assert second.returncode == 0


def test_two_servers_cannot_share_a_socket(server, child_env):
    second = exprd(child_env, "serve", "--listen", server.target)
    assert second.returncode == 1
    assert "another server listens" in second.stderr
    assert exprd(child_env, "health", server.target).returncode == 0


def test_the_socket_is_private_and_what_a_killed_server_left_is_replaced(start_server, tmp_path):
    path = tmp_path / "s.sock"
    first = start_server("--listen", f"unix://{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first.process.kill()
    first.process.wait()
    assert path.exists()
    second = start_server("--listen", f"unix://{path}")
    assert second.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "nonsense"])
def test_odd_addresses_are_refused(child_env, listen):
    refused = exprd(child_env, "serve", "--listen", listen)
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr or "is no address" in refused.stderr


def test_reflection_is_there_when_asked_for(start_server, channel):
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    def services(target) -> set[str]:
        stub = reflection_pb2_grpc.ServerReflectionStub(target)
        (reply,) = stub.ServerReflectionInfo(iter([request]))
        return {service.name for service in reply.list_services_response.service}

    open_server = start_server("--listen", "127.0.0.1:0", "--reflection")
    with grpc.insecure_channel(open_server.target) as other:
        assert COMPILER in services(other)
    with pytest.raises(grpc.RpcError) as caught:
        services(channel)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_sigterm_lets_calls_finish(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s")
    with compiling(server, 3000) as (_, running, _):
        server.process.send_signal(signal.SIGTERM)
        assert running.result().handle
    assert server.process.wait(30) == 0
    assert '"stopped"' in server.log


def test_a_second_signal_does_not_wait(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s", "--grace-seconds", "600")
    with compiling(server, 50_000) as (_, running, _):
        server.process.send_signal(signal.SIGTERM)
        while '"draining"' not in server.log:
            threading.Event().wait(0.005)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            running.result()
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert server.process.wait(30) == 0


def test_sigterm_under_load_loses_nothing(start_server, tmp_path):
    """Every call is either answered or refused, and the exit is clean.

    One that comes when gRPC itself has stopped already is refused by that, as CANCELLED.
    """
    server = start_server("--listen", f"unix://{tmp_path}/s")
    codes: set[grpc.StatusCode] = set()
    answered = threading.Semaphore(0)
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        total = client.variable(0.0)
        handle = client.compile(bundle(graphs.counter()), total).handle

        def work() -> None:
            try:
                while True:
                    client.call(handle, 1.0)
                    answered.release()
            except grpc.RpcError as error:
                codes.add(error.code())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            answered.acquire()
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert server.process.wait(30) == 0


def test_no_worker_outlives_the_server(start_server, tmp_path):
    for end in (signal.SIGTERM, signal.SIGKILL):
        server = start_server("--listen", f"unix://{tmp_path}/{end.name}", "--workers", "2")
        workers = children_of(server.process.pid)
        assert len(workers) == 2
        server.process.send_signal(end)
        server.process.wait(30)
        for pid in workers:
            # A worker whose server is gone reads the end of its pipe; a pidfd tells when it went.
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                assert select.select([handle], [], [], 30)[0]
                os.close(handle)


def test_a_killed_worker_costs_one_request(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s")
    with compiling(server, 50_000) as (client, running, worker):
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(grpc.RpcError) as caught:
            running.result()
        trailers = dict(caught.value.trailing_metadata())
        detail = ErrorDetail.FromString(trailers["exprd-error-bin"])
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert detail.incident
        assert detail.incident in server.log
        assert "exit status -9" in server.log
        told = f"{caught.value.details()} {trailers}"
        for secret in ("worker", "Traceback", ".py", str(tmp_path), "exit status"):
            assert secret not in told
        handle = client.compile(bundle(graphs.chain(1))).handle
        assert client.call(handle, [1.0]) == [-1]


def test_a_worker_that_dies_idle_costs_nothing(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s")
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        client.compile(bundle(graphs.chain(1)))  # the worker has started
        (worker,) = children_of(server.process.pid)
        gone = os.pidfd_open(worker)
        os.kill(worker, signal.SIGKILL)
        select.select([gone], [], [], 30)
        os.close(gone)
        client.compile(bundle(graphs.chain(2)))


def test_the_log_is_json_and_cannot_be_forged(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s", "--log-level", "debug")
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        with pytest.raises(grpc.RpcError):
            client.value('x"}\n{"event": "forged')
    assert server.stop() == 0
    events = [json.loads(line)["event"] for line in server.log.splitlines()]
    assert {"serving", "refused", "draining", "stopped"} <= set(events)
    assert "forged" not in events


def test_a_lease_lapses_on_a_real_clock(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s", "--lease-seconds", "0.2")
    with grpc.insecure_channel(server.target) as channel:
        client = Client(channel)
        client.variable(np.ones(3))
        while client.admin.GetInfo(wire.GetInfoRequest()).variables:
            pass
    while "lease lapsed" not in server.log:  # which is written down after it was done
        threading.Event().wait(0.001)
