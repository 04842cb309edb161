"""When a certificate ends, read by the standard library alone: by a handshake with oneself."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

from exprd_compiler.errors import CallError

if TYPE_CHECKING:
    from exprd_server.settings import TlsFiles

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_ROUNDS = 8


def days_left(files: TlsFiles) -> int:
    """Whole days until the certificate ends; 0 when it has.

    Raises:
        CallError: the handshake fails for another reason.
    """
    try:
        return int(max(0.0, _end_of(files) - time.time()) // 86_400)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return 0
        raise CallError(f"{files.cert}: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise CallError(f"{files.cert}: {error.reason}") from None


def _end_of(files: TlsFiles) -> float:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.cert, files.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate vouches for itself
    client.load_verify_locations(files.cert)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(down, up)
    answering = server.wrap_bio(up, down, server_side=True)
    for _ in range(_ROUNDS):
        if all([_shaken(asking), _shaken(answering)]):
            break
    facts = asking.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(facts["notAfter"]))


def _shaken(side: ssl.SSLObject) -> bool:
    """Whether a side has finished its handshake."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
