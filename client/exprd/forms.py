"""The form of a call as bytes: names, defaults and rules of inputs, the layout of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import exprd_proto as wire
from exprd.named import ParameterInfo
from exprd.recipe import Layout
from exprd.slots import Slot
from exprd_compiler.errors import CallError, DamagedFile
from exprd_compiler.ops.leaves import input_
from exprd_proto.arrays import WireError, array_from_wire, write_array

__all__ = ["form_bytes", "read_form"]

_KINDS: Final = {
    "single": wire.CallForm.LAYOUT_SINGLE,
    "list": wire.CallForm.LAYOUT_LIST,
    "dict": wire.CallForm.LAYOUT_DICT,
}
_LAYOUTS: Final[dict[int, Any]] = {number: kind for kind, number in _KINDS.items()}


def form_bytes(
    slots: Sequence[Slot], defaults: Sequence[object], layout: Layout, outputs: int
) -> bytes:
    """The form of a function; slots that keep their value are no inputs of it."""
    form = wire.CallForm(layout=_KINDS[layout.kind], keys=layout.keys, outputs=outputs)
    for slot, default in zip(slots, defaults, strict=True):
        if slot.state is None:
            _write_input(form.inputs.add(), slot, default)
    return form.SerializeToString(deterministic=True)


def read_form(data: bytes, inputs: Sequence[ParameterInfo]) -> tuple[tuple[Slot, ...], Layout, int]:
    """The slots, the layout and the number of results of a form."""
    form = wire.CallForm.FromString(data)
    if len(form.inputs) != len(inputs):
        raise CallError(f"the form of a call has {len(form.inputs)} inputs, not {len(inputs)}")
    slots = tuple(_slot(item, info) for item, info in zip(form.inputs, inputs, strict=True))
    return slots, Layout(_LAYOUTS.get(form.layout, "list"), tuple(form.keys)), form.outputs


def _write_input(message: wire.InputForm, slot: Slot, default: object) -> None:
    message.name, message.strict = slot.name or "", slot.strict
    message.implicit = slot.implicit
    if slot.downcast is not None:
        message.allow_downcast = slot.downcast
    if default is not None:
        write_array(message.default, slot.filtered(default))


def _slot(message: wire.InputForm, info: ParameterInfo) -> Slot:
    node = input_(type=info.type)
    node.name = message.name or info.name or None
    return Slot(
        node=node,
        name=message.name or None,
        default=_default(message) if message.HasField("default") else None,
        strict=message.strict,
        downcast=message.allow_downcast if message.HasField("allow_downcast") else None,
        implicit=message.implicit,
        state=None,
    )


def _default(message: wire.InputForm) -> object:
    try:
        return array_from_wire(message.default)
    except WireError as error:
        raise DamagedFile(f"the default of {message.name!r} cannot be read: {error}") from None
