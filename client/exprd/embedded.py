"""The transport into this very process: the server's engine without a server.

The one module of the client that imports the server's package, loaded by the first function that is
compiled without a target. Arrays are passed as they are, nothing is encoded.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from exprd.transport import (
    Array,
    BufferRef,
    CompiledInfo,
    CompileJob,
    InputValue,
    NewVariable,
    OutputValue,
    PlanStep,
    RemoteBuffer,
    Run,
)
from exprd_compiler.errors import ConnectionLost
from exprd_compiler.ir.counts import EventCount
from exprd_server import values
from exprd_server.embedded import embedded_engine
from exprd_server.engine import LocalEngine
from exprd_server.variables import NewVariable as EngineVariable

__all__ = ["EmbeddedTransport"]

_DURABILITY: Final = {
    "volatile": values.Durability.VOLATILE,
    "durable": values.Durability.DURABLE,
    "constant": values.Durability.CONSTANT,
}


class EmbeddedTransport:
    """The engine of this process; compiled objects are kept in `cache`. Thread safe."""

    target = ""

    def __init__(self, cache: Path | None) -> None:
        self._engine = embedded_engine(cache=cache)
        self._client = str(uuid.uuid4())
        self._closed = False

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
        return CompiledInfo(
            handle=info.handle,
            plan=tuple(PlanStep(op=step.op, text=step.text) for step in info.plan),
            timings=dict(info.timings),
            cache_hit=info.cache_hit,
        )

    def texts(self, handle: str) -> Mapping[str, str]:
        """The stages of a function as text."""
        return self._engine.describe(handle).texts

    def runner(self, handle: str, outputs: int) -> Run:
        """The callable of a handle that has so many outputs."""
        engine, client = self._engine, self._client
        direct = engine.direct(handle)
        kept = (values.Delivery.KEEP,) * outputs

        def run(
            inputs: Sequence[InputValue], keep: bool
        ) -> tuple[Sequence[OutputValue], Sequence[EventCount]]:
            self._check_open()
            if not keep:
                return direct([_resolved(x, engine, client) for x in inputs])
            call = values.ExecuteCall(
                handle=handle,
                inputs=tuple([_given(x) for x in inputs]),
                deliveries=kept,
                client_id=client,
            )
            reply = engine.execute(call)
            return [_result(x) for x in reply.outputs], reply.warnings

        return run

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost(
                "the session in this process is closed", hint="compile the function again"
            )

    def create_variable(self, new: NewVariable) -> None:
        """Makes a shared variable."""
        variable = EngineVariable(
            value=_given(new.value),
            uuid=new.uuid,
            name=new.name,
            type=new.type,
            durability=_DURABILITY[new.durability],
        )
        self._engine.create_variable(self._client, variable)

    def get_variable(self, uuid: str) -> Array:
        """The value of a shared variable, read-only."""
        return _array(self._engine.get_variable(self._client, uuid)[1])

    def set_variable(self, uuid: str, value: Array) -> None:
        """Assigns a shared variable."""
        self._engine.set_variable(values.SetCall(uuid=uuid, value=value))

    def put(self, value: Array) -> RemoteBuffer:
        """Keeps an array."""
        return _buffer(self._engine.put(self._client, value))

    def get(self, buffer: RemoteBuffer) -> Array:
        """The value of a kept array, read-only."""
        return self._engine.get(self._client, buffer.handle)

    def release(
        self, functions: Sequence[str], buffers: Sequence[str], variables: Sequence[str]
    ) -> None:
        """Gives things up."""
        self._engine.release_functions(self._client, functions)
        self._engine.release_buffers(self._client, buffers)
        self._engine.delete_variables(self._client, variables)

    def close(self) -> None:
        """Gives everything up."""
        self._closed = True
        self._engine.end_lease(self._client)
        self._engine.close()


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


def run_command() -> None:
    """Runs the server's command line on the arguments of this process."""
    from exprd_server.cli import main  # not at the top: only the command line needs it

    main(prog_name="exprd")
