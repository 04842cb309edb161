"""Published functions between the wire and the engine.

Invariant: a form of call is checked against the limits here and is bytes below this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import exprd_proto as wire
from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto.arrays import WireError, array_from_wire
from exprd_server import replies
from exprd_server.holding import SHOWN
from exprd_server.versions import PublishCall

if TYPE_CHECKING:
    from exprd_server.holding import HeldFunction
    from exprd_server.settings import Limits
    from exprd_server.versions import PublishedInfo


def publish_call(request: wire.PublishRequest, limits: Limits) -> PublishCall:
    """The wish of a Publish request.

    Raises:
        CallError: the form of call does not hold together.
        LimitExceeded: its default values are too large.
    """
    _check_form(request.form, limits)
    return PublishCall(
        client_id=request.client_id,
        name=request.name,
        handle=request.handle,
        form=request.form.SerializeToString(deterministic=True),
        inputs=len(request.form.inputs),
        outputs=request.form.outputs,
        version=request.version,
        labels=tuple(request.labels),
        doc=request.doc,
    )


def published_function(info: PublishedInfo) -> wire.PublishedFunction:
    """A version as callers see it."""
    version = info.version
    return wire.PublishedFunction(
        name=version.name,
        version=version.version,
        labels=info.labels,
        handle=version.handle,
        doc=version.doc,
        form=wire.CallForm.FromString(version.form),
        signature=replies.signature(version.signature),
        publisher=version.publisher[:SHOWN],  # the whole id opens its lease
        created=version.created,
    )


def held_function(held: HeldFunction) -> wire.HeldFunction:
    """A function and those who hold it."""
    return wire.HeldFunction(
        handle=held.handle,
        name=held.name,
        holders=[wire.FunctionHolder(client=x.client, seconds=x.seconds) for x in held.holders],
        published=held.published,
        variables=held.variables,
    )


def _check_form(form: wire.CallForm, limits: Limits) -> None:
    if form.ByteSize() > limits.inline_bytes:
        raise LimitExceeded(
            f"default values of {form.ByteSize()} bytes are above the limit of"
            f" {limits.inline_bytes}",
            hint="make them shared variables",
            fields={"limit": "inline_bytes"},
        )
    for text in (*(x.name for x in form.inputs), *form.keys):
        if len(text) > limits.name_length or not text.isprintable():
            raise CallError(f"a name is up to {limits.name_length} printable characters")
    if form.layout not in wire.CallForm.Layout.values():
        raise CallError(f"layout {form.layout} is unknown to this server")
    if form.layout == wire.CallForm.LAYOUT_DICT and len(form.keys) != form.outputs:
        raise CallError(f"{len(form.keys)} keys for {form.outputs} outputs")
    for item in form.inputs:
        if item.HasField("default"):
            _check_default(item)


def _check_default(item: wire.InputForm) -> None:
    try:
        array_from_wire(item.default)
    except WireError as error:
        raise CallError(f"default of {item.name!r}: {error}") from None
