"""Publishing: what ties published versions to functions, variables and leases.

Invariant: a published version holds its function and pins its variables; whatever becomes
of the publisher's lease, both stay until the version is taken away.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from exprd_compiler.errors import CallError, DamagedFile, LimitExceeded, UnknownHandle
from exprd_server.holding import PUBLISHED, held_page
from exprd_server.leases import check_client_id
from exprd_server.published import PublishedTable
from exprd_server.values import CompileCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exprd_server.deadline import Deadline
    from exprd_server.functions import Function, FunctionTable
    from exprd_server.holding import HeldFunction
    from exprd_server.leases import LeaseTable
    from exprd_server.outline import Outline
    from exprd_server.values import FunctionInfo
    from exprd_server.variables import VariableTable
    from exprd_server.versions import PublishCall, PublishedInfo, Version

    Compile = Callable[[CompileCall, Deadline | None], FunctionInfo]
    # The text of a graph, for a client.
    Read = Callable[[bytes, str, Deadline | None], Outline]


class Publisher:
    """The published functions of an engine. Thread safe."""

    def __init__(
        self,
        table: PublishedTable,
        functions: FunctionTable,
        variables: VariableTable,
        leases: LeaseTable,
        compile: Compile,  # noqa: A002 - it is Compile
        read: Read,
    ) -> None:
        self._table = table
        self._functions = functions
        self._variables = variables
        self._leases = leases
        self._compile = compile
        self._read = read
        for version in table.versions():
            variables.pin(version.bindings)
        self._let_go()

    def __len__(self) -> int:
        return len(self._table)

    def publish(self, call: PublishCall, deadline: Deadline | None = None) -> PublishedInfo:
        """Gives a compiled function a name; its variables last from now on.

        Raises:
            UnknownHandle: the function does not exist.
            Conflict: the version number is not beyond every earlier one.
            CallError: the form of call is not that of the function.
        """
        check_client_id(call.client_id)
        self._leases.touch(call.client_id)
        function = self._functions.get(call.handle, call.client_id, deadline)
        _check_form(call, function)
        bindings = tuple(variable.uuid for variable in function.variables)
        # Pinned before it is written down, so that no version is ever without its variables.
        try:
            self._variables.pin(bindings)
            for uuid in bindings:  # from here on none goes
                self._variables.find(uuid)
            info, new = self._table.add(call, function)
        except BaseException:
            self._variables.unpin(bindings)
            raise
        if not new:
            self._variables.unpin(bindings)
        self._functions.hold(call.handle, info.version.holder)
        return info

    def lookup(
        self,
        client_id: str,
        name: str,
        *,
        version: int = 0,
        label: str = "",
        deadline: Deadline | None = None,
    ) -> PublishedInfo:
        """A published function, which the caller holds from now on like one it has compiled.

        Raises:
            UnknownHandle: there is no such name, version or label.
        """
        check_client_id(client_id)
        self._leases.touch(client_id)
        info = self._table.find(name, version, label)
        self._link(info.version, client_id, deadline)
        return info

    def set_label(
        self, client_id: str, name: str, label: str, *, version: int = 0, expected: int = 0
    ) -> PublishedInfo:
        """Points a label at a version; see `PublishedTable.set_label`."""
        self._leases.touch(client_id)
        return self._table.set_label(name, label, version, expected)

    def unpublish(self, client_id: str, name: str, versions: Sequence[int] = ()) -> int:
        """Takes versions away, all when none is named; the count of those that were there."""
        self._leases.touch(client_id)
        count = 0
        for number in versions or self._table.numbers(name):
            version = self._table.remove(name, number)
            if version is not None:
                count += 1
                try:
                    self._functions.release((version.handle,), version.holder)
                finally:
                    self._variables.unpin(version.bindings)
        return count

    def page(
        self, prefix: str = "", size: int = 100, after: str = ""
    ) -> tuple[tuple[PublishedInfo, ...], str]:
        """A page of versions in order of name and number, and where the next one starts, or ""."""
        return self._table.page(prefix, _page_size(size), after)

    def held(
        self, prefix: str = "", size: int = 100, after: str = ""
    ) -> tuple[tuple[HeldFunction, ...], str]:
        """A page of compiled functions, published or not, and where the next one starts, or ""."""
        functions, left = self._functions.each(), self._leases.left
        return held_page(functions, left, prefix=prefix, size=_page_size(size), after=after)

    def _let_go(self) -> None:
        """Takes the holds of versions away that are gone: an end may lie between the two."""
        there = {version.holder for version in self._table.versions()}
        for one in self._functions.each():
            for name in one.holders - there:
                if name.startswith(PUBLISHED):
                    with contextlib.suppress(LimitExceeded):  # a full disk: the next start does it
                        self._functions.release((one.handle,), name)

    def _link(self, version: Version, client_id: str, deadline: Deadline | None) -> None:
        """Makes sure that the function exists and is held; compiles it after a restart."""
        try:
            self._functions.get(version.handle, client_id, deadline)
        except (UnknownHandle, DamagedFile):  # the version has all that it takes
            self._compile_again(version, client_id or version.publisher, deadline)
        for holder in (version.holder, client_id):
            if holder and self._functions.hold(version.handle, holder) is None:
                raise UnknownHandle(
                    f"version {version.version} of {version.name!r} cannot be linked any more",
                    hint="publish it again",
                )

    def _compile_again(self, version: Version, client_id: str, deadline: Deadline | None) -> None:
        call = CompileCall(
            client_id=client_id,
            graph=self._read(version.graph.encode(), client_id, deadline),
            bindings=version.bindings,
            choices=version.choices,
            name=version.name,
        )
        self._compile(call, deadline)


def _page_size(wanted: int) -> int:
    return max(1, min(wanted or 100, 1000))


def _check_form(call: PublishCall, function: Function) -> None:
    inputs, outputs = len(function.outline.inputs), len(function.outline.outputs)
    if call.inputs != inputs or call.outputs > outputs:
        raise CallError(
            f"the form has {call.inputs} inputs and {call.outputs} outputs, the function has"
            f" {inputs} and {outputs}",
            hint="describe every input, and as many outputs as there are or fewer",
        )
