"""Functions by name: publish what was compiled here, call what somebody else has published.

A published version keeps its function and its shared variables alive whatever becomes of its
publisher. Whoever looks it up needs neither the graph nor the variables.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Final, SupportsIndex, cast

from exprd.compiled import Function
from exprd.forms import form_bytes
from exprd.named import PublishedInfo, PublishJob
from exprd.published import PublishedFunction
from exprd.session import Session, current_session
from exprd_compiler.errors import CallError

__all__ = ["list_functions", "lookup", "publish", "rollback", "set_label", "unpublish"]

_LAST: Final = (1 << 63) - 1  # there is no version beyond


def publish(
    name: str,
    f: object,
    version: int | None = None,
    labels: str | Sequence[str] = (),
    doc: str = "",
) -> PublishedInfo:
    """Gives a compiled function a name, by which any client of its server can call it.

    Publishing what the newest version of the name already is gives that version again.

    Args:
        name: by which it is looked up.
        f: the function; the defaults that its inputs have now go with it. Inputs that keep a value
            between calls are variables of the published function, not inputs.
        version: beyond all earlier ones; the next one by default.
        labels: are moved to this version. Callers who name neither version nor label get "stable"
            where it exists, else the newest version.
        doc: what `help` and listings say.

    Raises:
        CallError: this is no compiled function, or the name is none.
        Conflict: the version is not beyond every earlier one.
    """
    if not isinstance(f, Function):
        raise CallError(f"publish takes a compiled function, not {type(f).__name__}")
    number = 0 if version is None else _number(version)
    pointed = (labels,) if isinstance(labels, str) else tuple(labels)
    recipe = f.recipe
    outputs = len(recipe.graph.outputs) - recipe.printed
    form = form_bytes(f.slots, f.defaults(), recipe.layout, outputs)
    job = PublishJob(
        name=_name(name),
        handle=f.handle,
        form=form,
        inputs=len(recipe.graph.inputs),
        outputs=outputs,
        version=number,
        labels=tuple(map(_name, pointed)),
        doc=doc,
    )
    return f.session.transport.names.publish(job)


def lookup(
    name: str,
    version: int | None = None,
    label: str | None = None,
    session: Session | None = None,
) -> PublishedFunction:
    """A published function, ready to be called.

    What it gives stays the version that it is now; look it up again to follow a label.

    Args:
        name: by which it was published.
        version: its number.
        label: or one of its labels.
        session: where to look; the session in use by default.

    Raises:
        UnknownHandle: there is no such name, version or label; the message tells those there are.
    """
    session = session or current_session()
    session.sweep()
    number = 0 if version is None else _number(version)
    found = session.transport.names.lookup(_name(name), number, _name(label or ""))
    return PublishedFunction(session, found)


def list_functions(prefix: str = "") -> list[PublishedInfo]:
    """Every published version whose name begins with a prefix, by name and version."""
    return list(current_session().transport.names.page(_name(prefix)))


def set_label(name: str, label: str, version: int) -> PublishedInfo:
    """Points a label of a name at a version; callers who look up the label get it from now on."""
    names = current_session().transport.names
    return names.set_label(_name(name), _name(label), _number(version), 0)


def rollback(name: str, label: str = "stable") -> PublishedInfo:
    """Points a label back at the version before.

    Raises:
        UnknownHandle: the label points at no earlier version.
        Conflict: somebody else has moved the label at this moment.
    """
    names = current_session().transport.names
    found = names.page(_name(name))
    now = [info for info in found if info.name == name and label in info.labels]
    return names.set_label(name, _name(label), 0, now[0].version if now else 0)


def unpublish(name: str, *versions: int) -> int:
    """Takes versions of a name away, all when none is given; the count of those there were.

    Their numbers are never used again. Who has looked them up may go on calling them.
    """
    numbers = tuple(map(_number, versions))
    return current_session().transport.names.unpublish(_name(name), numbers)


def _number(version: object) -> int:
    try:
        number = operator.index(cast("SupportsIndex", version))
    except TypeError:
        number = 0
    if not 0 < number <= _LAST:
        raise CallError(f"versions count from 1, not {version!r}")
    return number


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isprintable():
        raise CallError(f"a name is printable characters, not {name!r}")
    return name
