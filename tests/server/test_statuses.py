from __future__ import annotations

import pytest

from exprd_compiler import errors
from exprd_server.statuses import code_of, status_of

CODES = {
    "ShapeError": "INVALID_ARGUMENT",
    "DTypeError": "INVALID_ARGUMENT",
    "CallError": "INVALID_ARGUMENT",
    "IndexOutOfRange": "OUT_OF_RANGE",
    "LinAlgError": "OUT_OF_RANGE",
    "UnknownHandle": "NOT_FOUND",
    "Unauthenticated": "UNAUTHENTICATED",
    "PermissionDenied": "PERMISSION_DENIED",
    "UnsupportedVersion": "UNIMPLEMENTED",
    "LimitExceeded": "RESOURCE_EXHAUSTED",
    "DeadlineExceeded": "DEADLINE_EXCEEDED",
    "Cancelled": "CANCELLED",
    "Conflict": "ABORTED",
    "ResultExpired": "FAILED_PRECONDITION",
    "StateRolledBack": "DATA_LOSS",
    "DeviceUnavailable": "FAILED_PRECONDITION",
    "CompilerBug": "INTERNAL",
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_every_kind_has_its_code(kind, code):
    assert code_of(kind) == code


def test_every_class_of_the_tree_has_a_code_of_its_own_choice():
    internal = {kind for kind in errors.by_kind() if code_of(kind) == "INTERNAL"}
    assert internal == {"ExprdError", "CompilerBug"}


def test_the_detail_carries_what_the_exception_says():
    error = errors.ShapeError("no", op="add", nodes=[3], hint="reshape", fields={"axis": "1"})
    detail = status_of(error).detail
    assert (detail.kind, detail.message, detail.op) == ("ShapeError", "no", "add")
    assert (list(detail.nodes), detail.hint, dict(detail.fields)) == ([3], "reshape", {"axis": "1"})


@pytest.mark.parametrize("error", [RuntimeError("/secret/path"), KeyError("x"), OSError("secret")])
def test_unknown_errors_are_told_by_incident_only(error):
    status = status_of(error)
    assert not status.expected
    assert status.code == "INTERNAL"
    assert status.detail.incident in status.detail.message
    assert "secret" not in str(status.detail)


def test_texts_are_cut_and_cleaned():
    fields = {str(i): "é" * 1000 for i in range(50)}
    detail = status_of(
        errors.CallError("é\n" * 5000, hint="x" * 9000, nodes=range(999), fields=fields)
    ).detail
    assert detail.ByteSize() < 2400
    assert "\n" not in detail.message
