"""The page of metrics, names of requests in the log, pauses before a retry."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from prometheus_client.parser import text_string_to_metric_families

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_server.interceptors import _rich
from exprd_server.metrics import Metrics, MetricsPage
from exprd_server.statuses import status_of
from exprd_server.tenants import Tenants
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle


def events(server: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()]


def scrape(server: Any) -> dict[str, float]:
    """The samples of the page by name and labels."""
    url = next(event["url"] for event in events(server) if event["event"] == "metrics")
    with urllib.request.urlopen(url, timeout=10) as reply:
        text = reply.read().decode()
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def metered(start_server, tmp_path):
    flags = ("--metrics", "127.0.0.1:0", "--log-level", "debug")
    return start_server("--listen", f"unix://{tmp_path}/s.sock", *flags)


def test_the_page_tells_what_was_done_and_is_held(metered):
    with grpc.insecure_channel(metered.target) as channel:
        client = Client(channel)
        w = client.variable(1.0)
        for _ in range(2):
            handle = client.compile(bundle(graphs.counter()), w).handle
        for _ in range(3):
            call_id = client.next_id()
            client.call(handle, 2.0, call_id=call_id)
        client.call(handle, 2.0, call_id=call_id)  # an answer that is repeated is no commit
        with pytest.raises(grpc.RpcError):
            client.execute("fn-none", 2.0)
        found = scrape(metered)
    assert found["exprd_compilations_total['hit']"] == 1
    assert found["exprd_compilations_total['miss']"] == 1
    assert found["exprd_commits_total[]"] == 3
    assert found["exprd_calls_total['ExecutorService/Execute', 'OK']"] == 4
    assert found["exprd_calls_total['ExecutorService/Execute', 'NOT_FOUND']"] == 1
    assert found["exprd_call_seconds_count['ExecutorService/Execute']"] == 5
    assert found["exprd_stage_seconds_count['execute']"] == 3
    assert found["exprd_functions['default']"] == found["exprd_variables['default']"] == 1
    assert found["exprd_buffers['default']"] == found["exprd_published['default']"] == 0
    assert found["exprd_rested_seconds_total[]"] == 0  # who is alone rests for nobody
    assert found["exprd_calls_running[]"] == found["exprd_compile_queue[]"] == 0
    assert found["exprd_call_places[]"] == 192
    assert found["exprd_received_bytes_total[]"] > 500
    assert found["exprd_sent_bytes_total[]"] > 500
    assert found["process_resident_memory_bytes[]"] > 1 << 20
    assert metered.stop() == 0


def test_failures_within_other_calls_are_counted_by_code(metered):
    with grpc.insecure_channel(metered.target) as channel:
        client = Client(channel)
        calls = [wire.ExecuteRequest(handle="fn-none", call_id=wire.CallId(seq=i)) for i in (1, 2)]
        frames = [wire.SessionRequest(client_id="a"), wire.SessionRequest(calls=calls)]
        replies = [*client.executor.Session(iter(frames), timeout=10)]
        assert sum(len(reply.outcomes) for reply in replies) == 2
        found = scrape(metered)
    assert found["exprd_inner_failures_total['NOT_FOUND']"] == 2
    assert found["exprd_calls_total['ExecutorService/Session', 'OK']"] == 1
    assert metered.stop() == 0


def test_a_request_is_found_in_the_log_by_its_name(metered):
    with grpc.insecure_channel(metered.target) as channel:
        admin = wire.AdminServiceStub(channel)
        metadata = (("x-request-id", "mine-" + "x" * 100),)
        admin.GetInfo(wire.GetInfoRequest(), metadata=metadata)
        with pytest.raises(grpc.RpcError):
            admin.GetInfo(wire.GetInfoRequest(client_id="a b"), metadata=metadata)
        with pytest.raises(grpc.RpcError):
            admin.GetInfo(wire.GetInfoRequest(client_id="a b"))
    found = [event for event in events(metered) if "request_id" in event]
    assert [event["request_id"][:5] for event in found[:2]] == ["mine-", "mine-"]
    assert {len(event["request_id"]) for event in found[:2]} == {64}
    assert len(found[2]["request_id"]) == 16  # drawn, since the caller gave none
    assert [event["event"] for event in found] == ["call", "refused", "refused"]
    assert metered.stop() == 0


def test_a_full_server_says_when_to_try_again():
    error = LimitExceeded("full", fields={"limit": "calls", "retry_after_ms": "1050"})
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in _rich(status_of(error)).details)
    assert retry.retry_delay.ToMilliseconds() == 1050
    plain = _rich(status_of(LimitExceeded("too large", fields={"limit": "rank"})))
    assert not any(detail.Unpack(retry) for detail in plain.details)


def test_the_page_is_for_this_machine_alone():
    metrics = Metrics(Tenants(None, None, None), 1)  # type: ignore[arg-type]
    for listen in ("0.0.0.0:0", "unix:///tmp/x", "example.org:1"):
        with pytest.raises(CallError, match="for this machine alone"):
            MetricsPage(metrics, listen)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_the_page_has_an_address_of_ipv6_too():
    metrics = Metrics(Tenants(None, None, None), 1)  # type: ignore[arg-type]
    page = MetricsPage(metrics, "[::1]:0")
    assert page.url.startswith("http://[::1]:")
    page.close()
