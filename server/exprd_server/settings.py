"""Settings: everything that can be configured, read once at start.

Invariant: frozen after construction; no module below reads the environment or a flag.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from exprd_server.policy import ALWAYS, Policy
from exprd_server.throttle import LEAST_SHARE
from exprd_server.values import Durability

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds a server holds its callers to; each is named in the error that it causes.

    Attributes:
        message_bytes: largest message either way.
        inline_bytes: arrays that travel inside an answer when the caller leaves the choice.
        graph_nodes: nodes of a bundle, all graphs together.
        graph_nesting: depth of sub-graphs.
        rank: axes of a tensor.
        tensor_bytes: size of one array.
        name_length: characters of any name or identifier.
        attributes: attributes of one node.
        client_bytes: memory that one client may hold in buffers and variables.
        call_bytes: memory that one call may take while it runs: its temporaries, outputs and new
            values. Estimated before it runs as far as its arguments tell, else checked as it goes.
        functions: compiled functions kept at a time.
        buffers: buffers kept at a time.
        variables: shared variables kept at a time.
        published: published versions kept at a time.
        doc_length: characters of the text that goes with a published version.
        clients: leases kept at a time.
        replay_bytes: size up to which an answer is kept for a retry.
        replay_calls: answers kept per client.
        replay_client_bytes: size of all answers kept per client.
        client_calls: calls of one client that are handled at a time, waiting ones included.
        client_queue: calls of one client that may wait for those before them to be begun.
        sessions: streams of calls open at a time; each has a thread of its own.
        client_sessions: those of one client.
        session_calls: calls of one session that may be sent and not answered.
        session_bytes: the same in bytes.
        batch_items: lists of inputs in one batch.
        doorbells: connections to the doorbell at a time; each has a thread of its own.
        client_doorbells: those of one client.
        region_bytes: largest region of memory that is shared with a client.
    """

    message_bytes: int = 64 * MIB
    inline_bytes: int = 4 * MIB
    graph_nodes: int = 1_000_000
    graph_nesting: int = 64
    rank: int = 32
    tensor_bytes: int = 4 * GIB
    name_length: int = 1024
    attributes: int = 64
    client_bytes: int = 4 * GIB
    call_bytes: int = 4 * GIB
    functions: int = 1_000
    buffers: int = 10_000
    variables: int = 10_000
    published: int = 1_000
    doc_length: int = 65_536
    clients: int = 10_000
    replay_bytes: int = 1 * MIB
    replay_calls: int = 1_024
    replay_client_bytes: int = 64 * MIB
    client_calls: int = 96
    client_queue: int = 64
    sessions: int = 128
    client_sessions: int = 8
    session_calls: int = 512
    session_bytes: int = 16 * MIB
    batch_items: int = 512
    doorbells: int = 64
    client_doorbells: int = 32
    region_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How worker processes are run: those that compile, and those that run graphs node by node.

    Attributes:
        count: processes of each kind; 0 compiles inside the server's own process (embedded use).
        seconds: time one request may take before its worker is killed.
        memory_bytes: address space of a worker.
        queue: requests that may wait for a worker; more are refused at once.
        niceness: added to a worker's nice value, so that executions come first.
    """

    count: int = 1
    seconds: float = 60.0
    memory_bytes: int = 8 * GIB
    queue: int = 64
    niceness: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files that encrypt a server's port; they may be replaced while it runs.

    Attributes:
        cert: the certificate, and those between it and the authority.
        key: its private key, without a passphrase.
        client_ca: who signs the certificates that clients must show; none asks for none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One server's configuration.

    Attributes:
        listen: ``host:port`` or ``unix:///path``; port 0 takes a free one.
        calls: calls handled at a time; more are refused at once. Each has a thread of its
            own while it runs or waits, and health and information have some besides.
        execute_seconds: deadline of a call that has none, and cap for the others.
        compile_seconds: the same for Compile.
        stream_seconds: time that one upload may take.
        lease_seconds: silence after which a client's possessions are collected.
        sweep_seconds: how often lapsed leases are looked for.
        drain_seconds: health says NOT_SERVING for so long before calls are refused.
        grace_seconds: time that calls in flight get to finish at shutdown.
        reflection: whether the services can be listed by clients.
        insecure: accept a listen address that is not local without TLS and a check of callers.
        tls: files of certificate and key; none leaves the port in the clear.
        tokens: file of the tokens that callers must have; none lets everybody in.
        metrics: ``host:port`` of the page of metrics; empty for none.
        idle_poll: seconds after a call for which cores that have nothing to do stay awake; None is
            0.001, or 0 where the time on the cores is rationed.
        least_share: the share of the interpreter's time that a client may always use; one that uses
            more rests while others call.
        doorbell_spin: seconds for which a connection of the doorbell waits awake for the next call,
            where that pays; 0 for not at all.
        version: what the server calls itself.
        cache: directory of the object cache; none when not given.
        memory_bytes: what the process may allocate; 0 takes a share of the machine.
        state: directory of the durable store; state is kept in memory when not given.
        durability: when a change that was answered is on disk.
        default_durability: of variables whose makers do not say.
        checkpoint_seconds: how often a checkpoint is written; 0 is never.
        checkpoint_keep: how many of those are kept.
    """

    listen: str = "127.0.0.1:50051"
    calls: int = 192
    execute_seconds: float = 60.0
    compile_seconds: float = 300.0
    stream_seconds: float = 600.0
    lease_seconds: float = 3600.0
    sweep_seconds: float = 10.0
    drain_seconds: float = 0.5
    grace_seconds: float = 25.0
    reflection: bool = False
    insecure: bool = False
    tls: TlsFiles | None = None
    tokens: Path | None = None
    metrics: str = ""
    idle_poll: float | None = None
    least_share: float = LEAST_SHARE
    doorbell_spin: float = 0.0001  # some calls, and far more than it takes to be woken
    version: str = "0"
    cache: Path | None = None
    memory_bytes: int = 0
    state: Path | None = None
    durability: Policy = ALWAYS
    default_durability: Durability = Durability.VOLATILE
    checkpoint_seconds: float = 0.0
    checkpoint_keep: int = 3
    limits: Limits = field(default_factory=Limits)
    workers: WorkerSettings = field(default_factory=WorkerSettings)


def user_cache() -> Path:
    """Where this user's programs keep what they can make again."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "exprd"
    try:
        return Path.home() / ".cache" / "exprd"
    except RuntimeError:  # a user without a home, as in many containers
        return Path(tempfile.gettempdir()) / f"exprd-{os.geteuid()}"
