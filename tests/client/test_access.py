"""A client with a token, by argument, option, environment and file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme

import exprd
import exprd.tensor as T
from exprd.errors import CallError, PermissionDenied, Unauthenticated

TOKENS = """
[[token]]
token = "may-do-everything"

[[token]]
token = "may-call-functions"
scopes = ["execute"]
"""


def served(env: dict[str, str], folder: Path, *flags: str) -> Iterator[str]:
    """The target of a server with tokens."""
    (folder / "tokens.toml").write_text(TOKENS)
    command = [sys.executable, "-m", "exprd_server", "serve", "--drain-seconds", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--tokens", str(folder / "tokens.toml"), *flags],
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving on "), (folder / "log").read_text()
    yield line.removeprefix("serving on ").strip()
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def guarded(child_env, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    yield from served(child_env, folder, "--listen", f"unix://{folder}/s.sock")


def doubled() -> exprd.Function:
    x = T.dvector("x")
    return exprd.function([x], x * 2)


def test_a_token_opens_the_server(guarded):
    with exprd.connect(guarded, token="may-do-everything"):
        np.testing.assert_array_equal(doubled()([1.0]), [2])


def test_without_a_token_or_with_a_wrong_one_nothing_opens(guarded):
    with pytest.raises(Unauthenticated, match=r"asks for a token.*EXPRD_TOKEN"):
        exprd.connect(guarded)
    with pytest.raises(Unauthenticated, match="not known here"):
        exprd.connect(guarded, token="may-do-everything-else")


def test_a_client_that_may_only_call_calls_what_is_published(guarded):
    with exprd.connect(guarded, token="may-do-everything"):
        exprd.publish("doubled", doubled())
    with exprd.connect(guarded, token="may-call-functions"):
        np.testing.assert_array_equal(exprd.lookup("doubled")([1.0]), [2])
        with pytest.raises(PermissionDenied, match="needs the scope compile"):
            doubled()
        with pytest.raises(PermissionDenied, match="needs the scope admin"):
            exprd.unpublish("doubled")


def test_options_and_files_give_the_token(guarded, tmp_path):
    with (
        exprd.config.change_flags(token="may-do-everything"),
        exprd.connect(guarded) as session,
    ):
        assert "may-do-everything" not in str(exprd.config)
        assert session.info()["store"] == "memory"
    file = tmp_path / "token"
    file.write_text("may-do-everything\n")
    with exprd.config.change_flags(token_file=str(file)), exprd.connect(guarded) as session:
        assert session.info()
        file.write_text("may-do-nothing-now\n")  # a client reads it again when it changes
        with pytest.raises(Unauthenticated):
            session.info()
        file.write_text("may-do-everything-\n"[:-2])
        assert session.info()


def test_the_environment_gives_the_token(guarded, child_env):
    found = subprocess.run(
        [sys.executable, "-c", "import exprd; print(exprd.connect().info()['store'])"],
        env={**child_env, "EXPRD_TARGET": guarded, "EXPRD_TOKEN": "may-do-everything"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stdout == "memory\n", found.stderr


def test_a_client_over_tls(child_env, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(tmp_path / "s.pem")
    made.private_key_pem.write_to_path(tmp_path / "s.key")
    flags = ("--tls-cert", str(tmp_path / "s.pem"), "--tls-key", str(tmp_path / "s.key"))
    for target in served(child_env, tmp_path, "--listen", "127.0.0.1:0", *flags):
        access = {"token": "may-do-everything", "ca": str(tmp_path / "ca.pem")}
        with exprd.connect(target, **access):
            np.testing.assert_array_equal(doubled()([1.0]), [2])
            large = np.arange(1e6)
            np.testing.assert_array_equal(exprd.put(large).get(), large)


def test_a_token_is_not_sent_to_others_in_the_clear():
    with pytest.raises(CallError, match=r"in the clear.*ca="):
        exprd.connect("192.0.2.1:50051", token="may-do-everything")


def test_sessions_batches_and_repetitions_carry_the_token(guarded):
    with exprd.connect(guarded, token="may-do-everything"):
        x = T.dvector("x")
        total = exprd.shared(np.zeros(2))
        f = exprd.function([x], total.sum(), updates=[(total, total + x)])
        one = np.ones(2)
        assert f.submit(one).result(30) == 0
        assert f.batch([(one,), (one,)]) == [2, 4]
        assert f.repeat(5, one) == 14
        with exprd.pipeline():
            waiting = [f.submit(one) for _ in range(20)]
        assert waiting[-1].result(30) == 54
