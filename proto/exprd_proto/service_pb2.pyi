from exprd_proto import error_pb2 as _error_pb2
from exprd_proto import graph_pb2 as _graph_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delivery(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_UNSPECIFIED: _ClassVar[Delivery]
    DELIVERY_INLINE: _ClassVar[Delivery]
    DELIVERY_KEEP: _ClassVar[Delivery]
    DELIVERY_DISCARD: _ClassVar[Delivery]

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_DURABLE: _ClassVar[Durability]
    DURABILITY_VOLATILE: _ClassVar[Durability]
    DURABILITY_CONSTANT: _ClassVar[Durability]
DELIVERY_UNSPECIFIED: Delivery
DELIVERY_INLINE: Delivery
DELIVERY_KEEP: Delivery
DELIVERY_DISCARD: Delivery
DURABILITY_UNSPECIFIED: Durability
DURABILITY_DURABLE: Durability
DURABILITY_VOLATILE: Durability
DURABILITY_CONSTANT: Durability

class CallId(_message.Message):
    __slots__ = ("client_id", "seq", "acked_through")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    seq: int
    acked_through: int
    def __init__(self, client_id: _Optional[str] = ..., seq: _Optional[int] = ..., acked_through: _Optional[int] = ...) -> None: ...

class CompileOptions(_message.Message):
    __slots__ = ("including", "excluding", "allow_unsafe", "settings", "durability")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INCLUDING_FIELD_NUMBER: _ClassVar[int]
    EXCLUDING_FIELD_NUMBER: _ClassVar[int]
    ALLOW_UNSAFE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    including: _containers.RepeatedScalarFieldContainer[str]
    excluding: _containers.RepeatedScalarFieldContainer[str]
    allow_unsafe: bool
    settings: _containers.ScalarMap[str, str]
    durability: str
    def __init__(self, including: _Optional[_Iterable[str]] = ..., excluding: _Optional[_Iterable[str]] = ..., allow_unsafe: bool = ..., settings: _Optional[_Mapping[str, str]] = ..., durability: _Optional[str] = ...) -> None: ...

class GradientRequest(_message.Message):
    __slots__ = ("cost", "wrt", "placeholders")
    COST_FIELD_NUMBER: _ClassVar[int]
    WRT_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    cost: int
    wrt: _containers.RepeatedScalarFieldContainer[int]
    placeholders: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cost: _Optional[int] = ..., wrt: _Optional[_Iterable[int]] = ..., placeholders: _Optional[_Iterable[int]] = ...) -> None: ...

class VariableBinding(_message.Message):
    __slots__ = ("slot", "uuid")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    slot: int
    uuid: str
    def __init__(self, slot: _Optional[int] = ..., uuid: _Optional[str] = ...) -> None: ...

