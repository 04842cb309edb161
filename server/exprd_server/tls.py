"""TLS of a server from files, which may be replaced while it runs.

Invariant: a certificate and a key that do not fit, or are half written, are never served; what
was served before stays.
"""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import grpc

from exprd_compiler.errors import CallError
from exprd_server.auth import stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from exprd_server.log import Logger
    from exprd_server.settings import TlsFiles


# To look at the files takes an eighth of a handshake that is refused, on a thread of gRPC and with
# the interpreter's lock. Whoever opens connections without end does not have them looked at again.
_LOOKS: Final = 10
_SPAN: Final = 0.1  # seconds

_Stamps: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Pem:
    """The contents of the files, checked to fit together."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class TlsReloader:
    """Gives gRPC the certificate at each handshake, anew when the files have changed.

    Of many handshakes within a tenth of a second, the first ten look at the files.

    Args:
        files: where the certificate, its key and the clients' authority lie.
        log: is told of changes.
        clock: in seconds.

    Raises:
        CallError: at start, when the files cannot be read or do not fit together.
    """

    def __init__(
        self, files: TlsFiles, log: Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = files
        self._log = log
        self._clock = clock
        self._looks, self._since = 0, 0.0
        self._lock = threading.Lock()
        self._stamp: _Stamps | None = _stamps(files)
        self._refused: _Stamps | None = None  # the last state that did not fit
        self.first = _configuration(read_pem(files))

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """The new configuration, or None while it stays."""
        with self._lock:
            if not self._may_look():
                return None
            stamp = self._now()
            if stamp in (None, self._stamp, self._refused):
                return None
            try:
                pem = read_pem(self._files)
            except CallError as error:
                self._refused = stamp
                self._log.error("certificates stay as they were", reason=error.message)
                return None
            if self._now() != stamp:  # replaced since they were checked; the next handshake looks
                return None
            self._stamp = stamp
        self._log.info("certificates reloaded")
        return _configuration(pem)

    def _may_look(self) -> bool:
        now = self._clock()
        if now - self._since >= _SPAN:
            self._looks, self._since = 0, now
        self._looks += 1
        return self._looks <= _LOOKS

    def _now(self) -> _Stamps | None:
        """The state of the files; None between the removal of one and its replacement."""
        try:
            return _stamps(self._files)
        except CallError:
            return None


def server_credentials(files: TlsFiles, log: Logger) -> grpc.ServerCredentials:
    """The credentials of a server; clients must show a certificate when a CA for them is given.

    Raises:
        CallError: the files cannot be read or do not fit together.
    """
    reloader = TlsReloader(files, log)
    return grpc.dynamic_ssl_server_credentials(
        reloader.first,
        cast("Any", reloader),  # None is documented to mean that nothing has changed
        require_client_authentication=files.client_ca is not None,
    )


def read_pem(files: TlsFiles) -> _Pem:
    """The files of a server's TLS.

    Raises:
        CallError: one cannot be read, or they do not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert, files.key)
    except ssl.SSLError as error:
        raise CallError(
            f"{files.cert} and {files.key} are no certificate and its key: {error.reason}",
            hint="both are PEM files, and the key has no passphrase",
        ) from None
    except OSError as error:
        raise CallError(f"{files.cert} or {files.key} cannot be read: {error.strerror}") from None
    return _Pem(files.cert.read_bytes(), files.key.read_bytes(), _client_ca(files, context))


def _client_ca(files: TlsFiles, context: ssl.SSLContext) -> bytes | None:
    if files.client_ca is None:
        return None
    try:
        context.load_verify_locations(files.client_ca)
    except ssl.SSLError as error:
        raise CallError(f"{files.client_ca} has no certificates: {error.reason}") from None
    except OSError as error:
        raise CallError(f"{files.client_ca}: {error.strerror}") from None
    return files.client_ca.read_bytes()


def _configuration(pem: _Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.cert)], pem.client_ca)


def _stamps(files: TlsFiles) -> _Stamps:
    paths = [files.cert, files.key, *([] if files.client_ca is None else [files.client_ca])]
    return tuple(stamp_of(path) for path in paths)
