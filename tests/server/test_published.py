"""Published functions of a server process: restarts, leases, the command line."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from click.testing import CliRunner, Result

import exprd_proto as wire
from exprd_compiler.errors import CallError, Conflict, LimitExceeded, UnknownHandle
from exprd_compiler.ir.type import TensorType
from exprd_server import naming
from exprd_server.cli import main
from exprd_server.outline import outline_of
from exprd_server.published import PublishedTable
from exprd_server.settings import Limits
from exprd_server.store import MemoryStore
from exprd_server.values import CompileChoices, FunctionSignature, Parameter
from exprd_server.versions import PublishCall, Version, read_version, version_bytes
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

FORM = wire.CallForm(
    inputs=[wire.InputForm(name="x")], outputs=1, layout=wire.CallForm.LAYOUT_SINGLE
)


def publish(client: Client, name: str, handle: str, **facts) -> wire.PublishedFunction:
    facts = {"form": FORM, **facts}
    request = wire.PublishRequest(client_id=client.client_id, name=name, handle=handle, **facts)
    return client.compiler.Publish(request).function


def look(client: Client, name: str, **facts) -> wire.PublishedFunction:
    request = wire.LookupRequest(client_id=client.client_id, name=name, **facts)
    return client.compiler.Lookup(request).function


def code(call, *args, **facts) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **facts)
    return caught.value.code()


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


# ---- what a store gets
def test_a_version_is_read_as_it_was_written():
    version = Version(
        name="f",
        version=3,
        handle="fn-1",
        doc="Ünïcode.",
        form=bytes(range(256)),
        publisher="c",
        created=1.5,
        graph="graph",
        bindings=("u",),
        choices=CompileChoices(excluding=("a",), settings=(("a.b", "c"),)),
        signature=FunctionSignature(
            inputs=(Parameter(name="x", type=TensorType("float32", (None, 1))),),
            outputs=(),
            shared=(Parameter(name="w", type=TensorType("int8", ()), variable="u"),),
            updated=(0,),
        ),
    )
    assert read_version(version_bytes(version)) == version


# ---- over the wire
def test_it_outlives_the_lease_of_its_publisher(server):
    with grpc.insecure_channel(server.target) as channel:
        publisher, other = Client(channel), Client(channel)
        w = publisher.variable(1.0, name="total")
        spare = publisher.variable(1.0)
        handle = publisher.compile(bundle(graphs.counter()), w).handle
        info = publish(publisher, "outlives", handle)
        assert info.publisher == publisher.client_id[:8]  # the whole id opens a lease
        publisher.admin.EndLease(wire.EndLeaseRequest(client_id=publisher.client_id))
        assert code(other.value, spare) is grpc.StatusCode.NOT_FOUND
        found = look(other, "outlives")
        assert other.call(found.handle, 2.0, call_id=other.next_id()) == [1.0]
        assert other.value(w) == 3.0
        # Deleting what is published is put off, not refused.
        gone = other.state.Delete(wire.StateServiceDeleteRequest(uuids=[w]))
        assert (gone.deleted, other.value(w)) == (1, 3.0)
        other.compiler.Unpublish(wire.UnpublishRequest(client_id=other.client_id, name="outlives"))
        assert code(other.value, w) is grpc.StatusCode.NOT_FOUND
        other.admin.EndLease(wire.EndLeaseRequest(client_id=other.client_id))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"name": "a\nb"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"handle": "fn-none"}, grpc.StatusCode.NOT_FOUND),
        ({"form": wire.CallForm()}, grpc.StatusCode.INVALID_ARGUMENT),
        (
            {"form": wire.CallForm(inputs=[{"name": "x"}], outputs=9)},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            {"form": wire.CallForm(inputs=[{"name": "x"}], outputs=1, layout=77)},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            {"form": wire.CallForm(inputs=[{"name": "x"}], outputs=1, layout=3)},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            {"form": wire.CallForm(inputs=[{"name": "x", "default": {"shape": [5]}}], outputs=1)},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ({"labels": ["a"] * 65}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"labels": [" a"]}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"doc": "x" * 65_537}, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ({"client_id": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_bad_wishes_are_refused(client, facts, expected):
    handle = client.compile(bundle(graphs.chain(1))).handle
    wish = {"client_id": client.client_id, "name": "bad", "handle": handle, "form": FORM, **facts}
    assert code(client.compiler.Publish, wire.PublishRequest(**wish)) is expected
    assert code(look, client, "bad") is grpc.StatusCode.NOT_FOUND


def test_pages_are_in_order_of_name_and_number(client):
    handles = [client.compile(bundle(graphs.chain(n))).handle for n in range(1, 4)]
    wanted = []
    for name in ("page-b", "page-a"):
        wanted += [(name, publish(client, name, handle).version) for handle in handles]
    found, token = [], ""
    while True:
        request = wire.ListFunctionsRequest(name_prefix="page-", page_size=2, page_token=token)
        reply = client.compiler.ListFunctions(request)
        assert len(reply.functions) <= 2
        found += [(x.name, x.version) for x in reply.functions]
        token = reply.next_page_token
        if not token:
            break
    assert found == sorted(wanted)


def test_it_survives_a_restart_with_its_variables(start_server, tmp_path):
    flags = ("--listen", f"unix://{tmp_path}/s.sock", "--state", str(tmp_path / "state"))
    first = start_server(*flags)
    with grpc.insecure_channel(first.target) as channel:
        client = Client(channel)
        w = client.variable(10.0, name="total")  # volatile, until it is published
        handle = client.compile(bundle(graphs.counter()), w).handle
        publish(client, "lasting", handle, labels=["stable"], doc="Adds.")
        publish(client, "lasting", client.compile(bundle(graphs.counter()), w, mode="NONE").handle)
        client.call(handle, 5.0, call_id=client.next_id())
    first.process.kill()
    first.process.wait()
    second = start_server(*flags)
    with grpc.insecure_channel(second.target) as channel:
        client = Client(channel)
        found = look(client, "lasting")
        assert (found.version, found.labels, found.doc, found.handle) == (
            1,
            ["stable"],
            "Adds.",
            handle,
        )
        assert found.form == FORM
        assert client.call(found.handle, 1.0, call_id=client.next_id()) == [15.0]
        assert look(client, "lasting", version=2).version == 2
        client.compiler.Unpublish(wire.UnpublishRequest(client_id="c", name="lasting"))
    assert second.stop() == 0
    third = start_server(*flags)
    with grpc.insecure_channel(third.target) as channel:
        client = Client(channel)
        assert code(look, client, "lasting") is grpc.StatusCode.NOT_FOUND
        handle = client.compile(bundle(graphs.chain(1))).handle
        assert publish(client, "lasting", handle).version == 3


# ---- the command line
def test_the_command_line_lists_shows_rolls_back_and_removes(server, client):
    w = client.variable(1.0, name="total")
    form = wire.CallForm(inputs=[wire.InputForm(name="x")], outputs=1)
    for mode in ("FAST_RUN", "NONE"):
        handle = client.compile(bundle(graphs.counter()), w, mode=mode).handle
        publish(client, "cli", handle, labels=["stable"], doc="Adds.", form=form)
    at = ("--target", server.target)
    rows = run("functions", "ls", "cli", *at).output.splitlines()
    assert [row.split("\t")[:3] for row in rows] == [["cli", "1", "-"], ["cli", "2", "stable"]]
    assert all(row.endswith("\t1 variables\tuntil it is taken away") for row in rows)
    assert all(f" by {client.client_id[:8]}\t" in row for row in rows)
    shown = run("functions", "show", "cli", *at).output
    assert "cli version 2 [stable]" in shown
    assert "Adds." in shown
    assert "input: x float64[]" in shown
    assert f"shared: total float64[] {w} updated" in shown
    moved = run("functions", "rollback", "cli", *at)
    assert moved.output == "stable of cli points at version 1\n", moved.output
    again = run("functions", "rollback", "cli", *at)
    assert again.exit_code == 1
    assert "no earlier version" in again.output
    assert run("functions", "rollback", "cli", "--to", "2", *at).exit_code == 0
    assert run("functions", "rm", "cli", *at).exit_code == 2
    assert run("functions", "rm", "cli", "2", "9", *at).exit_code == 1
    kept = run("state", "rm", w, *at)
    assert (kept.exit_code, kept.output) == (1, f"{w} stays until functions published with it go\n")
    gone = run("functions", "rm", "cli", "--all", *at)
    assert gone.output == "1 taken away, 0 unknown\n", gone.output
    assert "no shared variable" in run("state", "get", w, *at).output
    missing = run("functions", "show", "cli", *at)
    assert (missing.exit_code, "no such version" in missing.output) == (1, True)


def test_the_command_line_tells_who_holds_what_and_how_long(start_server, tmp_path):
    server = start_server("--listen", f"unix://{tmp_path}/s.sock", "--lease-seconds", "600")
    at = ("--target", server.target)
    with grpc.insecure_channel(server.target) as channel:
        first, second = Client(channel), Client(channel)
        w = first.variable(1.0)
        lone = first.compile(bundle(graphs.chain(2)), name="lone").handle
        shared = first.compile(bundle(graphs.counter()), w, name="shared").handle
        publish(first, "kept", shared)
        look(second, "kept")
        listed = re.sub(r"for (9|10) min", "", run("functions", "ls", "--held", *at).output)
        rows = {row.split("\t")[0]: row for row in listed.splitlines()}
        mine = f"client {first.client_id[:8]} "
        assert rows[lone] == f"{lone}\tlone\t0 variables\t{mine}"
        both = {mine, f"client {second.client_id[:8]} "}
        *facts, holders = rows[shared].split("\t")
        assert facts == [shared, "shared", "1 variables"]
        assert holders.split(", ")[0] == "kept@1 until it is taken away"
        assert set(holders.split(", ")[1:]) == both
        first.admin.EndLease(wire.EndLeaseRequest(client_id=first.client_id))
        second.admin.EndLease(wire.EndLeaseRequest(client_id=second.client_id))
        left = run("functions", "ls", "--held", *at).output
        assert left == f"{shared}\tshared\t1 variables\tkept@1 until it is taken away\n"
        run("functions", "rm", "kept", "1", *at)
        assert run("functions", "ls", "--held", *at).output == ""


def test_held_functions_come_in_pages(client):
    for n in range(11, 16):
        client.compile(bundle(graphs.chain(n)), name="paged")
    found, token = [], ""
    while True:
        request = wire.ListFunctionsRequest(
            name_prefix="paged", page_size=2, page_token=token, held=True
        )
        reply = client.compiler.ListFunctions(request)
        assert not reply.functions
        found += [x.handle for x in reply.held]
        token = reply.next_page_token
        if not token:
            break
    assert len(found) == len(set(found)) == 5
    assert found == sorted(found)
    assert all(0 < x.holders[0].seconds <= 3600 for x in reply.held)
    assert all(len(x.holders[0].client) == 8 for x in reply.held)


# ---- the table
class Refusing(MemoryStore):
    """A store that keeps no entries of one kind, as one whose disk is full just then."""

    refused = ""

    def put_entry(self, kind: str, key: str, data: bytes) -> None:
        if kind == self.refused:
            raise LimitExceeded("the disk is full")
        super().put_entry(kind, key, data)


def wish(number: int, **facts) -> PublishCall:
    return PublishCall(client_id="c", name="f", handle=f"fn-{number}", version=number, **facts)


def a_function() -> Any:
    signature = FunctionSignature(inputs=(), outputs=(), shared=(), updated=())
    info = SimpleNamespace(choices=CompileChoices(), signature=signature)
    return SimpleNamespace(outline=outline_of(graphs.chain(1)), variables=(), info=info)


def table_with(*numbers: int, store: MemoryStore | None = None) -> PublishedTable:
    table = PublishedTable(store or MemoryStore(), Limits(published=3))
    for number in numbers:
        table.add(wish(number), a_function())
    return table


def test_a_label_of_a_removed_version_goes_back():
    table = table_with(1, 2, 3)
    for number in (1, 2, 3):
        table.set_label("f", "x", number, 0)
    for number in (3, 2):
        table.remove("f", number)
    assert table.find("f", label="x").version.version == 1
    table.remove("f", 1)
    with pytest.raises(UnknownHandle):
        table.find("f", label="x")


@pytest.mark.parametrize("kind", ["published-version", "published-name"])
def test_a_publication_that_cannot_be_kept_has_not_happened(kind):
    store = Refusing()
    table = table_with(1, store=store)
    store.refused = kind
    with pytest.raises(LimitExceeded):
        table.add(wish(2, labels=("x",)), a_function())
    for there in (table, PublishedTable(store, Limits())):
        assert [v.version for v in there.versions()] == [1]
        assert there.find("f").labels == ()
    store.refused = ""
    assert table.add(wish(2), a_function())[1]


def test_what_cannot_be_written_down_changes_no_label_and_removes_nothing():
    store = Refusing()
    table = table_with(1, 2, store=store)
    table.set_label("f", "x", 1, 0)
    store.refused = "published-name"
    for change in (lambda: table.set_label("f", "x", 2, 0), lambda: table.remove("f", 1)):
        with pytest.raises(LimitExceeded):
            change()
        assert table.find("f", label="x").version.version == 1


def test_a_label_that_was_never_there_is_not_moved_back():
    with pytest.raises(UnknownHandle, match="no label 'x'"):
        table_with(1, 2).set_label("f", "x", 0, 0)


def test_a_name_has_64_labels():
    table = table_with(1, 2)
    for number in range(64):
        table.set_label("f", f"x{number}", 1, 0)
    table.set_label("f", "x0", 2, 0)
    with pytest.raises(LimitExceeded, match="64"):
        table.set_label("f", "y", 1, 0)


def test_a_function_whose_variable_is_gone_is_not_published(client):
    name = client.variable(np.ones(2))
    handle = client.compile(bundle(graphs.scale()), name).handle
    gone = wire.StateServiceDeleteRequest(client_id=client.client_id, uuids=[name])
    client.state.Delete(gone)
    facts = {"form": wire.CallForm(inputs=[wire.InputForm(name="x")], outputs=2)}
    assert code(publish, client, "gone", handle, **facts) is grpc.StatusCode.NOT_FOUND
    assert code(look, client, "gone") is grpc.StatusCode.NOT_FOUND


def test_numbers_only_ascend():
    with pytest.raises(Conflict):
        table_with(5, 4)
    assert len(table_with(5, 7)) == 2


def test_numbers_end_where_readers_have_none():
    last = (1 << 63) - 1
    table = table_with(last)
    with pytest.raises(CallError, match="no version beyond"):
        table.add(wish(0), a_function())
    with pytest.raises(CallError, match="no version beyond"):
        table_with(last + 1)
    assert [naming.published_function(x).version for x in table.page("", 9, "")[0]] == [last]


def test_arrays_as_defaults_come_back(client):
    form = wire.CallForm(outputs=1)
    item = form.inputs.add(name="x", implicit=True, strict=True)
    from exprd_proto.arrays import array_from_wire, write_array

    write_array(item.default, np.arange(3.0))
    publish(client, "defaults", client.compile(bundle(graphs.chain(1))).handle, form=form)
    found = look(client, "defaults").form
    np.testing.assert_array_equal(array_from_wire(found.inputs[0].default), np.arange(3.0))
    assert found == form
