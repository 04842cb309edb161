"""Tokens, scopes and namespaces: the table of methods, the file, and a real server."""

from __future__ import annotations

import hashlib
import uuid

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

import exprd_proto as wire
from exprd_compiler.errors import CallError, PermissionDenied, Unauthenticated
from exprd_proto.arrays import array_to_wire
from exprd_proto.channels import Access, open_channel
from exprd_server import auth
from exprd_server.auth import ANY, METHODS, OPEN, SCOPES, Grant, TokenFile, read_tokens
from exprd_server.cli import main
from exprd_server.settings import Limits
from tests.server import graphs
from tests.server.conftest import Client
from tests.server.wire import bundle

FILE = """
[[token]]
token = "everything-in-default"

[[token]]
token = "alice-may-do-everything"
namespace = "alice"

[[token]]
sha256 = "{bob}"
namespace = "bob"

[[token]]
token = "alice-some-time-ago"
namespace = "alice"
expires = 2001-01-01T00:00:00Z

[namespace.bob]
variables = 2
"""
BOB = "bob-may-do-everything"
ALICE = "alice-may-do-everything"
OURS = [
    method
    for service in wire.SERVICE_DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def path_of(method) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def file_of(folder, text):
    path = folder / "tokens.toml"
    path.write_text(text)
    return path


class Log:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.events = []

    def info(self, event, **facts):
        self.events.append(event)

    debug = warning = error = info


# ---- the table
def test_every_method_has_a_scope_and_no_other_is_named():
    ours = {path_of(method) for method in OURS}
    assert ours == {path for path in METHODS if path.startswith("/exprd.")}
    assert set(METHODS.values()) <= {*SCOPES, ANY, OPEN}
    assert not {path for path in ours if METHODS[path] == OPEN}


def test_a_method_without_a_scope_is_for_nobody():
    everything = Grant(namespace="x", scopes=frozenset(SCOPES))
    with pytest.raises(PermissionDenied, match="does not allow Invented; nobody may call it"):
        everything.check("/exprd.v1.AdminService/Invented")


# ---- the file
def test_a_token_stands_for_a_namespace_and_scopes(tmp_path):
    text = FILE.format(bob=hashlib.sha256(BOB.encode()).hexdigest())
    tokens = TokenFile(file_of(tmp_path, text), Log())
    assert tokens.grant(f"Bearer {ALICE}").namespace == "alice"
    assert tokens.grant(f"bearer {BOB}").scopes == frozenset(SCOPES)
    for wrong in ("", ALICE, "Basic abc", f"Bearer {ALICE}x", "Bearer "):
        with pytest.raises(Unauthenticated):
            tokens.grant(wrong)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.grant("Bearer alice-some-time-ago")
    assert tokens.current().limits("bob", Limits()) == Limits(variables=2)
    assert tokens.current().limits("alice", Limits(rank=3)) == Limits(rank=3)


def test_a_changed_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path):
    path = file_of(tmp_path, '[[token]]\ntoken = "the-first-token-of-all"\n')
    log = Log()
    tokens = TokenFile(path, log)
    path.write_text('[[token]]\ntoken = "the-second-token-of-all"\n')
    assert tokens.grant("Bearer the-second-token-of-all").namespace == "default"
    with pytest.raises(Unauthenticated):
        tokens.grant("Bearer the-first-token-of-all")
    path.write_text("[[token]\n half written")
    assert tokens.grant("Bearer the-second-token-of-all")
    path.unlink()
    assert tokens.grant("Bearer the-second-token-of-all")
    assert log.events == ["tokens reloaded", "tokens stay as they were"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "is no TOML"),
        ("[tokens]", "unknown table 'tokens'"),
        ("token = 3", "written as"),
        ("token = [3]", "written as"),
        ("[namespace]\na = 3", "quotas are"),
        ('[[token]]\ntoken = "secret-secret-secret"\nscopes = [["x"]]', "scopes are some of"),
        ('[[token]]\nname = "x"', "token 1: unknown key 'name'"),
        ("[[token]]", "either token or sha256"),
        ('[[token]]\ntoken = "secret-secret-secret"\nsha256 = ""', "either token or sha256"),
        ('[[token]]\ntoken = "short-secret"', "16 characters"),
        ("[[token]]\ntoken = 5", "16 characters"),
        ('[[token]]\nsha256 = "abc"', "64 hexadecimal"),
        ('[[token]]\ntoken = "secret-secret-secret"\nscopes = ["root"]', "scopes are some of"),
        ('[[token]]\ntoken = "secret-secret-secret"\nscopes = "admin"', "scopes are some of"),
        ('[[token]]\ntoken = "secret-secret-secret"\nnamespace = "../x"', "a namespace is"),
        ('[[token]]\ntoken = "secret-secret-secret"\nexpires = "soon"', "expires is a date"),
        ('[[token]]\ntoken = "secret-secret-secret"\nexpires = 2030-01-01T00:00:00', "its zone"),
        ("[namespace.a]\nrank = 3", "quotas are"),
        ("[namespace.a]\nbuffers = -1", "whole numbers"),
        ("[namespace.a]\nbuffers = true", "whole numbers"),
    ],
)
def test_a_bad_file_is_refused_without_telling_a_token(tmp_path, text, said):
    with pytest.raises(CallError, match=said) as caught:
        read_tokens(file_of(tmp_path, text))
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CallError, match="cannot be read"):
        TokenFile(tmp_path / "none", Log())