class CompileRequest(_message.Message):
    __slots__ = ("client_id", "graph", "graph_digest", "mode", "target", "options", "gradients", "bindings", "name")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    graph: _graph_pb2.GraphBundle
    graph_digest: bytes
    mode: str
    target: str
    options: CompileOptions
    gradients: _containers.RepeatedCompositeFieldContainer[GradientRequest]
    bindings: _containers.RepeatedCompositeFieldContainer[VariableBinding]
    name: str
    def __init__(self, client_id: _Optional[str] = ..., graph: _Optional[_Union[_graph_pb2.GraphBundle, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., mode: _Optional[str] = ..., target: _Optional[str] = ..., options: _Optional[_Union[CompileOptions, _Mapping]] = ..., gradients: _Optional[_Iterable[_Union[GradientRequest, _Mapping]]] = ..., bindings: _Optional[_Iterable[_Union[VariableBinding, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...

class CompileHead(_message.Message):
    __slots__ = ("client_id", "graph", "graph_digest", "mode", "target", "options", "gradients", "bindings", "name")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    graph: bytes
    graph_digest: bytes
    mode: str
    target: str
    options: CompileOptions
    gradients: _containers.RepeatedScalarFieldContainer[bytes]
    bindings: _containers.RepeatedCompositeFieldContainer[VariableBinding]
    name: str
    def __init__(self, client_id: _Optional[str] = ..., graph: _Optional[bytes] = ..., graph_digest: _Optional[bytes] = ..., mode: _Optional[str] = ..., target: _Optional[str] = ..., options: _Optional[_Union[CompileOptions, _Mapping]] = ..., gradients: _Optional[_Iterable[bytes]] = ..., bindings: _Optional[_Iterable[_Union[VariableBinding, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "variable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: _graph_pb2.TensorType
    variable: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[_graph_pb2.TensorType, _Mapping]] = ..., variable: _Optional[str] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("inputs", "outputs", "shared", "updated")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[Parameter]
    outputs: _containers.RepeatedCompositeFieldContainer[Parameter]
    shared: _containers.RepeatedCompositeFieldContainer[Parameter]
    updated: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, inputs: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., shared: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., updated: _Optional[_Iterable[int]] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("severity", "message", "nodes")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[Diagnostic.Severity]
        SEVERITY_NOTE: _ClassVar[Diagnostic.Severity]
        SEVERITY_WARNING: _ClassVar[Diagnostic.Severity]
    SEVERITY_UNSPECIFIED: Diagnostic.Severity
    SEVERITY_NOTE: Diagnostic.Severity
    SEVERITY_WARNING: Diagnostic.Severity
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    severity: Diagnostic.Severity
    message: str
    nodes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, severity: _Optional[_Union[Diagnostic.Severity, str]] = ..., message: _Optional[str] = ..., nodes: _Optional[_Iterable[int]] = ...) -> None: ...

class PlanNode(_message.Message):
    __slots__ = ("op", "text", "origins")
    OP_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    op: str
    text: str
    origins: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, op: _Optional[str] = ..., text: _Optional[str] = ..., origins: _Optional[_Iterable[int]] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("stage", "seconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    seconds: float
    def __init__(self, stage: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class CompileResponse(_message.Message):
    __slots__ = ("handle", "signature", "diagnostics", "plan", "timings", "cache_hit", "graph_digest", "incarnation")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    handle: str
    signature: Signature
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    plan: _containers.RepeatedCompositeFieldContainer[PlanNode]
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    cache_hit: bool
    graph_digest: bytes
    incarnation: str
    def __init__(self, handle: _Optional[str] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ..., diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., plan: _Optional[_Iterable[_Union[PlanNode, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., cache_hit: bool = ..., graph_digest: _Optional[bytes] = ..., incarnation: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("client_id", "handle", "texts")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    handle: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, client_id: _Optional[str] = ..., handle: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("handle", "signature", "plan", "texts", "timings", "target", "mode", "name")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    handle: str
    signature: Signature
    plan: _containers.RepeatedCompositeFieldContainer[PlanNode]
    texts: _containers.RepeatedCompositeFieldContainer[NamedText]
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    target: str
    mode: str
    name: str
    def __init__(self, handle: _Optional[str] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ..., plan: _Optional[_Iterable[_Union[PlanNode, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[NamedText, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., target: _Optional[str] = ..., mode: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class NamedText(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class CompilerServiceReleaseRequest(_message.Message):
    __slots__ = ("client_id", "handles")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    handles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, client_id: _Optional[str] = ..., handles: _Optional[_Iterable[str]] = ...) -> None: ...

class CompilerServiceReleaseResponse(_message.Message):
    __slots__ = ("released", "unknown")
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    released: int
    unknown: int
    def __init__(self, released: _Optional[int] = ..., unknown: _Optional[int] = ...) -> None: ...

class InputForm(_message.Message):
    __slots__ = ("name", "default", "strict", "allow_downcast", "implicit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DOWNCAST_FIELD_NUMBER: _ClassVar[int]
    IMPLICIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    default: _graph_pb2.Array
    strict: bool
    allow_downcast: bool
    implicit: bool
    def __init__(self, name: _Optional[str] = ..., default: _Optional[_Union[_graph_pb2.Array, _Mapping]] = ..., strict: bool = ..., allow_downcast: bool = ..., implicit: bool = ...) -> None: ...

class CallForm(_message.Message):
    __slots__ = ("inputs", "layout", "keys", "outputs")
    class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LAYOUT_UNSPECIFIED: _ClassVar[CallForm.Layout]
        LAYOUT_SINGLE: _ClassVar[CallForm.Layout]
        LAYOUT_LIST: _ClassVar[CallForm.Layout]
        LAYOUT_DICT: _ClassVar[CallForm.Layout]
    LAYOUT_UNSPECIFIED: CallForm.Layout
    LAYOUT_SINGLE: CallForm.Layout
    LAYOUT_LIST: CallForm.Layout
    LAYOUT_DICT: CallForm.Layout
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[InputForm]
    layout: CallForm.Layout
    keys: _containers.RepeatedScalarFieldContainer[str]
    outputs: int
    def __init__(self, inputs: _Optional[_Iterable[_Union[InputForm, _Mapping]]] = ..., layout: _Optional[_Union[CallForm.Layout, str]] = ..., keys: _Optional[_Iterable[str]] = ..., outputs: _Optional[int] = ...) -> None: ...

class PublishedFunction(_message.Message):
    __slots__ = ("name", "version", "labels", "handle", "doc", "form", "signature", "publisher", "created")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    handle: str
    doc: str
    form: CallForm
    signature: Signature
    publisher: str
    created: float
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., handle: _Optional[str] = ..., doc: _Optional[str] = ..., form: _Optional[_Union[CallForm, _Mapping]] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ..., publisher: _Optional[str] = ..., created: _Optional[float] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("client_id", "name", "handle", "version", "labels", "doc", "form")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name: str
    handle: str
    version: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    doc: str
    form: CallForm
    def __init__(self, client_id: _Optional[str] = ..., name: _Optional[str] = ..., handle: _Optional[str] = ..., version: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., doc: _Optional[str] = ..., form: _Optional[_Union[CallForm, _Mapping]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("function",)
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    function: PublishedFunction
    def __init__(self, function: _Optional[_Union[PublishedFunction, _Mapping]] = ...) -> None: ...

class LookupRequest(_message.Message):
    __slots__ = ("client_id", "name", "version", "label")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name: str
    version: int
    label: str
    def __init__(self, client_id: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class LookupResponse(_message.Message):
    __slots__ = ("function", "incarnation")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    function: PublishedFunction
    incarnation: str
    def __init__(self, function: _Optional[_Union[PublishedFunction, _Mapping]] = ..., incarnation: _Optional[str] = ...) -> None: ...

class ListFunctionsRequest(_message.Message):
    __slots__ = ("client_id", "name_prefix", "page_size", "page_token", "held")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name_prefix: str
    page_size: int
    page_token: str
    held: bool
    def __init__(self, client_id: _Optional[str] = ..., name_prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., held: bool = ...) -> None: ...

class ListFunctionsResponse(_message.Message):
    __slots__ = ("functions", "next_page_token", "held")
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[PublishedFunction]
    next_page_token: str
    held: _containers.RepeatedCompositeFieldContainer[HeldFunction]
    def __init__(self, functions: _Optional[_Iterable[_Union[PublishedFunction, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldFunction, _Mapping]]] = ...) -> None: ...

class HeldFunction(_message.Message):
    __slots__ = ("handle", "name", "holders", "published", "variables")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    handle: str
    name: str
    holders: _containers.RepeatedCompositeFieldContainer[FunctionHolder]
    published: _containers.RepeatedScalarFieldContainer[str]
    variables: int
    def __init__(self, handle: _Optional[str] = ..., name: _Optional[str] = ..., holders: _Optional[_Iterable[_Union[FunctionHolder, _Mapping]]] = ..., published: _Optional[_Iterable[str]] = ..., variables: _Optional[int] = ...) -> None: ...

class FunctionHolder(_message.Message):
    __slots__ = ("client", "seconds")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    client: str
    seconds: float
    def __init__(self, client: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class SetLabelRequest(_message.Message):
    __slots__ = ("client_id", "name", "label", "version", "expected_version")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name: str
    label: str
    version: int
    expected_version: int
    def __init__(self, client_id: _Optional[str] = ..., name: _Optional[str] = ..., label: _Optional[str] = ..., version: _Optional[int] = ..., expected_version: _Optional[int] = ...) -> None: ...

class SetLabelResponse(_message.Message):
    __slots__ = ("function",)
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    function: PublishedFunction
    def __init__(self, function: _Optional[_Union[PublishedFunction, _Mapping]] = ...) -> None: ...

class UnpublishRequest(_message.Message):
    __slots__ = ("client_id", "name", "versions")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name: str
    versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, client_id: _Optional[str] = ..., name: _Optional[str] = ..., versions: _Optional[_Iterable[int]] = ...) -> None: ...

class UnpublishResponse(_message.Message):
    __slots__ = ("removed", "unknown")
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    removed: int
    unknown: int
    def __init__(self, removed: _Optional[int] = ..., unknown: _Optional[int] = ...) -> None: ...

class ExecuteInput(_message.Message):
    __slots__ = ("array", "buffer", "variable")
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    array: _graph_pb2.Array
    buffer: str
    variable: str
    def __init__(self, array: _Optional[_Union[_graph_pb2.Array, _Mapping]] = ..., buffer: _Optional[str] = ..., variable: _Optional[str] = ...) -> None: ...

class ExpectedVersion(_message.Message):
    __slots__ = ("uuid", "version")
    UUID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    version: int
    def __init__(self, uuid: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("handle", "inputs", "deliveries", "call_id", "expected", "expected_incarnation")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    handle: str
    inputs: _containers.RepeatedCompositeFieldContainer[ExecuteInput]
    deliveries: _containers.RepeatedScalarFieldContainer[Delivery]
    call_id: CallId
    expected: _containers.RepeatedCompositeFieldContainer[ExpectedVersion]
    expected_incarnation: str
    def __init__(self, handle: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[ExecuteInput, _Mapping]]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, str]]] = ..., call_id: _Optional[_Union[CallId, _Mapping]] = ..., expected: _Optional[_Iterable[_Union[ExpectedVersion, _Mapping]]] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class ExecuteOutput(_message.Message):
    __slots__ = ("array", "buffer", "discarded")
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    array: _graph_pb2.Array
    buffer: _graph_pb2.BufferInfo
    discarded: _graph_pb2.NoneValue
    def __init__(self, array: _Optional[_Union[_graph_pb2.Array, _Mapping]] = ..., buffer: _Optional[_Union[_graph_pb2.BufferInfo, _Mapping]] = ..., discarded: _Optional[_Union[_graph_pb2.NoneValue, _Mapping]] = ...) -> None: ...

class VariableVersion(_message.Message):
    __slots__ = ("uuid", "version")
    UUID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    version: int
    def __init__(self, uuid: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class PrintedRecord(_message.Message):
    __slots__ = ("node", "text", "value")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    node: int
    text: str
    value: _graph_pb2.Array
    def __init__(self, node: _Optional[int] = ..., text: _Optional[str] = ..., value: _Optional[_Union[_graph_pb2.Array, _Mapping]] = ...) -> None: ...

class CallWarning(_message.Message):
    __slots__ = ("kind", "count", "nodes", "op")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    kind: str
    count: int
    nodes: _containers.RepeatedScalarFieldContainer[int]
    op: str
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ..., nodes: _Optional[_Iterable[int]] = ..., op: _Optional[str] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("outputs", "versions", "printed", "warnings", "timings", "replayed", "incarnation")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PRINTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[ExecuteOutput]
    versions: _containers.RepeatedCompositeFieldContainer[VariableVersion]
    printed: _containers.RepeatedCompositeFieldContainer[PrintedRecord]
    warnings: _containers.RepeatedCompositeFieldContainer[CallWarning]
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    replayed: bool
    incarnation: str
    def __init__(self, outputs: _Optional[_Iterable[_Union[ExecuteOutput, _Mapping]]] = ..., versions: _Optional[_Iterable[_Union[VariableVersion, _Mapping]]] = ..., printed: _Optional[_Iterable[_Union[PrintedRecord, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[CallWarning, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., replayed: bool = ..., incarnation: _Optional[str] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("client_id", "calls", "acked_through", "seconds")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ACKED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    calls: _containers.RepeatedCompositeFieldContainer[ExecuteRequest]
    acked_through: int
    seconds: float
    def __init__(self, client_id: _Optional[str] = ..., calls: _Optional[_Iterable[_Union[ExecuteRequest, _Mapping]]] = ..., acked_through: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class SessionFrame(_message.Message):
    __slots__ = ("client_id", "calls", "acked_through", "seconds")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ACKED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    calls: _containers.RepeatedScalarFieldContainer[bytes]
    acked_through: int
    seconds: float
    def __init__(self, client_id: _Optional[str] = ..., calls: _Optional[_Iterable[bytes]] = ..., acked_through: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class SessionWindow(_message.Message):
    __slots__ = ("calls", "bytes")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    calls: int
    bytes: int
    def __init__(self, calls: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class CallFailure(_message.Message):
    __slots__ = ("detail", "code")
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    detail: _error_pb2.ErrorDetail
    code: int
    def __init__(self, detail: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., code: _Optional[int] = ...) -> None: ...

class CallOutcome(_message.Message):
    __slots__ = ("seq", "response", "failure")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    response: ExecuteResponse
    failure: CallFailure
    def __init__(self, seq: _Optional[int] = ..., response: _Optional[_Union[ExecuteResponse, _Mapping]] = ..., failure: _Optional[_Union[CallFailure, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("window", "outcomes")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    window: SessionWindow
    outcomes: _containers.RepeatedCompositeFieldContainer[CallOutcome]
    def __init__(self, window: _Optional[_Union[SessionWindow, _Mapping]] = ..., outcomes: _Optional[_Iterable[_Union[CallOutcome, _Mapping]]] = ...) -> None: ...

class InputList(_message.Message):
    __slots__ = ("inputs",)
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[ExecuteInput]
    def __init__(self, inputs: _Optional[_Iterable[_Union[ExecuteInput, _Mapping]]] = ...) -> None: ...

class ExecuteBatchRequest(_message.Message):
    __slots__ = ("handle", "items", "deliveries", "call_id", "expected_incarnation")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    handle: str
    items: _containers.RepeatedCompositeFieldContainer[InputList]
    deliveries: _containers.RepeatedScalarFieldContainer[Delivery]
    call_id: CallId
    expected_incarnation: str
    def __init__(self, handle: _Optional[str] = ..., items: _Optional[_Iterable[_Union[InputList, _Mapping]]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, str]]] = ..., call_id: _Optional[_Union[CallId, _Mapping]] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class BatchFrame(_message.Message):
    __slots__ = ("handle", "items", "deliveries", "call_id", "expected_incarnation")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    handle: str
    items: _containers.RepeatedScalarFieldContainer[bytes]
    deliveries: _containers.RepeatedScalarFieldContainer[Delivery]
    call_id: CallId
    expected_incarnation: str
    def __init__(self, handle: _Optional[str] = ..., items: _Optional[_Iterable[bytes]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, str]]] = ..., call_id: _Optional[_Union[CallId, _Mapping]] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class ExecuteBatchResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[CallOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[CallOutcome, _Mapping]]] = ...) -> None: ...

class RepeatRequest(_message.Message):
    __slots__ = ("call", "steps", "until", "every", "watched", "stacked", "commit_once")
    CALL_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    WATCHED_FIELD_NUMBER: _ClassVar[int]
    STACKED_FIELD_NUMBER: _ClassVar[int]
    COMMIT_ONCE_FIELD_NUMBER: _ClassVar[int]
    call: ExecuteRequest
    steps: int
    until: int
    every: int
    watched: _containers.RepeatedScalarFieldContainer[int]
    stacked: bool
    commit_once: bool
    def __init__(self, call: _Optional[_Union[ExecuteRequest, _Mapping]] = ..., steps: _Optional[int] = ..., until: _Optional[int] = ..., every: _Optional[int] = ..., watched: _Optional[_Iterable[int]] = ..., stacked: bool = ..., commit_once: bool = ...) -> None: ...

class RepeatProgress(_message.Message):
    __slots__ = ("step", "values")
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    step: int
    values: _containers.RepeatedCompositeFieldContainer[_graph_pb2.Array]
    def __init__(self, step: _Optional[int] = ..., values: _Optional[_Iterable[_Union[_graph_pb2.Array, _Mapping]]] = ...) -> None: ...

class RepeatResult(_message.Message):
    __slots__ = ("steps", "response")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    response: ExecuteResponse
    def __init__(self, steps: _Optional[int] = ..., response: _Optional[_Union[ExecuteResponse, _Mapping]] = ...) -> None: ...

class RepeatResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: RepeatProgress
    result: RepeatResult
    def __init__(self, progress: _Optional[_Union[RepeatProgress, _Mapping]] = ..., result: _Optional[_Union[RepeatResult, _Mapping]] = ...) -> None: ...

class PutHeader(_message.Message):
    __slots__ = ("client_id", "array", "offset", "handle")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    array: _graph_pb2.ArrayHeader
    offset: int
    handle: str
    def __init__(self, client_id: _Optional[str] = ..., array: _Optional[_Union[_graph_pb2.ArrayHeader, _Mapping]] = ..., offset: _Optional[int] = ..., handle: _Optional[str] = ...) -> None: ...

class PutStatusRequest(_message.Message):
    __slots__ = ("client_id", "handle")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    handle: str
    def __init__(self, client_id: _Optional[str] = ..., handle: _Optional[str] = ...) -> None: ...

class PutStatusResponse(_message.Message):
    __slots__ = ("received", "buffer")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    received: int
    buffer: _graph_pb2.BufferInfo
    def __init__(self, received: _Optional[int] = ..., buffer: _Optional[_Union[_graph_pb2.BufferInfo, _Mapping]] = ...) -> None: ...

class DataServicePutRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: PutHeader
    chunk: _graph_pb2.ArrayChunk
    def __init__(self, header: _Optional[_Union[PutHeader, _Mapping]] = ..., chunk: _Optional[_Union[_graph_pb2.ArrayChunk, _Mapping]] = ...) -> None: ...

class OpenDoorbellRequest(_message.Message):
    __slots__ = ("client_id",)
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    def __init__(self, client_id: _Optional[str] = ...) -> None: ...

class OpenDoorbellResponse(_message.Message):
    __slots__ = ("ticket", "incarnation", "region_bytes", "calls")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REGION_BYTES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ticket: bytes
    incarnation: str
    region_bytes: int
    calls: int
    def __init__(self, ticket: _Optional[bytes] = ..., incarnation: _Optional[str] = ..., region_bytes: _Optional[int] = ..., calls: _Optional[int] = ...) -> None: ...

class DoorbellInput(_message.Message):
    __slots__ = ("array", "buffer")
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    array: _graph_pb2.TensorType
    buffer: _graph_pb2.NoneValue
    def __init__(self, array: _Optional[_Union[_graph_pb2.TensorType, _Mapping]] = ..., buffer: _Optional[_Union[_graph_pb2.NoneValue, _Mapping]] = ...) -> None: ...

class DoorbellCall(_message.Message):
    __slots__ = ("handle", "inputs", "deliveries")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    handle: str
    inputs: _containers.RepeatedCompositeFieldContainer[DoorbellInput]
    deliveries: _containers.RepeatedScalarFieldContainer[Delivery]
    def __init__(self, handle: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[DoorbellInput, _Mapping]]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, str]]] = ...) -> None: ...

class DoorbellReady(_message.Message):
    __slots__ = ("outputs", "updated")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[_graph_pb2.TensorType]
    updated: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outputs: _Optional[_Iterable[_Union[_graph_pb2.TensorType, _Mapping]]] = ..., updated: _Optional[_Iterable[str]] = ...) -> None: ...

class DoorbellArray(_message.Message):
    __slots__ = ("handle", "header")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    handle: str
    header: _graph_pb2.ArrayHeader
    def __init__(self, handle: _Optional[str] = ..., header: _Optional[_Union[_graph_pb2.ArrayHeader, _Mapping]] = ...) -> None: ...

class DataServicePutResponse(_message.Message):
    __slots__ = ("buffer",)
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    buffer: _graph_pb2.BufferInfo
    def __init__(self, buffer: _Optional[_Union[_graph_pb2.BufferInfo, _Mapping]] = ...) -> None: ...

class DataServiceGetRequest(_message.Message):
    __slots__ = ("client_id", "handle", "offset")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    handle: str
    offset: int
    def __init__(self, client_id: _Optional[str] = ..., handle: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class DataServiceGetResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: _graph_pb2.ArrayHeader
    chunk: _graph_pb2.ArrayChunk
    def __init__(self, header: _Optional[_Union[_graph_pb2.ArrayHeader, _Mapping]] = ..., chunk: _Optional[_Union[_graph_pb2.ArrayChunk, _Mapping]] = ...) -> None: ...

class DataServiceReleaseRequest(_message.Message):
    __slots__ = ("client_id", "handles")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    handles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, client_id: _Optional[str] = ..., handles: _Optional[_Iterable[str]] = ...) -> None: ...

class DataServiceReleaseResponse(_message.Message):
    __slots__ = ("released", "unknown")
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    released: int
    unknown: int
    def __init__(self, released: _Optional[int] = ..., unknown: _Optional[int] = ...) -> None: ...

class VariableInfo(_message.Message):
    __slots__ = ("uuid", "name", "type", "shape", "version", "durability", "nbytes")
    UUID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    NBYTES_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    name: str
    type: _graph_pb2.TensorType
    shape: _containers.RepeatedScalarFieldContainer[int]
    version: int
    durability: Durability
    nbytes: int
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[_Union[_graph_pb2.TensorType, _Mapping]] = ..., shape: _Optional[_Iterable[int]] = ..., version: _Optional[int] = ..., durability: _Optional[_Union[Durability, str]] = ..., nbytes: _Optional[int] = ...) -> None: ...

class VariableValue(_message.Message):
    __slots__ = ("array", "buffer")
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    array: _graph_pb2.Array
    buffer: str
    def __init__(self, array: _Optional[_Union[_graph_pb2.Array, _Mapping]] = ..., buffer: _Optional[str] = ...) -> None: ...

class StateServiceCreateRequest(_message.Message):
    __slots__ = ("client_id", "uuid", "name", "type", "durability", "value", "attach")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    uuid: str
    name: str
    type: _graph_pb2.TensorType
    durability: Durability
    value: VariableValue
    attach: bool
    def __init__(self, client_id: _Optional[str] = ..., uuid: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[_Union[_graph_pb2.TensorType, _Mapping]] = ..., durability: _Optional[_Union[Durability, str]] = ..., value: _Optional[_Union[VariableValue, _Mapping]] = ..., attach: bool = ...) -> None: ...

class StateServiceCreateResponse(_message.Message):
    __slots__ = ("variable",)
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    variable: VariableInfo
    def __init__(self, variable: _Optional[_Union[VariableInfo, _Mapping]] = ...) -> None: ...

class StateServiceGetRequest(_message.Message):
    __slots__ = ("client_id", "uuid", "delivery", "expected_incarnation")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    uuid: str
    delivery: Delivery
    expected_incarnation: str
    def __init__(self, client_id: _Optional[str] = ..., uuid: _Optional[str] = ..., delivery: _Optional[_Union[Delivery, str]] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class StateServiceGetResponse(_message.Message):
    __slots__ = ("variable", "value")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    variable: VariableInfo
    value: ExecuteOutput
    def __init__(self, variable: _Optional[_Union[VariableInfo, _Mapping]] = ..., value: _Optional[_Union[ExecuteOutput, _Mapping]] = ...) -> None: ...

class StateServiceSnapshotRequest(_message.Message):
    __slots__ = ("client_id", "uuids", "delivery", "expected_incarnation")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    UUIDS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    uuids: _containers.RepeatedScalarFieldContainer[str]
    delivery: Delivery
    expected_incarnation: str
    def __init__(self, client_id: _Optional[str] = ..., uuids: _Optional[_Iterable[str]] = ..., delivery: _Optional[_Union[Delivery, str]] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class VariableReading(_message.Message):
    __slots__ = ("variable", "value")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    variable: VariableInfo
    value: ExecuteOutput
    def __init__(self, variable: _Optional[_Union[VariableInfo, _Mapping]] = ..., value: _Optional[_Union[ExecuteOutput, _Mapping]] = ...) -> None: ...

class StateServiceSnapshotResponse(_message.Message):
    __slots__ = ("readings",)
    READINGS_FIELD_NUMBER: _ClassVar[int]
    readings: _containers.RepeatedCompositeFieldContainer[VariableReading]
    def __init__(self, readings: _Optional[_Iterable[_Union[VariableReading, _Mapping]]] = ...) -> None: ...

class StateServiceSetRequest(_message.Message):
    __slots__ = ("call_id", "uuid", "value", "expected_version", "expected_incarnation")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    call_id: CallId
    uuid: str
    value: VariableValue
    expected_version: int
    expected_incarnation: str
    def __init__(self, call_id: _Optional[_Union[CallId, _Mapping]] = ..., uuid: _Optional[str] = ..., value: _Optional[_Union[VariableValue, _Mapping]] = ..., expected_version: _Optional[int] = ..., expected_incarnation: _Optional[str] = ...) -> None: ...

class StateServiceSetResponse(_message.Message):
    __slots__ = ("variable", "replayed")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    variable: VariableInfo
    replayed: bool
    def __init__(self, variable: _Optional[_Union[VariableInfo, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class StateServiceDeleteRequest(_message.Message):
    __slots__ = ("client_id", "uuids")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    UUIDS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    uuids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, client_id: _Optional[str] = ..., uuids: _Optional[_Iterable[str]] = ...) -> None: ...

class StateServiceDeleteResponse(_message.Message):
    __slots__ = ("deleted", "unknown")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    unknown: int
    def __init__(self, deleted: _Optional[int] = ..., unknown: _Optional[int] = ...) -> None: ...

class StateServiceListRequest(_message.Message):
    __slots__ = ("client_id", "name_prefix", "page_size", "page_token")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    name_prefix: str
    page_size: int
    page_token: str
    def __init__(self, client_id: _Optional[str] = ..., name_prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class StateServiceListResponse(_message.Message):
    __slots__ = ("variables", "next_page_token")
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    variables: _containers.RepeatedCompositeFieldContainer[VariableInfo]
    next_page_token: str
    def __init__(self, variables: _Optional[_Iterable[_Union[VariableInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ("client_id", "cancel")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    cancel: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, client_id: _Optional[str] = ..., cancel: _Optional[_Iterable[int]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "inline_bytes", "chunk_bytes", "graph_nodes", "graph_nesting", "rank", "tensor_bytes", "client_bytes", "functions", "buffers", "execute_seconds", "compile_seconds", "lease_seconds", "replay_bytes", "replay_calls", "variables", "session_calls", "session_bytes", "sessions", "batch_items")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INLINE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NESTING_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    TENSOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLIENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMPILE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLAY_CALLS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    SESSION_CALLS_FIELD_NUMBER: _ClassVar[int]
    SESSION_BYTES_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    inline_bytes: int
    chunk_bytes: int
    graph_nodes: int
    graph_nesting: int
    rank: int
    tensor_bytes: int
    client_bytes: int
    functions: int
    buffers: int
    execute_seconds: float
    compile_seconds: float
    lease_seconds: float
    replay_bytes: int
    replay_calls: int
    variables: int
    session_calls: int
    session_bytes: int
    sessions: int
    batch_items: int
    def __init__(self, message_bytes: _Optional[int] = ..., inline_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., graph_nodes: _Optional[int] = ..., graph_nesting: _Optional[int] = ..., rank: _Optional[int] = ..., tensor_bytes: _Optional[int] = ..., client_bytes: _Optional[int] = ..., functions: _Optional[int] = ..., buffers: _Optional[int] = ..., execute_seconds: _Optional[float] = ..., compile_seconds: _Optional[float] = ..., lease_seconds: _Optional[float] = ..., replay_bytes: _Optional[int] = ..., replay_calls: _Optional[int] = ..., variables: _Optional[int] = ..., session_calls: _Optional[int] = ..., session_bytes: _Optional[int] = ..., sessions: _Optional[int] = ..., batch_items: _Optional[int] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("target", "description")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    target: str
    description: str
    def __init__(self, target: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "opset_min", "opset_max", "incarnation", "server_version", "limits", "devices", "uptime_seconds", "functions", "variables", "buffers", "store", "features")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    OPSET_MIN_FIELD_NUMBER: _ClassVar[int]
    OPSET_MAX_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    opset_min: int
    opset_max: int
    incarnation: str
    server_version: str
    limits: Limits
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    uptime_seconds: float
    functions: int
    variables: int
    buffers: int
    store: str
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., opset_min: _Optional[int] = ..., opset_max: _Optional[int] = ..., incarnation: _Optional[str] = ..., server_version: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., uptime_seconds: _Optional[float] = ..., functions: _Optional[int] = ..., variables: _Optional[int] = ..., buffers: _Optional[int] = ..., store: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("client_id", "incarnation", "known")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    incarnation: str
    known: _containers.RepeatedCompositeFieldContainer[VariableVersion]
    def __init__(self, client_id: _Optional[str] = ..., incarnation: _Optional[str] = ..., known: _Optional[_Iterable[_Union[VariableVersion, _Mapping]]] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("incarnation", "missing", "rolled_back")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    missing: _containers.RepeatedScalarFieldContainer[str]
    rolled_back: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, incarnation: _Optional[str] = ..., missing: _Optional[_Iterable[str]] = ..., rolled_back: _Optional[_Iterable[str]] = ...) -> None: ...

class EndLeaseRequest(_message.Message):
    __slots__ = ("client_id",)
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    def __init__(self, client_id: _Optional[str] = ...) -> None: ...

class EndLeaseResponse(_message.Message):
    __slots__ = ("functions", "buffers", "variables")
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    functions: int
    buffers: int
    variables: int
    def __init__(self, functions: _Optional[int] = ..., buffers: _Optional[int] = ..., variables: _Optional[int] = ...) -> None: ...

class CheckpointInfo(_message.Message):
    __slots__ = ("name", "created", "variables", "nbytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    NBYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    created: float
    variables: int
    nbytes: int
    def __init__(self, name: _Optional[str] = ..., created: _Optional[float] = ..., variables: _Optional[int] = ..., nbytes: _Optional[int] = ...) -> None: ...

class CheckpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: CheckpointInfo
    def __init__(self, checkpoint: _Optional[_Union[CheckpointInfo, _Mapping]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints",)
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[CheckpointInfo]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[CheckpointInfo, _Mapping]]] = ...) -> None: ...

class RestoreCheckpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RestoreCheckpointResponse(_message.Message):
    __slots__ = ("assigned", "created")
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    assigned: int
    created: int
    def __init__(self, assigned: _Optional[int] = ..., created: _Optional[int] = ...) -> None: ...
