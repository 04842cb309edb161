"""Prepared calls: all that is the same whenever a client makes one.

Invariant: inputs are read from memory of this process alone. What came in a frame lies in the
connection's own memory; what a client wrote into a region is copied into such memory first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exprd_compiler.errors import CallError, LimitExceeded
from exprd_proto import doorbell
from exprd_proto.arrays import WireError, carried_dtype, checked_nbytes
from exprd_proto.decode import decode_type
from exprd_server import requests
from exprd_server.calls import digest_of, facts_of
from exprd_server.compilers import REFERENCE
from exprd_server.values import BufferRef, Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    import exprd_proto as wire
    from exprd_server.engine import LocalEngine
    from exprd_server.functions import Function
    from exprd_server.settings import Limits
    from exprd_server.values import InputValue

    Array = NDArray[Any]
    Form = tuple[np.dtype[Any], tuple[int, ...], int]  # and bytes

_INPUTS = 4096


class Prepared:
    """One prepared call of one connection.

    Args:
        request: its description.
        engine: what runs it.
        frame: the memory into which the connection receives frames.
        region: what the client writes into; None when it has none.
        private: memory of this process, as large as the region.
        limits: of the server.

    Attributes:
        handle: of the function.
        deliveries: of its outputs.
        nbytes: what follows the head of a frame that makes the call.
        outside: whether its arrays lie in the region.
        facts: what stands before the arrays of a result.
        pad: what stands between the two.
        direct: the short way to run it, if it has one.
        recorded: whether it changes variables.

    Raises:
        CallError: the description means nothing.
        LimitExceeded: the arrays do not fit into the region.
    """

    __slots__ = (
        "_bools",
        "_buffers",
        "_copied",
        "_engine",
        "_facts",
        "_frame",
        "_inputs",
        "_known",
        "_named",
        "_names",
        "deliveries",
        "direct",
        "facts",
        "handle",
        "nbytes",
        "outside",
        "pad",
        "recorded",
    )

    def __init__(
        self,
        request: wire.DoorbellCall,
        engine: LocalEngine,
        frame: Array,
        region: Array | None,
        private: Array | None,
        limits: Limits,
    ) -> None:
        self.handle = request.handle
        self.deliveries = tuple(map(requests.delivery, request.deliveries))
        function = engine.function(request.handle)
        self.facts = doorbell.facts_of(len(function.written), _ranks(function, self.deliveries))
        start = doorbell.ANSWER.size + self.facts.size
        self.pad = bytes(doorbell.aligned(start) - start)
        short = not self.deliveries and function.info.choices.target != REFERENCE
        self.direct = engine.direct(request.handle) if short else None
        self.recorded = bool(function.written)
        self._engine = engine
        self._facts = facts_of(request.handle)
        self._frame = frame
        self._copied: tuple[tuple[Array, Array], ...] = ()
        self._known: tuple[tuple[InputValue, ...], bytes] | None = None
        forms = _forms(request, limits)
        self._buffers = tuple(place for place, form in enumerate(forms) if form is None)
        arrays = self._laid([form for form in forms if form is not None], region, private)
        self._bools = tuple(x.view(np.uint8) for x in arrays if x.dtype.kind == "b" and x.size)
        rest = iter(arrays)
        self._inputs: tuple[InputValue, ...] = tuple(
            BufferRef("") if form is None else next(rest) for form in forms
        )

    def _laid(
        self, forms: Sequence[Form], region: Array | None, private: Array | None
    ) -> list[Array]:
        """The arrays of each call: in the frame behind the handles, or copied from the region."""
        first = doorbell.ASK.size
        end = first + doorbell.BUFFER_BYTES * len(self._buffers)
        self._named, self._names = (first, end), b""
        sizes = [nbytes for _, _, nbytes in forms]
        places, total = doorbell.placed(sizes, end)
        self.outside = total > doorbell.INLINE_BYTES
        if not self.outside:
            self.nbytes = total - first
            return _views(forms, places, self._frame)
        if end > doorbell.FRAME_BYTES:
            raise CallError("the handles of a call do not fit into a frame")
        self.nbytes = end - first
        places, filled = doorbell.placed(sizes)
        return _views(forms, places, self._memory(filled, region, private))

    def _memory(self, nbytes: int, region: Array | None, private: Array | None) -> Array:
        """Memory of this process into which so many bytes of the region are copied."""
        if region is None or private is None or nbytes > region.size:
            raise LimitExceeded(
                f"{nbytes} bytes of arrays do not fit into the region of the connection",
                hint="ask for a larger region, or put the arrays",
                fields={"limit": "region_bytes"},
            )
        self._copied = ((private[:nbytes], region[:nbytes]),)
        return private

    def inputs(self) -> tuple[InputValue, ...]:
        """The inputs of the call whose frame has just been received.

        Raises:
            CallError: a bool is neither 0 nor 1.
        """
        for private, shared in self._copied:
            np.copyto(private, shared)
        for flat in self._bools:
            if flat.max() > 1:
                raise CallError("a bool is sent as the byte 0 or 1")
        return self._with_buffers() if self._buffers else self._inputs

    def _with_buffers(self) -> tuple[InputValue, ...]:
        first, last = self._named
        names = self._frame[first:last].tobytes()
        if names != self._names:
            inputs = list(self._inputs)
            step = doorbell.BUFFER_BYTES
            for number, place in enumerate(self._buffers):
                inputs[place] = BufferRef(f"buf-{names[step * number :][:step].hex()}")
            self._inputs, self._names = tuple(inputs), names
        return self._inputs

    def arrays(self, inputs: Sequence[InputValue]) -> Sequence[Array]:
        """Inputs with the arrays of buffers in their places.

        Raises:
            UnknownHandle: there is no such buffer.
        """
        get = self._engine.buffer
        found: list[Any] = [get(x.handle) if isinstance(x, BufferRef) else x for x in inputs]
        return found

    def digest(self, inputs: tuple[InputValue, ...]) -> bytes:
        """What tells this call from another under the same number."""
        if len(self._buffers) < len(inputs):
            return digest_of(self._facts, inputs)
        if self._known is None or self._known[0] is not inputs:
            self._known = inputs, digest_of(self._facts, inputs)
        return self._known[1]


def _forms(request: wire.DoorbellCall, limits: Limits) -> list[Form | None]:
    if len(request.inputs) > _INPUTS:
        raise CallError(f"{len(request.inputs)} inputs, at most {_INPUTS}")
    return [_form(place, given, limits) for place, given in enumerate(request.inputs)]


def _form(place: int, given: wire.DoorbellInput, limits: Limits) -> Form | None:
    """Dtype, shape and bytes of an input; None of one that each call names a buffer for."""
    source = given.WhichOneof("source")
    if source == "buffer":
        return None
    if source != "array":
        raise CallError(f"input {place} is neither an array nor a buffer")
    try:
        dtype = carried_dtype(given.array.dtype)
        shape = tuple(given.array.shape)
        nbytes = checked_nbytes(shape, dtype.itemsize)
    except WireError as error:
        raise CallError(f"input {place}: {error}") from None
    if len(shape) > limits.rank:
        decode_type(given.array, limits)  # which says so
    return dtype, shape, nbytes


def _views(forms: Sequence[Form], places: Sequence[int], memory: Array) -> list[Array]:
    views: list[Array] = []
    for (dtype, shape, _), place in zip(forms, places, strict=True):
        view: Array = np.ndarray(shape, dtype, memory, place if 0 not in shape else 0)
        view.flags.writeable = False
        views.append(view)
    return views


def _ranks(function: Function, deliveries: Sequence[Delivery]) -> list[int]:
    outputs = function.outline.outputs
    wanted = deliveries or (Delivery.AUTO,) * len(outputs)
    if len(wanted) != len(outputs):
        raise CallError(f"{len(wanted)} deliveries for {len(outputs)} outputs")
    return [
        node.type.ndim
        for node, delivery in zip(outputs, wanted, strict=True)
        if delivery is not Delivery.DISCARD
    ]
