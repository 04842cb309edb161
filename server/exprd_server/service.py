"""The servicers: decode, call the engine, encode. Nothing else.

Invariant: no try, no log, no lock here; errors leave as exceptions and become
statuses in `interceptors.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exprd_proto as wire
from exprd_server import answers, naming, replies, requests
from exprd_server.batch import run_batch
from exprd_server.deadline import Deadline
from exprd_server.fairness import client_of
from exprd_server.lane import Lane
from exprd_server.session import stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import grpc

    from exprd_server.bell.listener import Doorbell
    from exprd_server.engine import LocalEngine
    from exprd_server.log import Logger
    from exprd_server.reading import GraphReader
    from exprd_server.session import SessionTable
    from exprd_server.settings import Settings

PROTOCOL = 1


def deadline_of(context: grpc.ServicerContext, seconds: float) -> Deadline:
    """The caller's deadline, capped by the server's; it is told when the caller goes away."""
    deadline = Deadline(_seconds_of(context, seconds))
    context.add_callback(deadline.leave)
    return deadline


def lane_of(context: grpc.ServicerContext, seconds: float, client_id: str) -> Lane:
    """The same for calls of a client that run one after another."""
    lane = Lane(client_id, _seconds_of(context, seconds))
    context.add_callback(lane.leave)
    return lane


def _seconds_of(context: grpc.ServicerContext, seconds: float) -> float:
    given: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
    return seconds if given is None else min(seconds, given)


class CompilerService(wire.CompilerServiceServicer):
    """Compile, Describe, Release of functions."""

    def __init__(self, engine: LocalEngine, settings: Settings, reader: GraphReader) -> None:
        self._engine = engine
        self._settings = settings
        self._reader = reader

    def Compile(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Compiles the graph of a CompileHead."""
        deadline = deadline_of(context, self._settings.compile_seconds)
        call = requests.compile_call(request, self._reader, self._settings.limits, deadline)
        info = self._engine.compile(call, deadline)
        return replies.compile_response(info, self._engine.incarnation)

    def Describe(
        self, request: wire.DescribeRequest, context: grpc.ServicerContext
    ) -> wire.DescribeResponse:
        """Shows a function."""
        deadline = deadline_of(context, self._settings.compile_seconds)
        wanted = request.texts
        info = self._engine.describe(
            request.handle, request.client_id, texts=bool(wanted), deadline=deadline
        )
        return replies.describe_response(info, wanted)

    def Release(
        self, request: wire.CompilerServiceReleaseRequest, context: grpc.ServicerContext
    ) -> wire.CompilerServiceReleaseResponse:
        """Gives functions up."""
        del context
        count = self._engine.release_functions(request.client_id, request.handles)
        unknown = len(request.handles) - count
        return wire.CompilerServiceReleaseResponse(released=count, unknown=unknown)

    def Publish(
        self, request: wire.PublishRequest, context: grpc.ServicerContext
    ) -> wire.PublishResponse:
        """Gives a function a name."""
        deadline = deadline_of(context, self._settings.compile_seconds)
        call = naming.publish_call(request, self._settings.limits)
        info = self._engine.published.publish(call, deadline)
        return wire.PublishResponse(function=naming.published_function(info))

    def Lookup(
        self, request: wire.LookupRequest, context: grpc.ServicerContext
    ) -> wire.LookupResponse:
        """Finds a function by name."""
        info = self._engine.published.lookup(
            request.client_id,
            request.name,
            version=request.version,
            label=request.label,
            deadline=deadline_of(context, self._settings.compile_seconds),
        )
        return wire.LookupResponse(
            function=naming.published_function(info), incarnation=self._engine.incarnation
        )

    def ListFunctions(
        self, request: wire.ListFunctionsRequest, context: grpc.ServicerContext
    ) -> wire.ListFunctionsResponse:
        """Names published functions, or who holds the compiled ones."""
        del context
        asked = (request.name_prefix, request.page_size, request.page_token)
        if request.held:
            held, after = self._engine.published.held(*asked)
            return wire.ListFunctionsResponse(
                held=map(naming.held_function, held), next_page_token=after
            )
        page, after = self._engine.published.page(*asked)
        return wire.ListFunctionsResponse(
            functions=map(naming.published_function, page), next_page_token=after
        )

    def SetLabel(
        self, request: wire.SetLabelRequest, context: grpc.ServicerContext
    ) -> wire.SetLabelResponse:
        """Moves a label."""
        del context
        info = self._engine.published.set_label(
            request.client_id,
            request.name,
            request.label,
            version=request.version,
            expected=request.expected_version,
        )
        return wire.SetLabelResponse(function=naming.published_function(info))

    def Unpublish(
        self, request: wire.UnpublishRequest, context: grpc.ServicerContext
    ) -> wire.UnpublishResponse:
        """Takes versions away."""
        del context
        count = self._engine.published.unpublish(request.client_id, request.name, request.versions)
        return wire.UnpublishResponse(removed=count, unknown=max(0, len(request.versions) - count))


