"""A server under mixed work for long: its memory, descriptors, threads and handles do not grow.

Several hundred executes a round, by every way there is, beside compilations, assignments, uploads,
cancelled calls and clients that vanish. 60 rounds in the soak of 0.05; `make soak` makes 1,000,000
executes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import exprd_proto as wire
from exprd_proto.arrays import array_to_wire
from tests.server import graphs
from tests.server.conftest import Client, ServerProcess
from tests.server.wire import bundle

CLIENTS = 2
UNARY, BATCH, REPEATED, FRAMED = 12, 150, 250, 88
PER_ROUND = UNARY + BATCH + REPEATED + FRAMED
EXECUTES = 1_000_000
DRIFT_BYTES = 5 << 20
# A linker gives back what its libraries took when it goes, after 256 of them; so memory is level
# once a few linkers have come and gone.
LINKED = 600
LOCAL_POOL = (("grpc.use_local_subchannel_pool", 1),)  # channels that share no connection


@dataclass(frozen=True)
class Usage:
    """What a process has, and what its clients have in it."""

    rss: int
    files: int
    threads: int
    functions: int
    variables: int
    buffers: int

    @property
    def handles(self) -> tuple[int, int, int]:
        return self.functions, self.variables, self.buffers


def usage(server: ServerProcess, client: Client) -> Usage:
    """The usage of a server process now."""
    place = Path(f"/proc/{server.process.pid}")
    facts = dict(
        line.split(":", 1) for line in (place / "status").read_text().splitlines() if ":" in line
    )
    info = client.admin.GetInfo(wire.GetInfoRequest())
    return Usage(
        rss=int(facts["VmRSS"].split()[0]) << 10,
        files=len(list((place / "fd").iterdir())),
        threads=int(facts["Threads"]),
        functions=info.functions,
        variables=info.variables,
        buffers=info.buffers,
    )


def settled(server: ServerProcess, client: Client, before: Usage) -> Usage:
    """The usage once a server has noticed who has just gone, for which it has some seconds."""
    end = time.monotonic() + 20
    while True:
        now = usage(server, client)
        level = now.files <= before.files + 2 and now.threads <= before.threads + 2
        if (level and now.handles == before.handles) or time.monotonic() > end:
            return now
        threading.Event().wait(0.05)


def number(value: float) -> wire.ExecuteInput:
    return wire.ExecuteInput(array=array_to_wire(np.array(value)))


class Worker:
    """A client that does a bit of everything, round after round."""

    def __init__(self, target: str, place: int) -> None:
        self._target = target
        self._channel = grpc.insecure_channel(target, options=LOCAL_POOL)
        self.client = Client(self._channel)
        durable = wire.Durability.DURABILITY_DURABLE
        self.total = self.client.variable(0.0, durability=durable, name=f"total {place}")
        self.handle = self.client.compile(bundle(graphs.counter()), self.total).handle
        self.added = 0  # to the total
        self.done = 0

    def close(self) -> None:
        self.client.admin.EndLease(wire.EndLeaseRequest(client_id=self.client.client_id))
        self._channel.close()

    def round(self, turn: int) -> None:
        """Every kind of call; counts the executes that were answered."""
        for _ in range(UNARY):
            name = self.client.next_id(acked=self.client.seq)
            self.client.execute(self.handle, 1.0, call_id=name)
        self.added += UNARY
        self._batch()
        self._repeat()
        self._session()
        self._assign()
        self._compile(turn)
        self._cancel()
        self._vanish(turn)

    def warm(self, count: int) -> None:
        """Compiles and gives up so many functions."""
        for turn in range(count):
            self._compile(turn)

    def _ids(self, count: int) -> wire.CallId:
        name = self.client.next_id(acked=self.client.seq)
        self.client.seq += count - 1
        return name

    def _batch(self) -> None:
        request = wire.ExecuteBatchRequest(handle=self.handle, call_id=self._ids(BATCH))
        for _ in range(BATCH):
            request.items.add(inputs=[number(1.0)])
        outcomes = self.client.executor.ExecuteBatch(request).outcomes
        self.added += sum(outcome.HasField("response") for outcome in outcomes)

    def _repeat(self) -> None:
        call = wire.ExecuteRequest(
            handle=self.handle, inputs=[number(1.0)], call_id=self._ids(REPEATED)
        )
        for _ in self.client.executor.Repeat(wire.RepeatRequest(call=call, steps=REPEATED)):
            pass
        self.added += REPEATED

    def _session(self) -> None:
        def frames() -> Iterator[wire.SessionRequest]:
            yield wire.SessionRequest(client_id=self.client.client_id)
            calls = [
                wire.ExecuteRequest(
                    handle=self.handle,
                    inputs=[number(1.0)],
                    call_id=wire.CallId(seq=self._ids(1).seq),
                )
                for _ in range(FRAMED)
            ]
            yield wire.SessionRequest(calls=calls, acked_through=calls[0].call_id.seq - 1)

        answers = self.client.executor.Session(frames())
        self.added += sum(len(response.outcomes) for response in answers)

    def _assign(self) -> None:
        name = self.client.variable(np.zeros(10_000))
        value = wire.VariableValue(array=array_to_wire(np.ones(10_000)))
        self.client.state.Set(wire.StateServiceSetRequest(uuid=name, value=value))
        self.client.state.Delete(
            wire.StateServiceDeleteRequest(client_id=self.client.client_id, uuids=[name])
        )

    def _compile(self, turn: int) -> None:
        handle = self.client.compile(bundle(graphs.chain(2 + turn % 40))).handle
        self.client.call(handle, np.ones(5))
        request = wire.CompilerServiceReleaseRequest(
            client_id=self.client.client_id, handles=[handle]
        )
        self.client.compiler.Release(request)
        self.done += 1

    def _cancel(self) -> None:
        request = wire.ExecuteRequest(
            handle=self.handle, inputs=[number(0.0)], call_id=self.client.next_id()
        )
        running = self.client.executor.Execute.future(request, timeout=30)
        running.cancel()

    def _vanish(self, turn: int) -> None:
        """Another client puts an array and goes away, sometimes in the midst of a call."""
        with grpc.insecure_channel(self._target, options=LOCAL_POOL) as channel:
            other = Client(channel)
            source = wire.ExecuteInput(buffer=other.put(np.ones(50_000)).handle)
            handle = other.compile(bundle(graphs.chain(2))).handle
            running: Any = other.executor.Execute.future(
                wire.ExecuteRequest(handle=handle, inputs=[source]), timeout=30
            )
            if turn % 2:
                running.result()
        self.client.admin.EndLease(wire.EndLeaseRequest(client_id=other.client_id))


def work(workers: list[Worker], first: int, rounds: int) -> None:
    """Has all workers do their rounds at once."""
    failed: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            for turn in range(first, first + rounds):
                worker.round(turn)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_server_that_works_for_long_does_not_grow(start_server, tmp_path, figure) -> None:
    flags = ("--state", str(tmp_path / "state"), "--durability", "interval=0.5")
    flags = (*flags, "--cache-dir", str(tmp_path / "cache"))
    server = start_server("--listen", f"unix://{tmp_path}/s", *flags)
    scale = float(os.environ.get("EXPRD_SOAK", "1"))
    rounds = max(40, int(EXECUTES * scale / PER_ROUND / CLIENTS))
    warm = max(10, rounds // 5)
    with grpc.insecure_channel(server.target) as channel:
        watcher = Client(channel)
        bare = usage(server, watcher)
        workers = [Worker(server.target, place) for place in range(CLIENTS)]
        for worker in workers:
            worker.warm(LINKED // CLIENTS)
        work(workers, 0, warm)
        before = usage(server, watcher)
        work(workers, warm, rounds)
        after = settled(server, watcher, before)
        executes = sum(worker.added + worker.done for worker in workers)
        for worker in workers:
            assert worker.client.value(worker.total) == worker.added
            worker.close()
        end = usage(server, watcher)
    figure(
        "soak",
        executes=executes,
        rss_drift_bytes=after.rss - before.rss,
        rss_bytes=after.rss,
        files=f"{bare.files} to {end.files}",
        threads=f"{before.threads} to {after.threads}",
    )
    assert after.rss - before.rss <= DRIFT_BYTES
    assert after.files <= before.files + 2
    assert after.threads <= before.threads + 2
    assert after.handles == before.handles
    assert end.handles == (0, CLIENTS, 0)  # variables with a name outlive their client
