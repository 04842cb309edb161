"""TLS of a real server: who is trusted, who is refused, certificates replaced while it runs."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import trustme

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto.channels import Access, advice, open_channel
from exprd_server.settings import TlsFiles
from exprd_server.tls import TlsReloader, read_pem

TOKEN = "a-token-for-the-tests"


class Log:
    def __init__(self):
        self.events = []

    def info(self, event, **facts):
        self.events.append(event)

    debug = warning = error = info


class Pki:
    """An authority and files of the certificates that it has issued."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str, **facts: object) -> TlsFiles:
        made = self.authority.issue_cert(*(hosts or ("127.0.0.1", "localhost")), **facts)
        files = TlsFiles(cert=self.folder / f"{name}.pem", key=self.folder / f"{name}.key")
        replace(files.cert, b"".join(blob.bytes() for blob in made.cert_chain_pems))
        replace(files.key, made.private_key_pem.bytes())
        return files


def replace(path: Path, data: bytes) -> None:
    """Puts a new file in the place of an old one at once, as those who renew certificates do."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


@pytest.fixture
def start_tls(start_server, tmp_path):
    """A function that starts a server with TLS on a free port."""

    def start(files: TlsFiles, *flags: str):
        tokens = tmp_path / "tokens.toml"
        tokens.write_text(f'[[token]]\ntoken = "{TOKEN}"\n')
        given = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
        return start_server("--listen", "127.0.0.1:0", "--tokens", str(tokens), *given, *flags)

    return start


def incarnation(target: str, **access: str) -> str:
    with open_channel(target, Access(token=TOKEN, **access)) as channel:
        return wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=10).incarnation


def refusal(target: str, **access: str) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        incarnation(target, **access)
    return caught.value.code()


def test_who_trusts_the_authority_is_served(pki, start_tls):
    server = start_tls(pki.issue("server"))
    assert incarnation(server.target, ca=pki.ca)
    assert server.stop() == 0


def test_a_server_that_cannot_be_trusted_is_not_talked_to(pki, start_tls, tmp_path, figure):
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    target = start_tls(pki.issue("server")).target
    cases = {
        "another authority": (target, Pki(tmp_path / "other").ca),
        "another host": (start_tls(pki.issue("elsewhere", "example.org")).target, pki.ca),
        "expired": (start_tls(pki.issue("old", not_after=long_ago)).target, pki.ca),
    }
    found = {name: refusal(where, ca=ca) for name, (where, ca) in cases.items()}
    assert set(found.values()) == {grpc.StatusCode.UNAVAILABLE}, found
    assert incarnation(target, ca=pki.ca)  # and serves others as before
    figure("network abuse", untrusted_certificates=len(cases), talked_to=0)


def test_calls_in_the_clear_and_old_protocols_are_refused(pki, start_tls):
    server = start_tls(pki.issue("server"))
    target = server.target
    with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
        wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=2)
    assert caught.value.code() in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    if caught.value.code() is grpc.StatusCode.UNAVAILABLE:
        assert "TLS" in advice(caught.value.details())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.ca)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    host, _, port = target.rpartition(":")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), 10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    # Strangers add nothing to the log, least of all what is no JSON.
    assert json.loads(server.log.splitlines()[-1])["event"] == "serving"


def test_clients_are_asked_for_a_certificate(pki, start_tls, tmp_path):
    stranger = Pki(tmp_path / "strangers").issue("stranger", "me@example.org")
    mine = pki.issue("me", "me@example.org")
    target = start_tls(pki.issue("server"), "--tls-client-ca", pki.ca).target
    assert incarnation(target, ca=pki.ca, cert=str(mine.cert), key=str(mine.key))
    shown = {"cert": str(stranger.cert), "key": str(stranger.key)}
    assert refusal(target, ca=pki.ca) is grpc.StatusCode.UNAVAILABLE
    assert refusal(target, ca=pki.ca, **shown) is grpc.StatusCode.UNAVAILABLE


def test_a_token_is_asked_for_over_tls_too(pki, start_tls):
    target = start_tls(pki.issue("server")).target
    with open_channel(target, Access(ca=pki.ca)) as channel, pytest.raises(grpc.RpcError) as caught:
        wire.AdminServiceStub(channel).GetInfo(wire.GetInfoRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_renewed_certificate_is_served_without_a_restart(pki, start_tls):
    files = pki.issue("server")
    server = start_tls(files)
    before = incarnation(server.target, ca=pki.ca)
    second = Pki(pki.folder / "second")
    renewed = second.issue("server")
    replace(files.cert, renewed.cert.read_bytes())
    # Half way, certificate and key do not fit together: the old pair is served on.
    assert incarnation(server.target, ca=pki.ca) == before
    replace(files.key, renewed.key.read_bytes())
    assert incarnation(server.target, ca=second.ca) == before
    assert refusal(server.target, ca=pki.ca) is grpc.StatusCode.UNAVAILABLE
    assert "certificates reloaded" in server.log
    assert "certificates stay as they were" in server.log


def test_the_reloader_tells_of_a_change_once(pki):
    files = pki.issue("server")
    log = Log()
    reloader = TlsReloader(files, log)
    assert reloader() is None
    pki.issue("server")
    assert reloader() is not None
    assert reloader() is None
    files.key.unlink()
    assert reloader() is None
    assert log.events == ["certificates reloaded"]


def test_a_storm_of_handshakes_has_the_files_looked_at_now_and_then(pki):
    files = pki.issue("server")
    now = 0.0
    reloader = TlsReloader(files, Log(), lambda: now)
    assert [reloader() for _ in range(10)] == [None] * 10
    pki.issue("server")
    assert reloader() is None
    now = 0.1
    assert reloader() is not None


def test_files_that_are_replaced_while_they_are_read_are_not_served(pki, monkeypatch):
    files = pki.issue("server")
    reloader = TlsReloader(files, Log())
    pki.issue("server")

    def read_late(given: TlsFiles):
        found = read_pem(given)
        pki.issue("server")
        return found

    monkeypatch.setattr("exprd_server.tls.read_pem", read_late)
    assert reloader() is None
    monkeypatch.undo()
    assert reloader() is not None


def test_files_that_do_not_fit_are_refused_at_start(pki, tmp_path):
    good, other = pki.issue("good"), pki.issue("other")
    text = tmp_path / "text"
    text.write_text("no PEM")
    cases = {
        "no certificate and its key": TlsFiles(cert=good.cert, key=other.key),
        "certificate and its key": TlsFiles(cert=text, key=good.key),
        "No such file": TlsFiles(cert=tmp_path / "none", key=good.key),
        "has no certificates": TlsFiles(cert=good.cert, key=good.key, client_ca=text),
        "none: No such file": TlsFiles(cert=good.cert, key=good.key, client_ca=tmp_path / "none"),
    }
    for said, files in cases.items():
        with pytest.raises(CallError, match=said):
            read_pem(files)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "calls are not encrypted"),
        (("--tokens", "tokens.toml"), "calls are not encrypted"),
        (("--tls-cert", "s.pem", "--tls-key", "s.key"), "callers are not asked who they are"),
        (("--tls-cert", "s.pem"), "needs both --tls-cert and --tls-key"),
        (("--tls-cert", "s.pem", "--tls-key", "s.key", "--tokens", "none"), "cannot be read"),
    ],
)
def test_what_others_can_reach_is_guarded_or_not_served(child_env, pki, flags, said):
    pki.issue("s")
    (pki.folder / "tokens.toml").write_text(f'[[token]]\ntoken = "{TOKEN}"\n')
    command = [sys.executable, "-m", "exprd_server", "serve", "--listen", "0.0.0.0:0", *flags]
    found = subprocess.run(
        command, cwd=pki.folder, env=child_env, capture_output=True, text=True, timeout=60
    )
    assert found.returncode != 0
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_what_is_guarded_may_be_reached_by_others(pki, start_tls):
    files = pki.issue("server")
    server = start_tls(files, "--listen", "0.0.0.0:0")
    port = server.target.rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(1) == b""  # of which gRPC would remark something
    assert incarnation(f"127.0.0.1:{port}", ca=pki.ca)
    server.stop()
    assert all(json.loads(line) for line in server.log.splitlines())


def test_a_token_does_not_travel_in_the_clear(tmp_path):
    with pytest.raises(CallError, match="in the clear"):
        open_channel("192.0.2.1:50051", Access(token=TOKEN))
    open_channel("192.0.2.1:50051", Access(token=TOKEN, insecure=True)).close()
    open_channel("localhost:50051", Access(token=TOKEN)).close()
    with pytest.raises(CallError, match="needs its key"):
        open_channel("192.0.2.1:50051", Access(cert=__file__))
    with pytest.raises(CallError, match="cannot be read"):
        open_channel("192.0.2.1:50051", Access(ca=str(tmp_path / "none")))
    with pytest.raises(CallError, match="cannot be read"):
        open_channel("localhost:50051", Access(token_file=str(tmp_path / "none")))
