"""Functions by name over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import exprd_proto as wire
from exprd.healing import Published
from exprd.named import ParameterInfo, PublishedInfo, PublishJob
from exprd_proto.decode import OwnLimits, decode_type

__all__ = ["RemoteNames"]

_LIMITS = OwnLimits()


class RemoteNames:
    """The published functions of a server.

    Args:
        stub: of the compiler service.
        call: sends a request to a method and gives the answer, retries included.
        client_id: of the caller.
        found: told of every function that was looked up.
    """

    def __init__(
        self,
        stub: wire.CompilerServiceStub,
        call: Callable[[Callable[..., Any], Any], Any],
        client_id: str,
        found: Callable[[Published], None],
    ) -> None:
        self._stub, self._call, self._me = stub, call, client_id
        self._found = found

    def publish(self, job: PublishJob) -> PublishedInfo:
        """Gives a compiled function a name."""
        request = wire.PublishRequest(
            client_id=self._me,
            name=job.name,
            handle=job.handle,
            version=job.version,
            labels=job.labels,
            doc=job.doc,
            form=wire.CallForm.FromString(job.form),
        )
        return _info(self._call(self._stub.Publish, request).function)

    def lookup(self, name: str, version: int, label: str) -> PublishedInfo:
        """A published function, held from now on."""
        request = wire.LookupRequest(client_id=self._me, name=name, version=version, label=label)
        info = _info(self._call(self._stub.Lookup, request).function)
        self._found(Published(info.handle, info.name, info.version))
        return info

    def page(self, prefix: str) -> Sequence[PublishedInfo]:
        """Every published version whose name begins so."""
        request = wire.ListFunctionsRequest(client_id=self._me, name_prefix=prefix)
        found: list[PublishedInfo] = []
        while True:
            reply = self._call(self._stub.ListFunctions, request)
            found += map(_info, reply.functions)
            if not reply.next_page_token:
                return found
            request.page_token = reply.next_page_token

    def set_label(self, name: str, label: str, version: int, expected: int) -> PublishedInfo:
        """Points a label at a version, or with 0 back to the one before."""
        request = wire.SetLabelRequest(
            client_id=self._me,
            name=name,
            label=label,
            version=version,
            expected_version=expected,
        )
        return _info(self._call(self._stub.SetLabel, request).function)

    def unpublish(self, name: str, versions: Sequence[int]) -> int:
        """Takes versions away, all when none is named; the count of those there were."""
        request = wire.UnpublishRequest(client_id=self._me, name=name, versions=versions)
        removed: int = self._call(self._stub.Unpublish, request).removed
        return removed


def _info(message: wire.PublishedFunction) -> PublishedInfo:
    signature = message.signature
    return PublishedInfo(
        name=message.name,
        version=message.version,
        labels=tuple(message.labels),
        handle=message.handle,
        doc=message.doc,
        inputs=tuple(map(_parameter, signature.inputs)),
        outputs=tuple(map(_parameter, signature.outputs)),
        shared=tuple(map(_parameter, signature.shared)),
        updated=tuple(signature.updated),
        publisher=message.publisher,
        created=message.created,
        form=message.form.SerializeToString(deterministic=True),
    )


def _parameter(message: wire.Parameter) -> ParameterInfo:
    return ParameterInfo(
        name=message.name, type=decode_type(message.type, _LIMITS), variable=message.variable
    )
