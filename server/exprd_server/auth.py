"""Who may call what: tokens, the namespaces and scopes they stand for, the scope of each method.

Invariant: default-deny. A method that is not in the table is allowed to nobody, and where tokens
are asked for, only those methods that say so do without. Tokens are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
import tomllib
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

from exprd_compiler.errors import CallError, PermissionDenied, Unauthenticated
from exprd_server.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exprd_server.log import Logger

EXECUTE: Final = "execute"
COMPILE: Final = "compile"
STATE: Final = "state"
ADMIN: Final = "admin"
SCOPES: Final = (EXECUTE, COMPILE, STATE, ADMIN)
ANY: Final = "any"  # any valid token
OPEN: Final = "open"  # no token at all

_BY_SERVICE: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "exprd.v1.CompilerService": {
            "Compile": COMPILE,
            "Describe": COMPILE,
            "Release": ANY,
            "Publish": COMPILE,
            "Lookup": EXECUTE,
            "ListFunctions": EXECUTE,
            "SetLabel": ADMIN,
            "Unpublish": ADMIN,
        },
        "exprd.v1.ExecutorService": {
            "Execute": EXECUTE,
            "ExecuteBatch": EXECUTE,
            "Repeat": EXECUTE,
            "Session": EXECUTE,
            "OpenDoorbell": EXECUTE,
        },
        "exprd.v1.DataService": {
            "Put": EXECUTE,
            "PutStatus": EXECUTE,
            "Get": EXECUTE,
            "Release": ANY,
        },
        "exprd.v1.StateService": {
            "Create": STATE,
            "Get": STATE,
            "Snapshot": STATE,
            "Set": STATE,
            "Delete": STATE,
            "List": STATE,
        },
        # Every client greets, renews its lease and gives it up.
        "exprd.v1.AdminService": {
            "GetInfo": ANY,
            "Resume": ANY,
            "EndLease": ANY,
            "Checkpoint": ADMIN,
            "ListCheckpoints": ADMIN,
            "RestoreCheckpoint": ADMIN,
        },
        "grpc.health.v1.Health": {"Check": OPEN, "Watch": OPEN, "List": OPEN},
        "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANY},
    }
)
METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        f"/{service}/{method}": scope
        for service, methods in _BY_SERVICE.items()
        for method, scope in methods.items()
    }
)
_BEARER: Final = "bearer "
_QUOTAS: Final = frozenset(
    {
        "functions",
        "buffers",
        "variables",
        "published",
        "clients",
        "client_bytes",
        "call_bytes",
        "tensor_bytes",
    }
)
_TOKEN_KEYS: Final = frozenset({"token", "sha256", "namespace", "scopes", "expires"})
_LENGTH: Final = 64  # of a namespace, which is also the name of a folder
_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token stands for.

    Attributes:
        namespace: whose functions, variables and buffers its bearer sees.
        scopes: which methods it opens.
        expires: seconds since 1970, or None.
    """

    namespace: str
    scopes: frozenset[str]
    expires: float | None = None

    def check(self, method: str) -> None:
        """Returns if the grant allows a method.

        Raises:
            PermissionDenied: it does not, or nobody may call it.
        """
        scope = METHODS.get(method, "")
        if scope not in (OPEN, ANY) and scope not in self.scopes:
            name = method.rpartition("/")[2][:64]
            needed = f"it needs the scope {scope}" if scope else "nobody may call it"
            raise PermissionDenied(
                f"this token does not allow {name}; {needed}",
                hint="ask for a token with that scope" if scope else "",
                fields={"scope": scope},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The contents of a file of tokens: grants by SHA-256 of the token, and quotas by namespace."""

    grants: tuple[tuple[bytes, Grant], ...] = ()
    quotas: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Any])

    def grant(self, token: str, now: float) -> Grant:
        """The grant of a token.

        Raises:
            Unauthenticated: it is unknown or has expired.
        """
        digest = hashlib.sha256(token.encode()).digest()
        found: Grant | None = None
        for known, grant in self.grants:  # to the end, so that time tells nothing
            if hmac.compare_digest(known, digest):
                found = grant
        if found is None:
            raise Unauthenticated("the token is not known here", hint="check the token")
        if found.expires is not None and found.expires <= now:
            raise Unauthenticated("the token has expired", hint="ask for a new one")
        return found

    def limits(self, namespace: str, limits: Limits) -> Limits:
        """The limits of a namespace: the server's, where its quota says nothing else."""
        quota = self.quotas.get(namespace, {})
        return Limits(
            **{f.name: quota.get(f.name, getattr(limits, f.name)) for f in fields(limits)}
        )


class TokenFile:
    """The tokens in a file, read again when it changes. Thread safe.

    Raises:
        CallError: at start, when the file cannot be read; later the last good state stays.
    """

    def __init__(self, path: Path, log: Logger, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = stamp_of(path)
        self._tokens = read_tokens(path)

    def current(self) -> Tokens:
        """The tokens now."""
        try:
            stamp = stamp_of(self._path)
        except CallError:
            return self._tokens  # between the removal of a file and its replacement
        if stamp != self._stamp:
            with self._lock:
                self._reload(stamp)
        return self._tokens

    def grant(self, authorization: str) -> Grant:
        """The grant of the value of an authorization header.

        Raises:
            Unauthenticated: there is no token, or no valid one.
        """
        if not authorization[: len(_BEARER)].lower() == _BEARER:
            raise Unauthenticated(
                "this server asks for a token", hint="connect with token=, or set EXPRD_TOKEN"
            )
        token = authorization[len(_BEARER) :].strip()
        return self.current().grant(token, self._clock())

    def _reload(self, stamp: tuple[int, int, int]) -> None:
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = read_tokens(self._path)
        except CallError as error:
            self._log.error("tokens stay as they were", reason=error.message)
            return
        self._log.info("tokens reloaded", count=len(self._tokens.grants))


def stamp_of(path: Path) -> tuple[int, int, int]:
    """What tells one state of a file from another.

    Raises:
        CallError: the file is not there.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise CallError(f"{path} cannot be read: {error.strerror}") from None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def read_tokens(path: Path) -> Tokens:
    """The tokens of a TOML file.

    Raises:
        CallError: it cannot be read, or says something that means nothing; never with a token in
            the message.
    """
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CallError(f"{path} is no TOML", hint="see docs/security.md for its form") from None
    if unknown := set(facts) - {"token", "namespace"}:
        raise _bad(path, f"unknown table {min(unknown)!r}")
    rows = facts.get("token", [])
    if not _is_list(rows) or not all(isinstance(row, dict) for row in rows):
        raise _bad(path, "tokens are written as [[token]]")
    grants = tuple(_entry(path, number, row) for number, row in enumerate(rows, 1))
    return Tokens(grants=grants, quotas=_quotas(path, facts.get("namespace", {})))


def _entry(path: Path, number: int, row: Mapping[str, Any]) -> tuple[bytes, Grant]:
    where = f"token {number}"
    if unknown := set(row) - _TOKEN_KEYS:
        raise _bad(path, f"{where}: unknown key {min(unknown)!r}")
    scopes = row.get("scopes", list(SCOPES))
    if not _is_list(scopes) or any(scope not in SCOPES for scope in scopes):
        raise _bad(path, f"{where}: scopes are some of {', '.join(SCOPES)}")
    namespace = str(row.get("namespace", "default"))
    if not 0 < len(namespace) <= _LENGTH or not _CHARACTERS.issuperset(namespace):
        raise _bad(path, f"{where}: a namespace is 1 to {_LENGTH} of a-z, 0-9, - and _")
    expires = row.get("expires")
    if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo):
        raise _bad(path, f"{where}: expires is a date and time with its zone")
    grant = Grant(
        namespace=namespace,
        scopes=frozenset(scopes),
        expires=None if expires is None else expires.timestamp(),
    )
    return _digest(path, where, row), grant


def _digest(path: Path, where: str, row: Mapping[str, Any]) -> bytes:
    if ("token" in row) == ("sha256" in row):
        raise _bad(path, f"{where}: has either token or sha256")
    if "token" in row:
        if not isinstance(row["token"], str) or len(row["token"]) < 16:
            raise _bad(path, f"{where}: a token has 16 characters or more")
        return hashlib.sha256(row["token"].encode()).digest()
    try:
        digest = bytes.fromhex(row["sha256"])
    except (TypeError, ValueError):
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise _bad(path, f"{where}: sha256 is 64 hexadecimal digits")
    return digest


def _quotas(path: Path, tables: Any) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for name, given in _table(tables).items():
        quota = _table(given)
        if given != quota or not set(quota) <= _QUOTAS:
            raise _bad(path, f"namespace {name}: quotas are {', '.join(sorted(_QUOTAS))}")
        if not all(type(value) is int and value >= 0 for value in quota.values()):
            raise _bad(path, f"namespace {name}: quotas are whole numbers")
        out[name] = quota
    return out


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _table(value: object) -> dict[str, Any]:
    """A table of TOML; empty when it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _bad(path: Path, what: str) -> CallError:
    return CallError(f"{path}: {what}", hint="see docs/security.md for its form")
