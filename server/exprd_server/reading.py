"""Reading of graphs: from the bytes of a request to an outline.

Invariant: what a graph costs to read is never paid by calls of others. A small one is read here,
which takes less than the way to another process; others are read by workers.
"""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import exprd_proto as wire
from exprd_server.deadline import Deadline
from exprd_server.decode import read_graph
from exprd_server.fairness import CompilerTurns
from exprd_server.flight import SingleFlight
from exprd_server.outline import Outline, outline_of, read_outline, text_of

if TYPE_CHECKING:
    from exprd_server.settings import Limits
    from exprd_server.workers import WorkerPool

_SMALL: Final = 4_096  # bytes of about 200 nodes: 3 ms


class GraphReader:
    """Reads the graphs of requests. Thread safe.

    Args:
        limits: of graphs.
        pool: of the workers that read large graphs; none has all of them read here.
        seconds: time that a worker may take for one.
    """

    def __init__(
        self, limits: Limits, pool: WorkerPool | None = None, seconds: float = 60.0
    ) -> None:
        self._limits = limits
        self._pool = pool
        self._seconds = seconds
        self._flight: SingleFlight[Outline] = SingleFlight()
        self._turns = CompilerTurns()
        # Those that some function still has: who compiles the same bytes again reads nothing.
        self._known: WeakValueDictionary[bytes, Outline] = WeakValueDictionary()

    def read(self, head: wire.CompileHead, deadline: Deadline) -> Outline:
        """The outline of the graph of a request, with the derivatives it asks for.

        Raises:
            CallError: the bytes are no message.
            GraphError: the graph contradicts itself or the op table.
            LimitExceeded: it is larger than the server takes, or too many wait.
            DeadlineExceeded, Cancelled: there is no time left for it.
        """
        part = wire.CompileHead(graph=head.graph, gradients=head.gradients)
        data = part.SerializeToString()
        key = sha256(data).digest()
        found = self._known.get(key)
        if found is not None:
            return found
        pool = self._pool
        # Of a small request that asks for derivatives a large graph may come.
        if pool is None or (len(data) <= _SMALL and not head.gradients):
            graph = read_graph(data, self._limits, deadline)
            found = outline_of(graph, text_of(graph))
        else:
            asked = (pool, data, head.client_id, deadline)
            found = self._flight.get(key.hex(), lambda: self._afar(*asked), deadline)
        return self._known.setdefault(key, found)

    def _afar(self, pool: WorkerPool, data: bytes, client_id: str, deadline: Deadline) -> Outline:
        with self._turns.turn(client_id, deadline):
            header = {"task": "read", "limits": asdict(self._limits)}
            answer, text = pool.request(header, data, deadline.capped(self._seconds))
            return read_outline(answer["outline"], text)
