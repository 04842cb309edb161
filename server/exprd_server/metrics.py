"""Metrics: what a server did and holds, as Prometheus reads it from a page on this machine.

Invariant: knows no gRPC and asks nothing of the engine but counts. Names and units follow
Prometheus: seconds, bytes, totals.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_server.address import Address, parse_address
from exprd_server.answers import Answer

if TYPE_CHECKING:
    from exprd_server.log import Logger
    from exprd_server.tenants import Tenants

_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class CountingLog:
    """A log that counts, by code, the calls within others that failed. Thread safe.

    Calls of a session, a batch, a repetition or the doorbell have no status of their own that an
    interceptor could see; but each that fails is noted in the log, under the method ``call``.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self.debug = log.debug
        self.warning = log.warning
        self.is_enabled_for = log.is_enabled_for

    def info(self, event: str, **facts: Any) -> Any:
        """Writes an event of level info."""
        self._count(facts)
        return self._log.info(event, **facts)

    def error(self, event: str, **facts: Any) -> Any:
        """Writes an event of level error."""
        self._count(facts)
        return self._log.error(event, **facts)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The counts of this moment."""
        family = CounterMetricFamily(
            "exprd_inner_failures",
            "failed calls of sessions, batches, repetitions and the doorbell",
            labels=["code"],
        )
        with self._lock:
            failures = [*self._failures.items()]
        for code, count in failures:
            family.add_metric([code], count)
        yield family

    def _count(self, facts: Mapping[str, Any]) -> None:
        if facts.get("method") == "call":
            with self._lock:
                self._failures[facts["code"]] += 1


class Metrics:
    """The metrics of one server. Thread safe.

    Args:
        tenants: whose holdings are told.
        places: how many calls are handled at a time.
        waiting: tells how many compilations wait for a worker.
        log: the server's log, if it counts.
    """

    def __init__(
        self,
        tenants: Tenants,
        places: int,
        waiting: Callable[[], int] | None = None,
        log: Logger | None = None,
    ) -> None:
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        prometheus.GCCollector(registry=self.registry)
        self._calls = self._histogram("exprd_call_seconds", "time of calls", "method")
        self._stages = self._histogram("exprd_stage_seconds", "time of stages of calls", "stage")
        self._codes = self._counter("exprd_calls", "calls by outcome", "method", "code")
        self._compilations = self._counter("exprd_compilations", "functions asked for", "cache")
        self.commits = self._counter("exprd_commits", "calls that changed shared variables")
        self.received = self._counter("exprd_received_bytes", "bytes of requests")
        self.sent = self._counter("exprd_sent_bytes", "bytes of answers")
        self.running = self._gauge("exprd_calls_running", "calls that are handled now")
        self._gauge("exprd_call_places", "calls that are handled at a time").set(places)
        queue = self._gauge("exprd_compile_queue", "compilations that wait for a worker")
        queue.set_function(waiting or (lambda: 0))
        self.registry.register(_Holdings(tenants))
        self.registry.register(_Rests(tenants))
        if isinstance(log, CountingLog):
            self.registry.register(log)

    def called(self, method: str, code: str, seconds: float) -> None:
        """Counts a call that has ended; the method by its short name."""
        self._calls.labels(method).observe(seconds)
        self._codes.labels(method, code).inc()

    def answered(self, message: object) -> None:
        """Counts what an answer tells: stages, commits, hits of the cache."""
        read = _READERS.get(type(message))
        if read is not None:
            read(self, message)

    def told(self, answer: Answer) -> None:
        """Counts what an answer tells that is bytes already."""
        for stage, seconds in answer.timings:
            self._stages.labels(stage).observe(seconds)
        if answer.commits:
            self.commits.inc(answer.commits)

    def staged(self, timings: Iterable[wire.StageTiming]) -> None:
        """Counts the time of stages."""
        for timing in timings:
            self._stages.labels(timing.stage).observe(timing.seconds)

    def compiled(self, *, hit: bool) -> None:
        """Counts a function that was asked for."""
        self._compilations.labels("hit" if hit else "miss").inc()

    def _histogram(self, name: str, text: str, *labels: str) -> prometheus.Histogram:
        return prometheus.Histogram(name, text, labels, buckets=_BUCKETS, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> prometheus.Gauge:
        return prometheus.Gauge(name, text, registry=self.registry)


class _Holdings:
    """What each namespace holds, asked at each visit of the page."""

    _KINDS = ("functions", "variables", "buffers", "published")

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges of this moment."""
        rows = [
            (namespace, _held(tenant.engine.usage(), len(tenant.engine.published)))
            for namespace, tenant in self._tenants.each()
        ]
        for kind in self._KINDS:
            family = GaugeMetricFamily(
                f"exprd_{kind}", f"{kind} that are kept", labels=["namespace"]
            )
            for namespace, held in rows:
                family.add_metric([namespace], held[kind])
            yield family


class _Rests:
    """How long clients have rested for others; all namespaces have one throttle."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The count of this moment."""
        throttle = self._tenants.each()[0][1].engine.throttle
        text = "time for which busy clients rested for others"
        yield CounterMetricFamily("exprd_rested_seconds", text, throttle.rested)


def _held(usage: Any, published: int) -> Mapping[str, int]:
    return {
        "functions": usage.functions,
        "variables": usage.variables,
        "buffers": usage.buffers,
        "published": published,
    }


def _read_compiled(metrics: Metrics, message: wire.CompileResponse) -> None:
    metrics.compiled(hit=message.cache_hit)
    if not message.cache_hit:  # the timings of a known function are those of its first time
        metrics.staged(message.timings)


def _read_compiled_bytes(metrics: Metrics, message: bytes) -> None:
    """Reads the only answer that is bytes and not an `Answer`."""
    _read_compiled(metrics, wire.CompileResponse.FromString(message))


def _read_executed(metrics: Metrics, message: wire.ExecuteResponse) -> None:
    if not message.replayed:
        metrics.staged(message.timings)
        if message.versions:
            metrics.commits.inc()


def _read_set(metrics: Metrics, message: wire.StateServiceSetResponse) -> None:
    if not message.replayed:
        metrics.commits.inc()


def _read_repeated(metrics: Metrics, message: wire.RepeatResponse) -> None:
    if message.HasField("result"):
        _read_executed(metrics, message.result.response)


_READERS: Final[Mapping[type[Any], Callable[[Metrics, Any], None]]] = MappingProxyType(
    {
        bytes: _read_compiled_bytes,
        Answer: Metrics.told,
        wire.StateServiceSetResponse: _read_set,
        wire.RepeatResponse: _read_repeated,
    }
)


def page_address(listen: str) -> Address:
    """Where a page of metrics may be.

    Raises:
        CallError: the address is not one of this machine alone.
    """
    address = parse_address(listen)
    if address.path or not address.local:
        raise CallError(
            f"the page of metrics is for this machine alone, not for {listen}",
            hint="listen on 127.0.0.1 and have a collector on this machine read it",
        )
    return address


class MetricsPage:
    """The page that Prometheus reads, until `close`.

    Args:
        metrics: what it shows.
        listen: ``host:port`` on this machine; port 0 takes a free one.

    Raises:
        CallError: the address is not one of this machine alone.
        OSError: it is taken.
    """

    def __init__(self, metrics: Metrics, listen: str) -> None:
        address = page_address(listen)
        self._server, self._thread = prometheus.start_http_server(
            address.port, addr=address.host.strip("[]"), registry=metrics.registry
        )
        self.url = f"http://{address.host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Ends the page."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