class ExecutorService(wire.ExecutorServiceServicer):
    """Execute, Session, ExecuteBatch, Repeat, OpenDoorbell."""

    def __init__(
        self,
        engine: LocalEngine,
        settings: Settings,
        sessions: SessionTable,
        doorbell: Doorbell,
        log: Logger,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._limits = settings.limits
        self._sessions = sessions
        self._doorbell = doorbell
        self._log = log

    def Execute(self, request: wire.ExecuteRequest, context: grpc.ServicerContext) -> Any:
        """Runs a function."""
        deadline = deadline_of(context, self._settings.execute_seconds)
        call = requests.execute_call(request, self._limits)
        reply = self._engine.execute(call, deadline)
        return answers.execute_answer(reply, self._engine.incarnation)

    def Session(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """Runs the calls of SessionFrames in order."""
        return self._sessions.serve(request_iterator, stream_of(context))

    def ExecuteBatch(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Runs a function over the lists of inputs of a BatchFrame."""
        lane = lane_of(context, self._settings.execute_seconds, client_of(request))
        return run_batch(self._engine, request, self._settings.limits, lane, self._log)

    def Repeat(
        self, request: wire.RepeatRequest, context: grpc.ServicerContext
    ) -> Iterator[wire.RepeatResponse]:
        """Runs a function many times."""
        deadline = deadline_of(context, self._settings.stream_seconds)
        job = requests.repeat_call(request, self._settings.limits)
        for message in self._engine.repeat(job, deadline):
            yield replies.repeat_response(message, self._engine.incarnation)

    def OpenDoorbell(
        self, request: wire.OpenDoorbellRequest, context: grpc.ServicerContext
    ) -> wire.OpenDoorbellResponse:
        """Lets a client connect to the doorbell."""
        del context
        offer = self._doorbell.offer(request.client_id, self._engine, self._settings)
        return wire.OpenDoorbellResponse(
            ticket=offer.ticket,
            incarnation=self._engine.incarnation,
            region_bytes=offer.region_bytes,
            calls=offer.calls,
        )


class DataService(wire.DataServiceServicer):
    """Put, Get, PutStatus, Release of buffers."""

    def __init__(self, engine: LocalEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def Put(
        self,
        request_iterator: Iterator[Any],
        context: grpc.ServicerContext,
    ) -> wire.DataServicePutResponse:
        """Takes an array."""
        stop = stream_of(context).cancel
        info = self._engine.uploads.receive(request_iterator, stop)
        return wire.DataServicePutResponse(buffer=replies.buffer_info(info))

    def Get(
        self, request: wire.DataServiceGetRequest, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """Gives an array."""
        del context
        value = self._engine.get(request.client_id, request.handle)
        return replies.download(value, request.offset)

    def PutStatus(
        self, request: wire.PutStatusRequest, context: grpc.ServicerContext
    ) -> wire.PutStatusResponse:
        """Tells how far an upload has come."""
        del context
        received, info = self._engine.put_status(request.client_id, request.handle)
        buffer = None if info is None else replies.buffer_info(info)
        return wire.PutStatusResponse(received=received, buffer=buffer)

    def Release(
        self, request: wire.DataServiceReleaseRequest, context: grpc.ServicerContext
    ) -> wire.DataServiceReleaseResponse:
        """Frees buffers."""
        del context
        count = self._engine.release_buffers(request.client_id, request.handles)
        unknown = len(request.handles) - count
        return wire.DataServiceReleaseResponse(released=count, unknown=unknown)


class StateService(wire.StateServiceServicer):
    """Create, Get, Set, Delete, List of shared variables."""

    def __init__(self, engine: LocalEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def Create(
        self, request: wire.StateServiceCreateRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceCreateResponse:
        """Makes a variable."""
        del context
        settings = self._settings
        new = requests.new_variable(request, settings.limits, settings.default_durability)
        info = self._engine.create_variable(request.client_id, new)
        return wire.StateServiceCreateResponse(variable=replies.variable_info(info))

    def Get(
        self, request: wire.StateServiceGetRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceGetResponse:
        """Reads a variable."""
        del context
        self._engine.check_incarnation(request.expected_incarnation)
        delivery = requests.delivery(request.delivery)
        room = requests.reply_bytes(self._settings.limits)
        info, value = self._engine.get_variable(request.client_id, request.uuid, delivery, room)
        response = wire.StateServiceGetResponse(variable=replies.variable_info(info))
        replies.write_output(response.value, value)
        return response

    def Snapshot(
        self, request: wire.StateServiceSnapshotRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceSnapshotResponse:
        """Reads several variables at one moment."""
        del context
        self._engine.check_incarnation(request.expected_incarnation)
        delivery = requests.delivery(request.delivery)
        room = requests.reply_bytes(self._settings.limits)
        uuids = requests.snapshot_uuids(request)
        return replies.snapshot_response(
            self._engine.snapshot(request.client_id, uuids, delivery, room)
        )

    def Set(
        self, request: wire.StateServiceSetRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceSetResponse:
        """Assigns a variable."""
        deadline = deadline_of(context, self._settings.execute_seconds)
        reply = self._engine.set_variable(requests.set_call(request), deadline)
        return wire.StateServiceSetResponse(
            variable=replies.variable_info(reply.variable), replayed=reply.replayed
        )

    def Delete(
        self, request: wire.StateServiceDeleteRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceDeleteResponse:
        """Removes variables."""
        del context
        count = self._engine.delete_variables(request.client_id, request.uuids)
        unknown = len(request.uuids) - count
        return wire.StateServiceDeleteResponse(deleted=count, unknown=unknown)

    def List(
        self, request: wire.StateServiceListRequest, context: grpc.ServicerContext
    ) -> wire.StateServiceListResponse:
        """Names variables."""
        del context
        page, after = self._engine.list_variables(
            request.name_prefix, request.page_size, request.page_token
        )
        return wire.StateServiceListResponse(
            variables=map(replies.variable_info, page), next_page_token=after
        )


class AdminService(wire.AdminServiceServicer):
    """GetInfo, Resume, EndLease, and checkpoints."""

    def __init__(
        self, engine: LocalEngine, settings: Settings, targets: Sequence[tuple[str, str]]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._targets = targets

    def GetInfo(
        self, request: wire.GetInfoRequest, context: grpc.ServicerContext
    ) -> wire.GetInfoResponse:
        """Tells about the server and renews the caller's lease."""
        del context
        self._engine.renew(request.client_id)
        self._engine.cancel(request.client_id, requests.cancelled(request))
        return replies.info_response(
            self._engine.usage(), self._settings, self._targets, protocol=PROTOCOL
        )

    def Resume(
        self, request: wire.ResumeRequest, context: grpc.ServicerContext
    ) -> wire.ResumeResponse:
        """Tells what a restart has taken."""
        del context
        known = requests.known_versions(request)
        return replies.resume_response(
            self._engine.resume(request.client_id, request.incarnation, known)
        )

    def EndLease(
        self, request: wire.EndLeaseRequest, context: grpc.ServicerContext
    ) -> wire.EndLeaseResponse:
        """Frees what the caller holds."""
        del context
        functions, buffers, variables = self._engine.end_lease(request.client_id)
        return wire.EndLeaseResponse(functions=functions, buffers=buffers, variables=variables)

    def Checkpoint(
        self, request: wire.CheckpointRequest, context: grpc.ServicerContext
    ) -> wire.CheckpointResponse:
        """Writes a checkpoint."""
        del context
        info = self._engine.checkpoints.write(request.name)
        return wire.CheckpointResponse(checkpoint=replies.checkpoint_info(info))

    def ListCheckpoints(
        self, request: wire.ListCheckpointsRequest, context: grpc.ServicerContext
    ) -> wire.ListCheckpointsResponse:
        """Names the checkpoints."""
        del request, context
        found = self._engine.checkpoints.all()
        return wire.ListCheckpointsResponse(checkpoints=map(replies.checkpoint_info, found))

    def RestoreCheckpoint(
        self, request: wire.RestoreCheckpointRequest, context: grpc.ServicerContext
    ) -> wire.RestoreCheckpointResponse:
        """Restores a checkpoint."""
        deadline = deadline_of(context, self._settings.execute_seconds)
        assigned, created = self._engine.checkpoints.restore(request.name, deadline)
        return wire.RestoreCheckpointResponse(assigned=assigned, created=created)
