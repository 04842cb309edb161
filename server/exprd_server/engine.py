"""The engine: what a server does, without a network.

Invariant: a call publishes all its updates or none, and everything that can fail
happens before the commit. Nothing here knows gRPC or wire messages; embedded clients
call the same methods as the services.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from exprd_compiler.errors import UnknownHandle
from exprd_compiler.ir.graph import Graph
from exprd_server.binding import bound, function_of, signature_of
from exprd_server.buffers import BufferTable
from exprd_server.calls import Runner, too_large_for_a_reply
from exprd_server.checkpointing import Checkpointer
from exprd_server.direct import DirectCall
from exprd_server.fairness import CompilerTurns
from exprd_server.fingerprint import content_key, function_handle
from exprd_server.flight import SingleFlight
from exprd_server.functions import Compiled, Compiler, Function, FunctionTable
from exprd_server.keeping import UNREADABLE, damaged
from exprd_server.leases import LeaseTable, check_client_id
from exprd_server.outline import outline_of
from exprd_server.published import PublishedTable
from exprd_server.publishing import Publisher
from exprd_server.repeat import Repeater
from exprd_server.replay import ReplayWindow
from exprd_server.resuming import StartVersions
from exprd_server.reviving import Revivals
from exprd_server.throttle import Throttle
from exprd_server.transfer import UploadTable
from exprd_server.values import (
    BufferRef,
    Delivery,
    ExecuteCall,
    FunctionInfo,
    Usage,
)
from exprd_server.variables import VariableTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from exprd_server.deadline import Deadline
    from exprd_server.keeping import KeptFunction
    from exprd_server.outline import Outline
    from exprd_server.repeat import Progress, RepeatCall
    from exprd_server.replay import Attempt
    from exprd_server.running import RunningCalls
    from exprd_server.settings import Settings
    from exprd_server.store import Store
    from exprd_server.values import (
        Array,
        BufferInfo,
        CallId,
        CompileCall,
        CompileChoices,
        ExecuteReply,
        OutputValue,
        Resumed,
        SetCall,
        SetReply,
        VariableInfo,
    )
    from exprd_server.variables import NewVariable


class LocalEngine:
    """The engine of one process. Thread safe.

    Attributes:
        published: functions by name.
        uploads: arrays that are on their way here.
        checkpoints: of its variables.
        throttle: has clients rest that keep it busy.
    """

    def __init__(
        self,
        settings: Settings,
        compiler: Compiler,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        throttle: Throttle | None = None,
    ) -> None:
        self._settings = settings
        self._compiler = compiler
        self._store = store
        self._clock = clock
        self._started = clock()
        self.throttle = throttle = throttle or Throttle()
        self.incarnation = store.incarnations()[-1].id
        limits = settings.limits
        self._leases = LeaseTable(settings.lease_seconds, limits, clock)
        self._buffers = BufferTable(self._leases, limits)
        self.uploads = UploadTable(self._leases, self._buffers, limits, clock)
        self._variables = VariableTable(store, self._leases, limits)
        self.checkpoints = Checkpointer(self._variables, settings.state)
        self._at_start = StartVersions(store)
        self._compiling = CompilerTurns()
        kept = store if store.lasting else None
        revivals = Revivals(self._compiling, settings.compile_seconds)
        self._functions = FunctionTable(limits, kept, self._revive, revivals)
        names, holds = PublishedTable(store, limits), (self._functions, self._variables)
        self.published = Publisher(names, *holds, self._leases, self.compile, self._read)
        self._window = ReplayWindow(store, limits)
        self._flight: SingleFlight[Compiled] = SingleFlight()
        self._runner = Runner(self._variables, self._buffers, self._window, limits)
        # Clients of an earlier process have the whole time of a lease to come back.
        for client_id in self._functions.holders() | self._window.clients():
            self._leases.restore(client_id)
        self._repeater = Repeater(self._runner, self._variables, self._window, limits, throttle)

    # -- functions

    def compile(self, call: CompileCall, deadline: Deadline | None = None) -> FunctionInfo:
        """Compiles a graph, or finds the function that is equal to what it would give."""
        check_client_id(call.client_id)
        self._leases.touch(call.client_id)
        outline = self._outline(call, deadline)
        variables = bound(outline, call.bindings, self._variables)
        content = content_key(outline.digest, call.choices)
        handle = function_handle(content, call.bindings, call.choices.durability)
        held = self._functions.hold(handle, call.client_id)
        signature = signature_of(outline, variables)
        if held is not None:
            # Names are the caller's own: they are no part of what makes functions equal.
            return replace(held.info, cache_hit=True, signature=signature, name=call.name)
        self._functions.check_room(handle)
        with self._compiling.turn(call.client_id, deadline):
            compiled = self._compiled(content, outline, call.choices, deadline)
        info = FunctionInfo(
            handle=handle,
            signature=signature,
            plan=compiled.plan,
            timings=compiled.timings,
            graph_digest=outline.digest,
            choices=call.choices,
            name=call.name,
        )
        function = function_of(info, outline, content, compiled, variables)
        return self._functions.add(function, call.client_id).info

    def describe(
        self,
        handle: str,
        client_id: str = "",
        *,
        texts: bool = True,
        deadline: Deadline | None = None,
    ) -> FunctionInfo:
        """A function; with `texts`, its stages are written out anew, in turn like compilations."""
        function = self._functions.get(handle, client_id, deadline)
        if not texts:
            return function.info
        with self._compiling.turn(client_id, deadline):
            written = self._compiler.texts(function.outline, function.info.choices, deadline)
        return replace(function.info, texts=written)

    def direct(self, handle: str) -> DirectCall:
        """A function for callers in this process, which outlive their calls."""
        return DirectCall(self._functions.get(handle), self._variables)

    def function(
        self, handle: str, client_id: str = "", deadline: Deadline | None = None
    ) -> Function:
        """A function, for callers that prepare their calls of it."""
        return self._functions.get(handle, client_id, deadline)

    def attempt(self, call_id: CallId, digest: bytes, deadline: Deadline) -> Attempt:
        """The right to make a call with an effect, or the answer of an earlier one."""
        return self._window.attempt(call_id, digest, deadline)

    def release_functions(self, client_id: str, handles: Iterable[str]) -> int:
        """Gives a client's hold on functions up; the count of those it held."""
        self._leases.touch(client_id)
        return self._functions.release(handles, client_id)

    def execute(self, call: ExecuteCall, deadline: Deadline | None = None) -> ExecuteReply:
        """Runs a function once; see `calls.Runner`."""
        self.check_incarnation(call.expected_incarnation)
        function = self._functions.get(call.handle, call.client_id, deadline)
        self._leases.touch(call.client_id)
        return self._runner.execute(function, call, deadline)

    def repeat(
        self, job: RepeatCall, deadline: Deadline | None = None
    ) -> Generator[Progress | ExecuteReply]:
        """Runs a function several times; see `repeat.Repeater`."""
        self.check_incarnation(job.call.expected_incarnation)
        function = self._functions.get(job.call.handle, job.call.client_id, deadline)
        self._leases.touch(job.call.client_id)
        return self._repeater.run(function, job, deadline)

    @property
    def running(self) -> RunningCalls:
        """The calls that run at the moment."""
        return self._runner.calls

    def cancel(self, client_id: str, seqs: Iterable[int]) -> int:
        """Stops running calls of a client by their numbers; the count of those it found."""
        return self._runner.calls.cancel(client_id, seqs)

    def cancel_all(self) -> int:
        """Stops all running calls; the count of them."""
        return self._runner.calls.cancel_all()

    # -- buffers

    def put(self, client_id: str, value: Array, handle: str = "") -> BufferInfo:
        """Keeps an array under a handle, which the caller may choose."""
        check_client_id(client_id)
        self._leases.touch(client_id)
        return self._buffers.put(client_id, value, handle)

    def put_status(self, client_id: str, handle: str) -> tuple[int, BufferInfo | None]:
        """How many bytes of an upload are here, and the buffer if it is whole."""
        self._leases.touch(client_id)
        info = self._buffers.info_of(client_id, handle)
        return (self.uploads.received(client_id, handle) if info is None else info.nbytes), info

    def get(self, client_id: str, handle: str) -> Array:
        """The array of a handle, read-only."""
        self._leases.touch(client_id)
        return self._buffers.get(handle)

    def release_buffers(self, client_id: str, handles: Iterable[str]) -> int:
        """Frees buffers; the count of those that existed."""
        self._leases.touch(client_id)
        return self._buffers.release(handles)

    def buffer(self, handle: str) -> Array:
        """The array of a handle, read-only, for a client that is heard of anyway."""
        return self._buffers.get(handle)

    def lend(self, client_id: str, nbytes: int) -> None:
        """Charges a client for memory that is lent to it; a negative size gives it back.

        What is lent stays on its account when its lease ends, until it is given back.
        """
        self._leases.charge_arriving(client_id, nbytes)

    # -- shared variables

    def create_variable(self, client_id: str, new: NewVariable) -> VariableInfo:
        """Makes a shared variable, or attaches to the durable one of its name."""
        check_client_id(client_id)
        self._leases.touch(client_id)
        given = new.value
        if given is None:
            return self._variables.named(new.name)
        value = self._buffers.get(given.handle) if isinstance(given, BufferRef) else given
        return self._variables.create(client_id, new, value)

    def get_variable(
        self,
        client_id: str,
        uuid: str,
        delivery: Delivery = Delivery.INLINE,
        reply_bytes: int | None = None,
    ) -> tuple[VariableInfo, OutputValue]:
        """A consistent description and value; DISCARD leaves the value out.

        Raises:
            UnknownHandle: there is no such variable.
            LimitExceeded: an inline value is larger than `reply_bytes`.
        """
        self._leases.touch(client_id)
        info, value = self._variables.describe(uuid)
        if delivery is Delivery.DISCARD:
            return info, None
        large = value.nbytes > self._settings.limits.inline_bytes
        if delivery is Delivery.KEEP or (delivery is Delivery.AUTO and large):
            return info, self.put(client_id, value)
        if reply_bytes is not None and value.nbytes > reply_bytes:
            raise too_large_for_a_reply(value.nbytes, reply_bytes)
        return info, value

    def snapshot(
        self,
        client_id: str,
        uuids: Sequence[str],
        delivery: Delivery = Delivery.INLINE,
        reply_bytes: int | None = None,
    ) -> tuple[tuple[VariableInfo, OutputValue], ...]:
        """Descriptions and values of variables, all of one moment; DISCARD leaves values out.

        Raises:
            UnknownHandle: there is no such variable.
            LimitExceeded: the inline values are larger than `reply_bytes`.
        """
        self._leases.touch(client_id)
        read = self._variables.describe_all(uuids)
        wanted = ExecuteCall(
            handle="", delivery=delivery, client_id=client_id, reply_bytes=reply_bytes
        )
        outputs = self._runner.deliver(wanted, [value for _, value in read])
        return tuple((info, value) for (info, _), value in zip(read, outputs, strict=True))

    def set_variable(self, call: SetCall, deadline: Deadline | None = None) -> SetReply:
        """Assigns a shared variable."""
        self.check_incarnation(call.expected_incarnation)
        if call.call_id is not None:
            self._leases.touch(call.call_id.client_id)
        return self._runner.assign(call, deadline)

    def delete_variables(self, client_id: str, uuids: Iterable[str]) -> int:
        """Removes shared variables; the count of those that existed."""
        self._leases.touch(client_id)
        return self._variables.delete(uuids)

    def list_variables(
        self, prefix: str = "", size: int = 100, after: str = ""
    ) -> tuple[tuple[VariableInfo, ...], str]:
        """A page of shared variables in uuid order, and where the next one starts, or ""."""
        return self._variables.page(prefix, max(1, min(size or 100, 1000)), after)

    # -- the whole

    def resume(self, client_id: str, incarnation: str, known: Sequence[tuple[str, int]]) -> Resumed:
        """What has become of the newest versions that a caller was told by an incarnation."""
        check_client_id(client_id)
        self._leases.touch(client_id)
        present = self._variables.present(uuid for uuid, _ in known)
        return self._at_start.compare(incarnation, known, present)

    def renew(self, client_id: str) -> None:
        """Renews a lease."""
        self._leases.touch(client_id)

    def usage(self) -> Usage:
        """What the engine holds now."""
        return Usage(
            incarnation=self.incarnation,
            store=self._store.name,
            uptime_seconds=self._clock() - self._started,
            functions=len(self._functions),
            variables=len(self._variables),
            buffers=len(self._buffers),
        )

    def end_lease(self, client_id: str) -> tuple[int, int, int]:
        """Stops what a client runs and frees what it holds: functions, buffers and variables."""
        check_client_id(client_id)  # "" would be whoever gives no name
        return self._freed(client_id)

    def _freed(self, client_id: str) -> tuple[int, int, int]:
        self._runner.calls.cancel_client(client_id)
        freed = (
            self._functions.release_client(client_id),
            self._buffers.release_client(client_id),
            self._variables.release_client(client_id),
        )
        self.uploads.release_client(client_id)
        self._window.forget_client(client_id)
        self._leases.end(client_id)
        return freed

    def collect(self) -> tuple[str, ...]:
        """Frees what lapsed clients held; their ids."""
        lapsed = self._leases.lapsed()
        self.uploads.sweep()
        for client_id in lapsed:
            self._freed(client_id)
        return lapsed

    def close(self) -> None:
        """Ends the compiler's processes and the use of the store."""
        self._compiler.close()
        self._store.close()

    def _revive(self, handle: str, kept: KeptFunction, deadline: Deadline) -> Function:
        """A kept function, compiled and bound again; to the object cache that is a lookup."""
        try:
            outline = self._compiler.read(kept.text, deadline)
        except UNREADABLE as error:
            raise damaged(handle, str(error)) from error
        variables = bound(outline, kept.bindings, self._variables)
        content = content_key(outline.digest, kept.choices)
        if function_handle(content, kept.bindings, kept.choices.durability) != handle:
            raise damaged(handle, "its content has another hash")
        compiled = self._compiled(content, outline, kept.choices, deadline)
        info = FunctionInfo(
            handle=handle,
            signature=signature_of(outline, variables),
            plan=compiled.plan,
            timings=compiled.timings,
            graph_digest=outline.digest,
            choices=kept.choices,
            name=kept.name,
        )
        return function_of(info, outline, content, compiled, variables)

    def check_incarnation(self, expected: str) -> None:
        """Returns if a caller knows which server it talks to; "" is whichever there is.

        Raises:
            UnknownHandle: another one served when the caller last heard of it.
        """
        if expected and expected != self.incarnation:
            raise UnknownHandle(
                "the server was restarted since the caller last heard of it; nothing was done",
                hint="ask AdminService.Resume what was lost, then repeat the call",
                fields={"incarnation": self.incarnation},
            )

    def _compiled(
        self, content: str, outline: Outline, choices: CompileChoices, deadline: Deadline | None
    ) -> Compiled:
        def work() -> Compiled:
            present = self._functions.with_content(content)
            return present or self._compiler.compile(outline, choices, deadline)

        return self._flight.get(content, work, deadline)

    def _outline(self, call: CompileCall, deadline: Deadline | None) -> Outline:
        graph = call.graph
        if isinstance(graph, bytes):
            return self._known(graph, call.client_id, deadline)
        return outline_of(graph) if isinstance(graph, Graph) else graph

    def _known(self, digest: bytes, client_id: str, deadline: Deadline | None) -> Outline:
        """The outline of a graph of this digest, which some function here has."""
        found = self._functions.with_digest(digest)
        if isinstance(found, Function):
            return found.outline
        if found is not None:
            with suppress(*UNREADABLE):  # then the caller has to send it
                outline = self._read(found.text, client_id, deadline)
                if outline.digest == digest:
                    return outline
        raise UnknownHandle("no graph of this digest is kept here", hint="send the graph itself")

    def _read(self, text: bytes, client_id: str, deadline: Deadline | None) -> Outline:
        """The outline of a graph that was written down, in a turn of the client."""
        with self._compiling.turn(client_id, deadline):
            return self._compiler.read(text, deadline)
