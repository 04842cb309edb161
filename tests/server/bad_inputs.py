"""The named bad inputs: requests that must be refused with a typed error, as data.

Each case builds its request from a `World`, a running server with one good function
and a few variables, and says which error it must get. To fix a hole in the boundary,
first add a case here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import exprd_proto as wire
from exprd_proto import DataType
from tests.server.bad_graphs import (
    F32,
    F64,
    GRAPHS,
    I64,
    World,
    compile_request,
    good_graph,
    with_request,
)

COMPILE = "/exprd.v1.CompilerService/Compile"
EXECUTE = "/exprd.v1.ExecutorService/Execute"
CREATE = "/exprd.v1.StateService/Create"
SET = "/exprd.v1.StateService/Set"
GET = "/exprd.v1.StateService/Get"
LIST = "/exprd.v1.StateService/List"
DESCRIBE = "/exprd.v1.CompilerService/Describe"
PUBLISH = "/exprd.v1.CompilerService/Publish"
ADMIN = "/exprd.v1.AdminService/"


@dataclass(frozen=True)
class BadInput:
    name: str
    method: str
    build: Callable[[World], Any]
    kind: str
    says: str = ""


BUNDLE = wire.GraphBundle(opset_version=1, graphs=[good_graph()])
COMPILES = (
    (
        "op set 0",
        with_request(graph=wire.GraphBundle(graphs=[good_graph()])),
        "UnsupportedVersion",
        "op set 0",
    ),
    (
        "op set of the future",
        with_request(graph=wire.GraphBundle(opset_version=999, graphs=[good_graph()])),
        "UnsupportedVersion",
        "op set 999",
    ),
    ("no graph", with_request(graph=wire.GraphBundle(opset_version=1)), "GraphError", "no graph"),
    ("neither graph nor digest", with_request(graph=None), "CallError", "neither"),
    ("unknown digest", with_request(graph=None, graph_digest=b"?"), "UnknownHandle", "digest"),
    (
        "digest and gradients",
        with_request(
            graph=None,
            graph_digest=b"?",
            gradients=[wire.GradientRequest(cost=3, wrt=[1])],
        ),
        "CallError",
        "gradients",
    ),
    ("no client id", with_request(client_id=""), "CallError", "client_id"),
    ("path as client id", with_request(client_id="../../root"), "CallError", "client_id"),
    (
        "a rewrite to include that nobody knows",
        with_request(options=wire.CompileOptions(including=["magic"])),
        "CallError",
        "option 'magic' is unknown",
    ),
    (
        "a setting of no pass",
        with_request(options=wire.CompileOptions(settings={"fuse.limit": "3"})),
        "CallError",
        "option 'fuse.limit' is unknown",
    ),
    (
        "a policy that is none",
        with_request(options=wire.CompileOptions(durability="sometimes")),
        "CallError",
        "no durability policy",
    ),
    ("no binding", with_request(bindings=[]), "GraphError", "0 bindings for 1"),
    (
        "binding of slot 1 alone",
        lambda w: compile_request(w, bindings=[wire.VariableBinding(slot=1, uuid=w.uuid)]),
        "CallError",
        "slots",
    ),
    (
        "binding twice",
        lambda w: compile_request(w, bindings=[wire.VariableBinding(slot=0, uuid=w.uuid)] * 2),
        "CallError",
        "slots",
    ),
    (
        "binding to no variable",
        with_request(bindings=[wire.VariableBinding(slot=0, uuid="nope")]),
        "UnknownHandle",
        "no shared variable",
    ),
    (
        "binding of another type",
        lambda w: compile_request(w, bindings=[wire.VariableBinding(slot=0, uuid=w.integer)]),
        "GraphError",
        "int64",
    ),
    (
        "update of a constant",
        lambda w: compile_request(w, bindings=[wire.VariableBinding(slot=0, uuid=w.constant)]),
        "GraphError",
        "constant",
    ),
    ("unknown target", with_request(target="tpu"), "DeviceUnavailable", "tpu"),
    ("mode with a line break", with_request(mode="a\nb"), "CallError", "printable"),
    ("bytes of a JPEG", lambda _: b"\xff\xd8\xff\xe0\x00\x10JFIF", "CallError", "valid message"),
    (
        "name that is no UTF-8",
        lambda w: wire.CompileRequest(client_id="@@@@").SerializeToString().replace(b"@", b"\xff"),
        "CallError",
        "valid message",
    ),
    (
        "claimed length of 4 GiB",
        lambda _: b"\x12\xff\xff\xff\xff\x0f",
        "CallError",
        "valid message",
    ),
)


def array(*shape: int, dtype: int = F64, size: int = 8, data: bytes | None = None) -> wire.Array:
    count = 1
    for extent in shape:
        count *= extent
    return wire.Array(dtype=dtype, shape=shape, data=bytes(count * size) if data is None else data)


def execute_request(world: World, *inputs: wire.ExecuteInput, **changes: Any) -> Any:
    facts: dict[str, Any] = {"handle": world.handle, "inputs": inputs}
    return wire.ExecuteRequest(**{**facts, **changes})


def given(**source: Any) -> Callable[[World], Any]:
    return lambda world: execute_request(world, wire.ExecuteInput(**source))


def called(**changes: Any) -> Callable[[World], Any]:
    return lambda world: execute_request(world, wire.ExecuteInput(array=array(2)), **changes)


def call_id(**facts: Any) -> Callable[[World], Any]:
    return lambda world: called(call_id=wire.CallId(client_id=world.client_id, **facts))(world)


EXECUTES = (
    ("unknown function", called(handle="fn-1"), "UnknownHandle", "compile it again"),
    ("path as function", called(handle="/etc/passwd"), "UnknownHandle", ""),
    ("no input", lambda w: execute_request(w), "CallError", "takes 1 inputs"),
    (
        "input too many",
        lambda w: execute_request(w, *[wire.ExecuteInput(array=array(2))] * 2),
        "CallError",
        "takes 1 inputs",
    ),
    ("input without value", given(), "CallError", "input 0 has no value"),
    ("input of another dtype", given(array=array(2, dtype=F32, size=4)), "CallError", "float32"),
    ("input of another rank", given(array=array(2, 2)), "CallError", "float64[2,2]"),
    ("input bytes missing", given(array=array(2, data=b"")), "CallError", "takes 16 bytes"),
    ("input of negative extent", given(array=array(-1, data=b"")), "CallError", "negative"),
    ("input of rank 33", given(array=array(*[1] * 33)), "CallError", "rank 33"),
    ("input of no dtype", given(array=array(2, dtype=0)), "CallError", "number 0"),
    (
        "input overflowing",
        given(array=array(2**62, 2**62, data=b"")),
        "CallError",
        "above the limit",
    ),
    (
        "input of a dtype of later",
        given(array=array(1, dtype=DataType.DATA_TYPE_FLOAT8_E5M2, size=1)),
        "CallError",
        "float8",
    ),
    ("unknown buffer", given(buffer="buf-1"), "UnknownHandle", "put the array again"),
    ("unknown variable", given(variable="nope"), "UnknownHandle", "no shared variable"),
    ("variable of another type", lambda w: given(variable=w.integer)(w), "CallError", "int64"),
    ("unknown delivery", called(deliveries=[9]), "CallError", "delivery 9"),
    ("deliveries too many", called(deliveries=[1, 1]), "CallError", "2 deliveries for 1"),
    ("kept for nobody", called(deliveries=[2]), "CallError", "client_id"),
    ("sequence number 0", call_id(seq=0), "CallError", "seq"),
    ("answered before it was made", call_id(seq=4, acked_through=4), "CallError", "acked"),
    (
        "other version expected",
        lambda w: called(expected=[wire.ExpectedVersion(uuid=w.uuid, version=99)])(w),
        "Conflict",
        "not at the expected 99",
    ),
    (
        "version of a stranger",
        lambda w: called(expected=[wire.ExpectedVersion(uuid=w.integer, version=1)])(w),
        "CallError",
        "not bound",
    ),
    (
        "extents that do not fit",
        given(array=array(5)),
        "ShapeError",
        "",
    ),
)


def creation(**changes: Any) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        facts: dict[str, Any] = {
            "client_id": world.client_id,
            "value": wire.VariableValue(array=array(2)),
        }
        return wire.StateServiceCreateRequest(**{**facts, **changes})

    return build


CREATES = (
    ("variable without value", creation(value=None), "CallError", "no value"),
    ("variable with an odd uuid", creation(uuid="../x"), "CallError", "uuid"),
    ("variable of nobody", creation(client_id=""), "CallError", "client_id"),
    ("unknown durability", creation(durability=9), "CallError", "durability 9"),
    (
        "value against its type",
        creation(type=wire.TensorType(dtype=I64, shape=[-1])),
        "ShapeError",
        "int64",
    ),
    ("value of no buffer", creation(value=wire.VariableValue(buffer="b")), "UnknownHandle", ""),
    (
        "uuid of another variable",
        lambda w: creation(uuid=w.integer)(w),
        "Conflict",
        "other content",
    ),
)


def assignment(**changes: Any) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        facts: dict[str, Any] = {
            "uuid": world.uuid,
            "value": wire.VariableValue(array=array(3)),
        }
        return wire.StateServiceSetRequest(**{**facts, **changes})

    return build


SETS = (
    ("assignment of no value", assignment(value=None), "CallError", "no value"),
    (
        "assignment of another dtype",
        assignment(value=wire.VariableValue(array=array(3, dtype=I64))),
        "ShapeError",
        "int64",
    ),
    (
        "assignment of another rank",
        assignment(value=wire.VariableValue(array=array())),
        "ShapeError",
        "",
    ),
    ("assignment of nothing", assignment(uuid="nope"), "UnknownHandle", ""),
    ("assignment of a constant", lambda w: assignment(uuid=w.constant)(w), "CallError", "constant"),
    ("assignment of an old version", assignment(expected_version=77), "Conflict", "77"),
)

OTHERS = (
    (GET, "variable unknown", lambda _: wire.StateServiceGetRequest(uuid="x"), "UnknownHandle"),
    (
        GET,
        "delivery unknown",
        lambda w: wire.StateServiceGetRequest(uuid=w.uuid, delivery=9),
        "CallError",
    ),
    (DESCRIBE, "function unknown", lambda _: wire.DescribeRequest(handle="x"), "UnknownHandle"),
    (ADMIN + "EndLease", "end of nobody's lease", lambda _: wire.EndLeaseRequest(), "CallError"),
    (
        ADMIN + "GetInfo",
        "cancellation of nobody's calls",
        lambda _: wire.GetInfoRequest(cancel=[0]),
        "CallError",
    ),
    (
        ADMIN + "GetInfo",
        "cancellation of too many calls",
        lambda w: wire.GetInfoRequest(client_id=w.client_id, cancel=range(1025)),
        "LimitExceeded",
    ),
    (
        ADMIN + "Checkpoint",
        "checkpoint in another folder",
        lambda _: wire.CheckpointRequest(name="../../etc"),
        "CallError",
    ),
)


def publication(**changes: Any) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        facts: dict[str, Any] = {
            "client_id": world.client_id,
            "name": "f",
            "handle": world.handle,
            "form": wire.CallForm(inputs=[wire.InputForm(name="x")], outputs=1),
        }
        return wire.PublishRequest(**{**facts, **changes})

    return build


PUBLISHES = (
    ("publication without a name", publication(name=""), "CallError", "printable"),
    ("publication under two lines", publication(name="f\nlevel=error"), "CallError", "printable"),
    ("publication of nothing", publication(handle="x"), "UnknownHandle", ""),
    ("publication by nobody", publication(client_id=""), "CallError", "client_id"),
    ("publication with 65 labels", publication(labels=[*map(str, range(65))]), "CallError", "64"),
    ("publication of another form", publication(form=wire.CallForm()), "CallError", "0 inputs"),
    (
        "publication of an unknown layout",
        publication(form=wire.CallForm(outputs=1, layout=99)),
        "CallError",
        "layout 99",
    ),
    (
        "publication with a default of too few bytes",
        publication(form=wire.CallForm(inputs=[wire.InputForm(default=array(3, data=b""))])),
        "CallError",
        "0 were sent",
    ),
)

CASES = (
    *[BadInput(name, COMPILE, build, kind, says) for name, build, kind, says in GRAPHS],
    *[BadInput(name, COMPILE, build, kind, says) for name, build, kind, says in COMPILES],
    *[BadInput(name, EXECUTE, build, kind, says) for name, build, kind, says in EXECUTES],
    *[BadInput(name, CREATE, build, kind, says) for name, build, kind, says in CREATES],
    *[BadInput(name, SET, build, kind, says) for name, build, kind, says in SETS],
    *[BadInput(name, PUBLISH, build, kind, says) for name, build, kind, says in PUBLISHES],
    *[BadInput(name, method, build, kind) for method, name, build, kind in OTHERS],
)