def test_all_tokens_are_compared_whichever_is_right(tmp_path, monkeypatch):
    compared = []

    def compare(a, b):
        compared.append(a)
        return a == b

    rows = "".join(f'[[token]]\ntoken = "a-token-with-number-{i}"\n' for i in range(5))
    tokens = read_tokens(file_of(tmp_path, rows))
    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    tokens.grant("a-token-with-number-0", 0.0)
    assert len(compared) == 5


# ---- a server
@pytest.fixture(scope="module")
def guarded(child_env, tmp_path_factory):
    """A server with tokens, one for each set of all scopes but one."""
    from tests.server.conftest import ServerProcess

    folder = tmp_path_factory.mktemp("guarded")
    text = FILE.format(bob=hashlib.sha256(BOB.encode()).hexdigest())
    for scope in SCOPES:
        rest = [s for s in SCOPES if s != scope]
        text += f'\n[[token]]\ntoken = "everything-without-{scope}"\nscopes = {rest}\n'
        text += f'\n[[token]]\ntoken = "nothing-besides-{scope}"\nscopes = ["{scope}"]\n'
    path = file_of(folder, text)
    process = ServerProcess(
        child_env,
        folder / "log",
        *("--listen", f"unix://{folder}/s.sock", "--tokens", str(path), "--reflection"),
    )
    yield process
    assert process.stop() == 0


def code_of(channel: grpc.Channel, method) -> grpc.StatusCode:
    """What an empty request gets."""
    kind = f"{'stream' if method.client_streaming else 'unary'}"
    kind += f"_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(path_of(method))
    request = iter([b""]) if method.client_streaming else b""
    try:
        reply = call(request, timeout=10)
        if method.server_streaming:
            list(reply)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def expected(method) -> dict[str, grpc.StatusCode | None]:
    """By token the code of a refusal, or None for a token that opens the method."""
    scope = METHODS[path_of(method)]
    out: dict[str, grpc.StatusCode | None] = dict.fromkeys(
        ("", "an-invented-token", "alice-some-time-ago"), grpc.StatusCode.UNAUTHENTICATED
    )
    out |= dict.fromkeys((ALICE, "everything-in-default"))
    for other in SCOPES:
        beside, without = f"nothing-besides-{other}", f"everything-without-{other}"
        opens = scope in (ANY, other)
        out[beside] = None if opens else grpc.StatusCode.PERMISSION_DENIED
        out[without] = grpc.StatusCode.PERMISSION_DENIED if scope == other else None
    return out


def test_who_may_call_what(guarded, figure):
    """Every method with every token: refused as the table says, or not refused for its token."""
    refusals = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    found: dict[tuple[str, str], grpc.StatusCode | None] = {}
    wanted = {(path_of(m), t): code for m in OURS for t, code in expected(m).items()}
    for token in sorted({token for _, token in wanted}):
        with open_channel(guarded.target, Access(token=token)) as channel:
            for method in OURS:
                code = code_of(channel, method)
                found[path_of(method), token] = code if code in refusals else None
    wrong = {case: code for case, code in found.items() if code is not wanted[case]}
    assert not wrong
    figure("auth", methods=len(OURS), cases=len(found), wrong=len(wrong))


def test_two_tokens_are_none(guarded):
    with grpc.insecure_channel(guarded.target) as channel:
        metadata = (("authorization", f"Bearer {ALICE}"),) * 2
        with pytest.raises(grpc.RpcError) as caught:
            wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_needs_no_token_and_reflection_does(guarded):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with grpc.insecure_channel(guarded.target) as channel:
        status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert status.status == health_pb2.HealthCheckResponse.SERVING
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(asked, timeout=10))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_an_unknown_method_is_unknown(guarded):
    with open_channel(guarded.target, Access(token=ALICE)) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/exprd.v1.AdminService/Invented")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def tenants(guarded):
    """A client of alice and one of bob, with the same client_id."""
    with (
        open_channel(guarded.target, Access(token=ALICE)) as first,
        open_channel(guarded.target, Access(token=BOB)) as second,
    ):
        name = uuid.uuid4().hex
        alice, bob = Client(first, name), Client(second, name)
        yield alice, bob
        for client in (alice, bob):
            client.admin.EndLease(wire.EndLeaseRequest(client_id=name))


