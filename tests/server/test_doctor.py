"""What the doctor finds: one line per check, an exit status, something to do."""

from __future__ import annotations

import datetime
import os
import resource
import socket

import pytest
import trustme
from click.testing import CliRunner

from exprd_server import doctor
from exprd_server.address import SocketOwner
from exprd_server.cli import main
from exprd_server.expiry import days_left
from exprd_server.settings import Settings, TlsFiles
from exprd_server.stores.folder import StateFolder

CHECKS = dict(doctor.CHECKS)


def found(what: str, **facts) -> list[tuple[str, str, str]]:
    """Level, text and advice of what one check finds."""
    settings = Settings(**{"listen": "127.0.0.1:0", **facts})
    return [(f.level, f.found, f.todo) for f in CHECKS[what](settings)]


def issued(folder, days: float) -> TlsFiles:
    made = trustme.CA().issue_cert(
        "localhost",
        not_after=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, minutes=5),
    )
    files = TlsFiles(cert=folder / "s.pem", key=folder / "s.key")
    made.cert_chain_pems[0].write_to_path(files.cert)
    made.private_key_pem.write_to_path(files.key)
    files.key.chmod(0o600)
    return files


def test_the_command_tells_everything_and_ends_well(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    flags = ["--listen", f"unix://{tmp_path}/s.sock", "--state", str(state)]
    result = CliRunner().invoke(main, ["doctor", *flags, "--cache-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    whats = [line[5:15].strip() for line in result.output.splitlines()]
    assert whats == [
        *("machine", "packages", "cores", "LLVM", "BLAS", "cache", "state", "disk", "port"),
        *("metrics", "TLS", "tokens", "memory", "files", "threads"),
    ]


def test_one_failure_is_an_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", [("port", CHECKS["port"])])
    env = {"EXPRD_SERVE_LISTEN": "0.0.0.0:50051"}
    result = CliRunner().invoke(main, ["doctor"], env=env)
    assert result.exit_code == 1
    assert result.output.startswith("FAIL port")
    assert "--insecure" in result.output


def test_a_taken_port_is_found():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ((level, text, todo),) = found("port", listen=listen)
    assert (level, "exprd health" in todo) == ("FAIL", True)
    assert listen in text
    assert found("port")[0][0] == "ok"
    assert found("port", listen="0.0.0.0:0", insecure=True)[0][0] == "warn"


def test_what_another_server_uses_is_told(tmp_path):
    path = f"{tmp_path}/s.sock"
    folder = StateFolder(tmp_path / "state")
    with SocketOwner(path), socket.create_server(("127.0.0.1", 0)) as taken:
        page = f"127.0.0.1:{taken.getsockname()[1]}"
        told = [
            *found("port", listen=f"unix://{path}"),
            *found("state", state=folder.path),
            *found("metrics", metrics=page),
        ]
    assert [level for level, *_ in told] == ["FAIL", "FAIL", "FAIL"]
    for word, (_, text, _) in zip(("another server", "another process", page), told, strict=True):
        assert word in text
    folder.close()
    assert found("port", listen=f"unix://{path}")[0][0] == "ok"
    assert found("state", state=folder.path)[0][0] == "ok"
    assert found("metrics", metrics="127.0.0.1:0")[0][0] == "ok"


def test_folders_are_looked_at(tmp_path):
    assert found("cache")[0][0] == "warn"
    assert found("cache", cache=tmp_path / "new" / "folder")[0][0] == "ok"
    assert [level for level, *_ in found("state", state=tmp_path)] == ["ok", "ok"]
    file = tmp_path / "file"
    file.write_text("")
    ((level, text, todo),) = found("state", state=file)
    assert (level, "cannot be written" in text, "--state" in todo) == ("FAIL", True, True)


@pytest.mark.parametrize(
    ("days", "left", "level"), [(365, 365, "ok"), (29, 29, "warn"), (1, 1, "warn"), (-2, 0, "FAIL")]
)
def test_the_end_of_a_certificate_is_seen(tmp_path, days, left, level):
    files = issued(tmp_path, days)
    assert days_left(files) == left
    assert found("TLS", tls=files)[0][0] == level


def test_files_of_secrets_that_others_can_read_are_told(tmp_path):
    files = issued(tmp_path, 100)
    files.key.chmod(0o644)
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\ntoken = "expired-long-ago-now"\nexpires = 2001-01-01T00:00:00Z\n')
    tokens.chmod(0o640)
    assert [level for level, *_ in found("TLS", tls=files)] == ["ok", "warn"]
    (nobody, unsafe) = found("tokens", tokens=tokens)
    assert nobody[:2] == ("warn", "0 valid, 1 expired")
    assert unsafe[2] == f"chmod 600 {tokens}"


def test_tokens_that_end_soon_are_told(tmp_path):
    end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)).isoformat()
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[token]]\ntoken = "ends-in-three-days"\nexpires = {end}\n')
    tokens.chmod(0o600)
    ((level, text, todo),) = found("tokens", tokens=tokens)
    assert (level, text) == (
        "warn",
        "1 valid, 0 expired, 1 of the valid ones for less than 30 days",
    )
    assert todo.startswith("renew")


def test_low_limits_of_the_system_are_told(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    assert [level for level, *_ in found("limits")] == ["FAIL", "FAIL"]
    assert "ulimit -n" in found("limits")[0][2]
    assert {level for level, *_ in found("memory", memory_bytes=1 << 60)} == {"warn"}
    assert {level for level, *_ in found("memory", memory_bytes=1 << 28)} == {"warn"}
    (finding,) = (f for f in doctor.findings(Settings(memory_bytes=1 << 20)) if f.what == "memory")
    assert (finding.level, "too few" in finding.found) == ("FAIL", True)


@pytest.mark.parametrize("error", [OSError(5, os.strerror(5)), TypeError("encoding failed")])
def test_a_check_that_breaks_is_a_finding(monkeypatch, error):
    def broken(_):
        raise error
        yield

    monkeypatch.setattr(doctor, "CHECKS", [("disk", broken)])
    (finding,) = doctor.findings(Settings())
    assert str(finding).startswith("FAIL disk")


def test_a_processor_that_is_too_old_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "_features", lambda: frozenset({"avx2"}))
    level, text, todo = found("machine")[0]
    assert (level, "without bmi2, f16c, fma" in text) == ("FAIL", True)
    assert "x86-64-v3" in todo


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "sleep at once"), (0.001, "awake for 0.001 s after a call")]
)
def test_whether_cores_stay_awake(seconds, said):
    ((_, text, _),) = found("cores", idle_poll=seconds)
    assert said in text
