"""Channels: how a caller reaches a server, encrypted or not, with or without a token.

Invariant: a token leaves this machine over an encrypted channel alone, unless the caller insists.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import grpc

from exprd_compiler.errors import CallError

__all__ = ["NO_ACCESS", "Access", "advice", "open_channel"]

SYSTEM: Final = "system"
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a caller shows a server, and how it knows the server.

    Attributes:
        token: sent with every call.
        token_file: a file that has the token; read again when it changes.
        ca: file of certificates to trust, or "system"; encrypts the channel.
        cert: file of the caller's own certificate, for servers that ask for one.
        key: file of its private key.
        insecure: send the token to other machines although the channel is not encrypted.
    """

    token: str = ""
    token_file: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False


NO_ACCESS: Final = Access()


def open_channel(
    target: str, access: Access, options: Sequence[tuple[str, Any]] = ()
) -> grpc.Channel:
    """A channel to a server.

    Raises:
        CallError: a file cannot be read, or a token would travel in the clear.
    """
    if access.ca or access.cert:
        channel = grpc.secure_channel(target, _credentials(access), options=options)
    else:
        channel = grpc.insecure_channel(target, options=options)
    if not (access.token or access.token_file):
        return channel
    if not (access.ca or access.cert or access.insecure or is_local(target)):
        raise CallError(
            f"the token would travel to {target} in the clear",
            hint="name the certificates to trust (ca=), or say insecure=True",
        )
    return BearerChannel(channel, _token_source(access))


def advice(details: str) -> str:
    """What to do about a server that does not answer, by what gRPC says of it."""
    what = "check the target, and that `exprd serve` runs there"
    if "Socket closed" in details:
        return f"{what}; one that asks for TLS wants its certificates named (ca=)"
    return what


def is_local(target: str) -> bool:
    """Whether a target is on this machine."""
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host in _LOCAL_NAMES


def _credentials(access: Access) -> grpc.ChannelCredentials:
    roots = None if access.ca in ("", SYSTEM) else _read(access.ca)
    key = _read(access.key) if access.key else None
    cert = _read(access.cert) if access.cert else None
    if (key is None) != (cert is None):
        raise CallError("a certificate of the caller needs its key, and a key its certificate")
    return grpc.ssl_channel_credentials(roots, key, cert)


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CallError(f"{path} cannot be read: {error.strerror}") from None


def _token_source(access: Access) -> Callable[[], str]:
    """What gives the token at each call."""
    if access.token:
        return lambda: access.token
    source = TokenFile(access.token_file)
    source()  # a file that is not there is said at once
    return source


class TokenFile:
    """The token in a file, read again when the file has changed. Thread safe."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        self._seen: tuple[tuple[int, int, int], str] | None = None

    def __call__(self) -> str:
        """The token now.

        Raises:
            CallError: the file cannot be read.
        """
        try:
            facts = os.stat(self._path)  # noqa: PTH116 - at every call, and half the price
            stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            seen = self._seen
            if seen is None or seen[0] != stamp:
                seen = self._seen = (stamp, self._path.read_text().strip())
        except OSError as error:
            raise CallError(f"{self._path} cannot be read: {error.strerror}") from None
        return seen[1]


class BearerChannel(grpc.Channel):
    """A channel whose every call carries a bearer token.

    gRPC's own call credentials work over encrypted channels alone, so not over a Unix socket.
    """

    def __init__(self, channel: grpc.Channel, token: Callable[[], str]) -> None:
        self._channel = channel
        self._token = token

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A method of one request and one answer."""
        return _Bearing(self._channel.unary_unary(*args, **kwargs), self._token)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A method of one request and many answers."""
        return _Bearing(self._channel.unary_stream(*args, **kwargs), self._token)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A method of many requests and one answer."""
        return _Bearing(self._channel.stream_unary(*args, **kwargs), self._token)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A method of many requests and many answers."""
        return _Bearing(self._channel.stream_stream(*args, **kwargs), self._token)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:  # noqa: FBT001, FBT002
        """Has a function called when the state of the connection changes."""
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Takes that back."""
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> bool | None:
        self.close()
        return None


class _Bearing:
    """A method whose calls carry the token of the moment."""

    __slots__ = ("_method", "_token")

    def __init__(self, method: Any, token: Callable[[], str]) -> None:
        self._method, self._token = method, token

    def __call__(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        return self._method(*args, metadata=self._with_token(metadata), **kwargs)

    def with_call(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        """The answer and the call."""
        return self._method.with_call(*args, metadata=self._with_token(metadata), **kwargs)

    def future(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        """The answer to come."""
        return self._method.future(*args, metadata=self._with_token(metadata), **kwargs)

    def _with_token(self, metadata: Any) -> tuple[tuple[str, str], ...]:
        return (*(metadata or ()), ("authorization", f"Bearer {self._token()}"))