def not_found(call, *args, **facts) -> bool:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **facts)
    return caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_nobody_names_what_belongs_to_another_namespace(tenants):
    alice, bob = tenants
    w = alice.variable(2.0)
    handle = alice.compile(bundle(graphs.counter()), w).handle
    buffer = alice.put(np.arange(3.0)).handle
    form = wire.CallForm(inputs=[wire.InputForm(name="x")], outputs=1)
    publish = wire.PublishRequest(client_id=alice.client_id, name="f", handle=handle, form=form)
    alice.compiler.Publish(publish)
    assert not_found(bob.value, w)
    assert not_found(bob.execute, handle, 1.0, call_id=bob.next_id())
    assert not_found(bob.compile, bundle(graphs.counter()), w)
    assert not_found(bob.compiler.Lookup, wire.LookupRequest(client_id=bob.client_id, name="f"))
    gone = bob.data.Release(wire.DataServiceReleaseRequest(handles=[buffer]))
    assert (gone.released, gone.unknown) == (0, 1)
    assert not bob.compiler.ListFunctions(wire.ListFunctionsRequest()).functions
    assert not bob.state.List(wire.StateServiceListRequest()).variables
    assert alice.call(handle, 1.0, call_id=alice.next_id()) == [2.0]


def test_equal_functions_and_numbers_of_calls_do_not_meet(tenants):
    alice, bob = tenants
    shared = str(uuid.uuid4())
    for client, value in ((alice, 1.0), (bob, 100.0)):
        client.variable(value, uuid=shared)
        handle = client.compile(bundle(graphs.counter()), shared).handle
        assert client.call(handle, 5.0, call_id=client.next_id()) == [value]
    bob.admin.EndLease(wire.EndLeaseRequest(client_id=bob.client_id))
    assert alice.value(shared) == 6.0


def test_a_namespace_has_its_quota(tenants):
    alice, bob = tenants
    for client in (alice, bob):
        client.variable(1.0)
        client.variable(2.0)
    alice.variable(3.0)
    with pytest.raises(grpc.RpcError, match="keeps 2 shared variables already"):
        bob.variable(3.0)
    info = bob.admin.GetInfo(wire.GetInfoRequest())
    assert (info.limits.variables, info.variables) == (2, 2)


def test_an_array_of_another_namespace_is_no_input(tenants):
    alice, bob = tenants
    buffer = alice.put(np.arange(3.0)).handle
    value = wire.VariableValue(buffer=buffer)
    request = wire.StateServiceCreateRequest(client_id=bob.client_id, value=value)
    assert not_found(bob.state.Create, request)
    assert not_found(
        bob.state.Set,
        wire.StateServiceSetRequest(
            uuid=alice.variable(1.0), value=wire.VariableValue(array=array_to_wire(np.ones(())))
        ),
    )


def test_a_namespace_keeps_its_state(start_server, tmp_path):
    text = FILE.format(bob=hashlib.sha256(BOB.encode()).hexdigest())
    reader = 'namespace = "alice"\nscopes = ["state"]\n'
    text += f'[[token]]\ntoken = "alice-may-read-and-write"\n{reader}'
    flags = ("--listen", f"unix://{tmp_path}/s.sock", "--state", str(tmp_path / "state"))
    flags += ("--tokens", str(file_of(tmp_path, text)))
    first = start_server(*flags)
    durable = wire.Durability.DURABILITY_DURABLE
    with open_channel(first.target, Access(token=ALICE)) as channel:
        name = Client(channel).variable(5.0, name="kept", durability=durable)
    assert first.stop() == 0
    assert (tmp_path / "state" / "namespaces" / "alice").is_dir()
    second = start_server(*flags)
    with open_channel(second.target, Access(token=ALICE)) as channel:
        assert Client(channel).value(name) == 5.0
    with open_channel(second.target, Access(token="everything-in-default")) as channel:
        assert not_found(Client(channel).value, name)
    listed = ["state", "ls", "--target", second.target, "--token"]
    done = CliRunner().invoke(main, [*listed, "alice-may-read-and-write"])
    assert (done.exit_code, "  kept  " in done.stdout) == (0, True), done.output
    assert done.stderr == (
        "checkpoints are not shown: this token does not allow ListCheckpoints;"
        " it needs the scope admin\n"
    )
    assert CliRunner().invoke(main, [*listed, "everything-in-default"]).output == ""
