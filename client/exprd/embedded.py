"""The transport into this very process: the server's engine without a server.

The one module of the client that imports the server's package, loaded by the first function that is
compiled without a target. Arrays are passed as they are, nothing is encoded.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from exprd.aside import aside
from exprd.embedded_loops import EmbeddedLoops
from exprd.looping import Given, RepeatJob
from exprd.named import ParameterInfo, PublishedInfo, PublishJob
from exprd.transport import (
    Array,
    AttachedVariable,
    BufferRef,
    CompiledInfo,
    CompileJob,
    Expected,
    InputValue,
    NewVariable,
    OutputValue,
    PlanStep,
    RemoteBuffer,
    Run,
)
from exprd_compiler.errors import ConnectionLost
from exprd_compiler.ir.counts import EventCount
from exprd_server import values, versions
from exprd_server.deadline import Deadline
from exprd_server.embedded import embedded_engine
from exprd_server.engine import LocalEngine
from exprd_server.holding import SHOWN
from exprd_server.interrupts import SHIELD
from exprd_server.publishing import Publisher
from exprd_server.repeat import Progress, RepeatCall
from exprd_server.variables import NewVariable as EngineVariable
from exprd_server.versions import PublishCall

__all__ = ["EmbeddedTransport"]

_PAGE: Final = 1000
_DURABILITY: Final = {
    "default": values.Durability.VOLATILE,
    "volatile": values.Durability.VOLATILE,
    "durable": values.Durability.DURABLE,
    "constant": values.Durability.CONSTANT,
}


class EmbeddedTransport:
    """The engine of this process; compiled objects are kept in `cache`. Thread safe.

    Args:
        cache: folder of compiled objects; none when not given.
        room: bytes that one call may take; 0 is as many as there are.
    """

    target = ""

    def __init__(self, cache: Path | None, room: int = 0) -> None:
        self._engine = embedded_engine(cache=cache, room=room)
        self._client = str(uuid.uuid4())
        self._closed = False
        self.loops = EmbeddedLoops(self._run, self._repeat, self._free, _endless)
        self.names = EmbeddedNames(self._engine.published, self._client)

    @property
    def traffic(self) -> tuple[int, int]:
        """Nothing travels."""
        return 0, 0

    def info(self) -> Mapping[str, str]:
        """Load of the engine."""
        usage = self._engine.usage()
        return {
            "incarnation": usage.incarnation,
            "store": usage.store,
            "functions": str(usage.functions),
            "variables": str(usage.variables),
            "buffers": str(usage.buffers),
        }

    def compile(self, job: CompileJob) -> CompiledInfo:
        """Compiles a graph in this process."""
        choices = values.CompileChoices(
            mode=job.mode,
            target=job.target,
            including=job.including,
            excluding=job.excluding,
            durability=job.durability,
        )
        info = self._engine.compile(
            values.CompileCall(
                client_id=self._client,
                graph=job.graph,
                bindings=job.bindings,
                choices=choices,
                name=job.name,
            )
        )
        assert not isinstance(info.plan, bytes)  # as it is where workers compile
        return CompiledInfo(
            handle=info.handle,
            plan=tuple(PlanStep(op=step.op, text=step.text) for step in info.plan),
            timings=dict(info.timings),
            cache_hit=info.cache_hit,
        )

    def texts(self, handle: str) -> Mapping[str, str]:
        """The stages of a function as text."""
        return self._engine.describe(handle, self._client).texts

    def runner(self, handle: str, outputs: int) -> Run:
        """The callable of a handle that has so many outputs."""
        loops, single = self.loops, self._runner(handle, outputs)

        def run(
            inputs: Sequence[InputValue], keep: bool, expected: Expected = ()
        ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
            if loops.entered:
                loops.drain()
            return single(inputs, keep, expected)

        return run

    def _runner(self, handle: str, outputs: int) -> Callable[..., Given]:
        engine, client = self._engine, self._client
        direct = engine.direct(handle)
        kept = (values.Delivery.KEEP,) * outputs

        def run(
            inputs: Sequence[InputValue],
            keep: bool,
            expected: Expected = (),
            time: Deadline | None = None,
        ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
            self._check_open()
            if not keep and not expected:
                return direct([_resolved(x, engine, client) for x in inputs], time)
            call = values.ExecuteCall(
                handle=handle,
                inputs=tuple([_given(x) for x in inputs]),
                deliveries=kept if keep else (),
                client_id=client,
                expected=tuple(expected),
            )
            with SHIELD:
                reply = engine.execute(call, time)
            return [_result(x) for x in reply.outputs], reply.warnings

        return run

    def _run(
        self,
        handle: str,
        inputs: Sequence[InputValue],
        outputs: int,
        *,
        keep: bool,
        time: Deadline | None = None,
    ) -> Given:
        return self._runner(handle, outputs)(inputs, keep, (), time)

    def _free(self, handles: Sequence[str]) -> None:
        self._engine.release_buffers(self._client, handles)

    def _repeat(
        self, handle: str, inputs: Sequence[InputValue], outputs: int, job: RepeatJob
    ) -> Given:
        self._check_open()
        call = values.ExecuteCall(
            handle=handle,
            inputs=tuple([_given(x) for x in inputs]),
            deliveries=(values.Delivery.KEEP,) * outputs if job.kept else (),
            client_id=self._client,
        )
        wanted = RepeatCall(
            call=call,
            steps=job.steps,
            until=job.until,
            every=job.every,
            watched=tuple(range(outputs)),
            stacked=job.stacked,
            once=job.once,
        )
        with closing(self._messages(wanted)) as messages:
            for message in messages:
                if isinstance(message, values.ExecuteReply):
                    return [_result(x) for x in message.outputs], message.warnings
                if job.tell is not None:
                    job.tell(message.step, message.values)
        raise AssertionError("a repetition ends with its reply")

    def _messages(self, wanted: RepeatCall) -> Generator[Progress | values.ExecuteReply]:
        """What a repetition tells; in the main thread, Ctrl-C ends it between two steps."""
        if threading.current_thread() is not threading.main_thread():
            return self._engine.repeat(wanted)
        time = _endless()
        return aside(lambda: self._engine.repeat(wanted, time), time.cancel)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost(
                "the session in this process is closed", hint="compile the function again"
            )

    def create_variable(self, new: NewVariable) -> str:
        """Makes a shared variable; its durability."""
        variable = EngineVariable(
            value=_given(new.value),
            uuid=new.uuid,
            name=new.name,
            type=new.type,
            durability=_DURABILITY[new.durability],
        )
        with SHIELD:
            return self._engine.create_variable(self._client, variable).durability.value

    def attach_variable(self, name: str, default: NewVariable | None) -> AttachedVariable:
        """The durable variable of a name, or one that is made of a default."""
        variable = EngineVariable(
            value=None if default is None else _given(default.value),
            uuid="" if default is None else default.uuid,
            name=name,
            type=None if default is None else default.type,
            durability=values.Durability.DURABLE,
            attach=True,
        )
        with SHIELD:
            info = self._engine.create_variable(self._client, variable)
        return AttachedVariable(uuid=info.uuid, type=info.type)

    def get_variable(self, uuid: str) -> Array:
        """The value of a shared variable, read-only."""
        return _array(self._engine.get_variable(self._client, uuid)[1])

    def read_variables(self, uuids: Sequence[str]) -> Sequence[Array]:
        """The values of shared variables, all of one moment, read-only."""
        return [_array(value) for _, value in self._engine.snapshot(self._client, uuids)]

    def variable_versions(self, uuids: Sequence[str]) -> Sequence[int]:
        """The versions of shared variables, all of one moment."""
        read = self._engine.snapshot(self._client, uuids, values.Delivery.DISCARD)
        return [info.version for info, _ in read]

    def set_variable(self, uuid: str, value: Array, expected_version: int | None = None) -> int:
        """Assigns a shared variable; its new version."""
        call = values.SetCall(uuid=uuid, value=value, expected_version=expected_version)
        with SHIELD:
            return self._engine.set_variable(call).variable.version

    def put(self, value: Array, resend: bool = False) -> RemoteBuffer:
        """Keeps an array; this process is not restarted without its buffers."""
        del resend
        with SHIELD:
            return _buffer(self._engine.put(self._client, value))

    def get(self, buffer: RemoteBuffer) -> Array:
        """The value of a kept array, read-only."""
        return self._engine.get(self._client, buffer.handle)

    def release(
        self, functions: Sequence[str], buffers: Sequence[str], variables: Sequence[str]
    ) -> None:
        """Gives things up."""
        with SHIELD:
            self._engine.release_functions(self._client, functions)
            self._engine.release_buffers(self._client, buffers)
            self._engine.delete_variables(self._client, variables)

    def close(self) -> None:
        """Gives everything up."""
        self._closed = True
        self._engine.end_lease(self._client)
        self._engine.close()


class EmbeddedNames:
    """The functions that are published in this process; they end with it."""

    def __init__(self, published: Publisher, client: str) -> None:
        self._published, self._me = published, client

    def publish(self, job: PublishJob) -> PublishedInfo:
        """Gives a compiled function a name."""
        call = PublishCall(
            client_id=self._me,
            name=job.name,
            handle=job.handle,
            form=job.form,
            inputs=job.inputs,
            outputs=job.outputs,
            version=job.version,
            labels=job.labels,
            doc=job.doc,
        )
        return _published(self._published.publish(call))

    def lookup(self, name: str, version: int, label: str) -> PublishedInfo:
        """A published function, held from now on."""
        found = self._published.lookup(self._me, name, version=version, label=label)
        return _published(found)

    def page(self, prefix: str) -> Sequence[PublishedInfo]:
        """Every published version whose name begins so."""
        found, after = self._published.page(prefix, _PAGE)
        rows = list(found)
        while after:
            found, after = self._published.page(prefix, _PAGE, after)
            rows += found
        return [_published(row) for row in rows]

    def set_label(self, name: str, label: str, version: int, expected: int) -> PublishedInfo:
        """Points a label at a version, or with 0 back to the one before."""
        moved = self._published.set_label(self._me, name, label, version=version, expected=expected)
        return _published(moved)

    def unpublish(self, name: str, versions: Sequence[int]) -> int:
        """Takes versions away, all when none is named; the count of those there were."""
        return self._published.unpublish(self._me, name, versions)


def _endless() -> Deadline:
    """The time of a call that ends only when it is cancelled."""
    return Deadline(threading.TIMEOUT_MAX)


def _published(info: versions.PublishedInfo) -> PublishedInfo:
    version, signature = info.version, info.version.signature
    return PublishedInfo(
        name=version.name,
        version=version.version,
        labels=info.labels,
        handle=version.handle,
        doc=version.doc,
        inputs=_parameters(signature.inputs),
        outputs=_parameters(signature.outputs),
        shared=_parameters(signature.shared),
        updated=signature.updated,
        publisher=version.publisher[:SHOWN],
        created=version.created,
        form=version.form,
    )


def _parameters(row: Sequence[values.Parameter]) -> tuple[ParameterInfo, ...]:
    return tuple(ParameterInfo(name=p.name, type=p.type, variable=p.variable) for p in row)


def _given(value: InputValue) -> Array | values.BufferRef:
    return values.BufferRef(value.handle) if isinstance(value, BufferRef) else value


def _resolved(value: InputValue, engine: LocalEngine, client: str) -> Array:
    return engine.get(client, value.handle) if isinstance(value, BufferRef) else value


def _result(value: values.OutputValue) -> OutputValue:
    return _buffer(value) if isinstance(value, values.BufferInfo) else _array(value)


def _array(value: values.OutputValue) -> Array:
    assert isinstance(value, np.ndarray)  # everything is asked for inline here
    return value


def _buffer(info: values.BufferInfo) -> RemoteBuffer:
    return RemoteBuffer(handle=info.handle, dtype=info.dtype, shape=info.shape)
