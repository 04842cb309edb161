"""The flags of `exprd serve`: what means nothing is said at once, before anything is begun."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

import exprd_proto as wire
from exprd_compiler.errors import CallError
from exprd_proto.patience import SECONDS
from exprd_server.cli import main, serve, settings_of
from exprd_server.memory import wanted_bytes
from exprd_server.settings import Settings
from exprd_server.stores.database import connect


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--lease-seconds", "0"), "no time above 0"),
        (("--lease-seconds", "nan"), "nan is no time"),
        (("--stream-seconds", "-1"), "no time in seconds"),
        (("--grace-seconds", "-1"), "no time in seconds"),
        (("--drain-seconds", "inf"), "inf is no time"),
        (("--checkpoint-every", "-1"), "no time in seconds"),
        (("--checkpoint-every", "60"), "--checkpoint-every needs --state"),
        (("--memory-bytes", "-1"), "not in the range"),
        (("--memory-bytes", "9" * 30), "not in the range"),
        (("--idle-poll", "nan"), "nan is no number"),
        (("--least-share", "nan"), "nan is no number"),
        (("--doorbell-spin", "nan"), "nan is no number"),
        (("--workers", "0"), "x>=1"),
        (("--durability", "never"), "no durability policy"),
        (("--tls-cert", "a.pem"), "both --tls-cert and --tls-key"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_flags_that_mean_nothing(command: str, flags: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, [command, *flags])
    assert (done.exit_code, said in done.output) == (2, True), done.output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--memory-bytes", "1000"), "too few for a server"),
        (("--listen", "nonsense"), "is no address"),
        (("--listen", "0.0.0.0:0"), "--insecure"),
        (("--tokens", "nowhere.toml"), "cannot be read"),
        (("--tls-cert", "a.pem", "--tls-key", "b.pem"), "cannot be read"),
    ],
)
def test_settings_with_which_no_server_starts(flags: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, ["serve", *flags])
    assert (done.exit_code, said in done.output) == (1, True), done.output


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("health", "--seconds", "nan"), 2, "nan is no time"),
        (("info", "--seconds", "-1"), 2, "no time in seconds"),
        (("functions", "rollback", "f", "--to", "-1"), 2, "not in the range"),
        (("functions", "show", "f", "--version", "9" * 30), 2, "not in the range"),
        (("functions", "rm", "f", "--", "-1"), 2, "not in the range"),
        (("functions", "ls", "\udcff"), 1, "is not UTF-8"),
        (("functions", "ls", "--target", "\udcff"), 1, "is not UTF-8"),
        (("functions", "ls", "--token", "\udcff", "--insecure"), 1, "is not UTF-8"),
        (("state", "checkpoint", "\udcff", "--target", "unix:///nowhere"), 1, "is not UTF-8"),
    ],
)
def test_questions_that_mean_nothing(words: tuple[str, ...], status: int, said: str) -> None:
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, said in done.output) == (status, True), done.output


@pytest.mark.parametrize("command", ["ls", "check", "repair"])
def test_a_state_directory_that_cannot_be_looked_at(command: str, monkeypatch, tmp_path) -> None:
    def denied(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    done = CliRunner().invoke(main, ["state", command, "--state", str(tmp_path)])
    assert (done.exit_code, "cannot be used" in done.output) == (1, True), done.output


def test_a_state_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="cannot be opened"):
        connect(tmp_path)


class Another(wire.StateServiceServicer):
    """A server of another version: it knows few methods, and answers what nobody knows here."""

    def List(self, request: object, context: object) -> object:  # noqa: N802
        info = wire.VariableInfo(uuid="w", durability=99, type=wire.TensorType(dtype=11))
        return wire.StateServiceListResponse(variables=[info])


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    target = f"unix://{tmp_path_factory.mktemp('another')}/s.sock"
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        wire.add_StateServiceServicer_to_server(Another(), server)
        server.add_insecure_port(target)
        server.start()
        yield target
        server.stop(None).wait()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("functions", "ls"), "does not know this question"),
        (("functions", "ls", "--held"), "does not know this question"),
        (("state", "restore", "x"), "does not know this question"),
        (("state", "ls"), "durability that is not known here"),
    ],
)
def test_a_server_of_another_version_is_told(
    another: str, words: tuple[str, ...], said: str
) -> None:
    done = CliRunner().invoke(main, [*words, "--target", another])
    assert (done.exit_code, said in done.output) == (1, True), done.output
    asked = CliRunner().invoke(main, ["info", another, "--seconds", "20"])
    assert (asked.exit_code, "does not know" in asked.output) == (1, True), asked.output


def test_a_share_for_everybody() -> None:
    flags = serve.make_context("serve", ["--least-share", "0.5"]).params
    assert settings_of(flags).least_share == 0.5
    refused = CliRunner().invoke(main, ["serve", "--least-share", "0"])
    assert (refused.exit_code, "0.01<=x<=1" in refused.output) == (2, True), refused.output


def test_a_server_needs_some_memory() -> None:
    assert wanted_bytes(256 << 20) == 256 << 20
    with pytest.raises(CallError, match="too few"):
        wanted_bytes((256 << 20) - 1)


def test_both_ends_of_a_doorbell_wait_as_long_by_default() -> None:
    """Settings have a number of their own, since embedded use does without gRPC."""
    assert Settings().doorbell_spin == SECONDS
