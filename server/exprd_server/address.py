"""Listen addresses: what they mean, and which of them are local.

Invariant: a Unix socket is owned through a lock file, because gRPC itself would
silently take the path over from a running server.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exprd_compiler.errors import CallError
from exprd_server.exclusive import Occupied, take

if TYPE_CHECKING:
    from types import TracebackType

_LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})
_PATH_LENGTH = 100  # the kernel's limit is 108 with the terminating zero


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a socket path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        if self.path or self.host in _LOCAL_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def target(self) -> str:
        """The form that clients and gRPC take."""
        return f"unix://{self.path}" if self.path else f"{self.host}:{self.port}"

    def on_port(self, port: int) -> Address:
        """The same host with the port that was really taken."""
        return Address(host=self.host, port=port)


def parse_address(text: str) -> Address:
    """The address of ``unix:///path`` or ``host:port``.

    Raises:
        CallError: the text is neither.
    """
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:").removeprefix("//")).absolute()
        if len(os.fsencode(path)) > _PATH_LENGTH:
            raise CallError(f"the socket path {str(path)!r} is longer than {_PATH_LENGTH} bytes")
        return Address(path=str(path))
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise CallError(f"{text!r} is no address", hint="use unix:///path or host:port")
    return Address(host=host, port=int(port))


class SocketOwner:
    """The exclusive right to a Unix socket path, for as long as the context lasts."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = -1

    def __enter__(self) -> SocketOwner:
        """Takes the path, or raises OSError when another server has it.

        Raises:
            CallError: no file can be made in its folder.
        """
        try:
            self._lock = take(Path(f"{self._path}.lock"))
        except Occupied:
            raise OSError(f"another server listens on unix://{self._path}") from None
        except OSError as error:
            raise CallError(
                f"unix://{self._path} cannot be made: {error.strerror}",
                hint="its folder must exist and be writable for this user",
            ) from None
        Path(self._path).unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes the socket; the lock file stays, since removing it would race."""
        Path(self._path).unlink(missing_ok=True)
        os.close(self._lock)
