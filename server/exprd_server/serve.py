"""The gRPC server around an engine: start, drain, stop.

Invariant: one process owns its address; a call that was accepted is finished or
refused with a status, also while the server stops.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto.growing import keep_freed_memory
from exprd_server import checksums, service
from exprd_server.address import Address, SocketOwner, parse_address
from exprd_server.auth import TokenFile
from exprd_server.bell.counting import DoorbellMetrics
from exprd_server.bell.listener import Doorbell
from exprd_server.fairness import FairShare
from exprd_server.gate import Gate
from exprd_server.idlepoll import IdlePoll, polling_seconds
from exprd_server.interceptors import Boundary
from exprd_server.metering import Meter
from exprd_server.metrics import CountingLog, Metrics, MetricsPage
from exprd_server.reading import GraphReader
from exprd_server.session import SessionTable
from exprd_server.signals import Signals
from exprd_server.tenants import Tenant, Tenants
from exprd_server.tls import server_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.settings import Settings
    from exprd_server.workers import WorkerPool

SERVICES = tuple(s.full_name for s in wire.SERVICE_DESCRIPTOR.services_by_name.values())
TARGETS = (("cpu", "native code for this machine"), ("reference", "numpy, node by node"))
_SPARE_THREADS = 16  # for health, information, and saying no to calls beyond the limit
_STACK_BYTES = 2 << 20  # threads are many, and nothing they run is deep
# gRPC ends calls that reach it while it stops as CANCELLED, as if their callers had wished it. So
# we refuse by ourselves first, for long enough that whoever is calling hears of it.
_REFUSAL_SECONDS = 0.05
_JOIN_SECONDS = 0.05  # how soon the end of a stop is noticed
# A process that is killed leaves its ports to the child it has just begun to start, for some 0.1 s.
_PORT_SECONDS, _PORT_PAUSE = 1.0, 0.1
_METADATA_BYTES = 8192
# Calls of one connection that are on their way here at a time; more wait in its client, where they
# cost us nothing. What has arrived is taken in one by one, so this is what others wait behind. All
# sessions of a client may be among them, and leave room for single calls.
_STREAMS = max(16, 2 * (os.cpu_count() or 1))
# The interpreter hands the lock over fifty times as often as by default: a call beside a thread
# that is busy in Python then takes 0.4 ms, not 20 ms.
_SWITCH_SECONDS = 0.0001


def grpc_options(settings: Settings) -> list[tuple[str, int]]:
    """The channel arguments of the server; figures from measurements on loopback."""
    size = settings.limits.message_bytes
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.max_concurrent_streams", _STREAMS),
        # would refuse calls of clients that keep to it, while those before are being put away
        ("grpc.http.overload_protection", 0),
        ("grpc.compression_enabled_algorithms_bitset", 1),  # none: nothing is unpacked
        ("grpc.server_handshake_timeout_ms", 20_000),  # then a mute connection is closed
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    ]


class Server:
    """A running server. `start` it once, `stop` it once.

    Args:
        settings: of the server.
        engine: of the namespace "default", which is all there is without tokens.
        log: where events go.
        targets: what functions can be compiled for, by name and description.
        make: makes the engine of another namespace, with settings of its own.
        waiting: tells how many compilations wait for a worker.
        readers: workers that read large graphs; without them this process reads all.
    """

    def __init__(
        self,
        settings: Settings,
        engine: LocalEngine,
        log: Logger,
        targets: Sequence[tuple[str, str]] = TARGETS,
        make: Callable[[str, Settings], LocalEngine] | None = None,
        waiting: Callable[[], int] | None = None,
        readers: WorkerPool | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._log = log = CountingLog(log) if settings.metrics else log
        self._make = make
        self._waiting = waiting
        self._readers = readers
        self._targets = targets
        self._tokens = None if settings.tokens is None else TokenFile(settings.tokens, log)
        self._closing = contextlib.ExitStack()
        self._ended = threading.Event()
        self._doorbell = Doorbell(settings.limits.doorbells, settings.limits.client_doorbells, log)
        limits = settings.limits
        share = FairShare(settings.calls, limits.client_calls, limits.client_queue)
        self._poll = IdlePoll(polling_seconds(settings.idle_poll))
        self._boundary = Boundary(log, share, engine.throttle, settings.stream_seconds, self._poll)
        self._tenants = Tenants(self._tenant(engine, settings), self._made, self._add_services)
        threads = settings.calls + settings.limits.sessions + _SPARE_THREADS
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="exprd-call"),
            interceptors=self._interceptors(),
            options=grpc_options(settings),
            maximum_concurrent_rpcs=threads,
            compression=grpc.Compression.NoCompression,
        )
        self._health = health.HealthServicer()
        self._add_services(self._tenants.each()[0][1], self._server)
        self._add_others()

    def start(self) -> str:
        """Binds and serves; the target that clients connect to.

        Raises:
            CallError: the address is malformed, or not local without `insecure`.
            OSError: the address is taken.
        """
        address = parse_address(self._settings.listen)
        check_exposure(address, self._settings)
        if address.path:
            self._closing.enter_context(SocketOwner(address.path))
        port = self._bind(address)
        if address.path:
            os.chmod(address.path, 0o600)  # noqa: PTH101 - a socket, not a file
            self._doorbell.start(address.path)
        else:
            address = address.on_port(port)
        self._poll.start()
        self._closing.callback(self._poll.close)
        self._server.start()
        self._set_health(health_pb2.HealthCheckResponse.SERVING)
        threading.Thread(target=self._sweep, name="exprd-sweep", daemon=True).start()
        self._log.info("serving", target=address.target, incarnation=self._engine.incarnation)
        return address.target

    def drain(self, wait: Callable[[float], bool]) -> bool:
        """Says NOT_SERVING and gives load balancers the time to notice; what `wait` says."""
        self._log.info("draining")
        self._health.enter_graceful_shutdown()
        return wait(self._settings.drain_seconds)

    def stop(self, grace: float | None = None) -> None:
        """Refuses new calls, waits for running ones up to the grace, ends the engine.

        Raises:
            LimitExceeded: the disk does not take what was answered before it was written.
        """
        self._ended.set()
        self._health.enter_graceful_shutdown()
        seconds = self._settings.grace_seconds if grace is None else grace
        self._boundary.refuse()
        time.sleep(_REFUSAL_SECONDS)
        stopping = self._server.stop(seconds)
        for _, tenant in self._tenants.each():
            tenant.sessions.end()
        self._doorbell.close(seconds)
        stopping.wait()
        with contextlib.ExitStack() as ends:  # each has its turn, whatever another raises
            ends.callback(self._closing.close)
            for _, tenant in self._tenants.each():
                ends.callback(tenant.engine.close)
                tenant.engine.cancel_all()
        self._log.info("stopped")

    def hurry(self) -> None:
        """Breaks the calls off that a running `stop` still waits for."""
        for _, tenant in self._tenants.each():
            tenant.engine.cancel_all()
        self._server.stop(0)

    def _bind(self, address: Address) -> int:
        end = time.monotonic() + _PORT_SECONDS
        while True:
            try:
                return self._add(address)
            except CallError:
                self._closing.close()
                raise
            except RuntimeError:
                if address.path or time.monotonic() > end:
                    self._closing.close()
                    target = address.target
                    raise OSError(f"cannot listen on {target}; is another server there?") from None
            time.sleep(_PORT_PAUSE)

    def _add(self, address: Address) -> int:
        tls = self._settings.tls
        # A Unix socket is guarded by its file mode; nothing on it can be overheard.
        if tls is None or address.path:
            return self._server.add_insecure_port(address.target)
        return self._server.add_secure_port(address.target, server_credentials(tls, self._log))

    def _interceptors(self) -> list[grpc.ServerInterceptor]:
        gate = [] if self._tokens is None else [Gate(self._tokens, self._tenants)]
        return [*self._meter(), self._boundary, *gate]

    def _meter(self) -> list[grpc.ServerInterceptor]:
        """The interceptor that counts, and the page that shows it; none unless asked for."""
        if not self._settings.metrics:
            return []
        metrics = Metrics(self._tenants, self._settings.calls, self._waiting, self._log)
        metrics.registry.register(DoorbellMetrics(self._doorbell))
        page = MetricsPage(metrics, self._settings.metrics)
        self._closing.callback(page.close)
        self._log.info("metrics", url=page.url)
        return [Meter(metrics)]

    def _tenant(self, engine: LocalEngine, settings: Settings) -> Tenant:
        sessions = SessionTable(engine, settings, self._log)
        return Tenant(engine=engine, sessions=sessions, settings=settings)

    def _made(self, namespace: str) -> Tenant:
        assert self._tokens is not None  # without them there is one namespace alone
        if self._make is None:
            raise CallError(f"this server has no namespace {namespace!r}")
        limits = self._tokens.current().limits(namespace, self._settings.limits)
        settings = replace(self._settings, limits=limits)
        self._log.info("namespace opened", namespace=namespace)
        return self._tenant(self._make(namespace, settings), settings)

    def _add_services(self, tenant: Tenant, server: Any) -> None:
        engine, settings = tenant.engine, tenant.settings
        reader = GraphReader(settings.limits, self._readers, settings.workers.seconds)
        wire.add_CompilerServiceServicer_to_server(
            service.CompilerService(engine, settings, reader), server
        )
        wire.add_ExecutorServiceServicer_to_server(
            service.ExecutorService(engine, settings, tenant.sessions, self._doorbell, self._log),
            server,
        )
        wire.add_DataServiceServicer_to_server(service.DataService(engine, settings), server)
        wire.add_StateServiceServicer_to_server(service.StateService(engine, settings), server)
        wire.add_AdminServiceServicer_to_server(
            service.AdminService(engine, settings, self._targets), server
        )

    def _add_others(self) -> None:
        server = self._server
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)

    def _set_health(self, status: Any) -> None:
        for name in ("", *SERVICES):
            self._health.set(name, status)

    def _sweep(self) -> None:
        while not self._ended.wait(self._settings.sweep_seconds):
            for namespace, tenant in self._tenants.each():
                self._collect(namespace, tenant.engine)

    def _collect(self, namespace: str, engine: LocalEngine) -> None:
        """Frees what lapsed clients held; what fails, on a full disk say, is tried again."""
        try:
            lapsed = engine.collect()
        except Exception as error:
            self._log.error("leases are not collected", namespace=namespace, exc_info=error)
            return
        for client_id in lapsed:
            self._log.info("lease lapsed", client_id=client_id, namespace=namespace)


def check_exposure(address: Address, settings: Settings) -> None:
    """Returns if an address may be listened on: whoever reaches it is known, and not overheard.

    Raises:
        CallError: other machines reach it, and calls are not encrypted or callers not asked.
    """
    tls = settings.tls
    asked = settings.tokens is not None or (tls is not None and tls.client_ca is not None)
    if address.local or settings.insecure or (tls is not None and asked):
        return
    missing = "calls are not encrypted" if tls is None else "callers are not asked who they are"
    raise CallError(
        f"{settings.listen} can be reached from other machines, and {missing}",
        hint="give --tls-cert, --tls-key and --tokens, listen on a local address,"
        " or say --insecure",
    )


def serve_until_signalled(server: Server, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal stops at once."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    keep_freed_memory()
    checksums.install()
    threading.stack_size(_STACK_BYTES)
    with Signals() as signals:
        announce(server.start())
        signals.wait()
        hurried = server.drain(signals.wait)
        # The stop runs beside this thread, which alone can notice the second signal.
        with ThreadPoolExecutor(1, "exprd-stop") as pool:
            stopping = pool.submit(server.stop)
            while not stopping.done() and not hurried:
                hurried = signals.wait(_JOIN_SECONDS)
            if hurried:
                server.hurry()
        stopping.result()
