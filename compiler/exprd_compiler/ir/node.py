"""Op and Node: the one record of an operation and the one node type of every graph.

Nodes are immutable and compare by identity; as built and as decoded every node stays itself, the
compiler's first pass interns a graph. `name` and `origin` are for people: never compared or hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from numpy.typing import NDArray

from exprd_compiler.errors import DTypeError, GraphError
from exprd_compiler.ir.dtype import COMPLEX, EVERY, check_dtype
from exprd_compiler.ir.half import constant_array
from exprd_compiler.ir.lowering import Expand, Lowering
from exprd_compiler.ir.type import TensorType

Array: TypeAlias = NDArray[Any]
Attrs: TypeAlias = tuple[tuple[str, Any], ...]
GradRule: TypeAlias = Callable[..., "Sequence[Node | Undefined | None]"]


class NoGrad:
    """The statement that an op has no gradient; leaving `grad` out is an error, this is not."""

    def __repr__(self) -> str:
        return "NO_GRAD"


class ZeroGrad:
    """The statement that an op is a step function: it is connected, its gradients are zero."""

    def __repr__(self) -> str:
        return "ZERO_GRAD"


class NoPath:
    """The statement that no value of an input counts, only extents: inputs are disconnected."""

    def __repr__(self) -> str:
        return "NO_PATH"


class ThroughExpansion:
    """The statement that an op is differentiated through its expansion."""

    def __repr__(self) -> str:
        return "THROUGH_EXPANSION"


NO_GRAD: Final = NoGrad()
ZERO_GRAD: Final = ZeroGrad()
NO_PATH: Final = NoPath()
THROUGH_EXPANSION: Final = ThroughExpansion()


@dataclass(frozen=True, slots=True)
class Undefined:
    """What a gradient rule gives for an input by which the op cannot be differentiated."""

    why: str


Grad: TypeAlias = GradRule | NoGrad | ZeroGrad | NoPath | ThroughExpansion


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One generated test case of an op: input types, attributes, and the range of the values.

    `low` and `high` bound float samples (integers are clipped to what they hold); `shapes` are the
    run-time shapes of the inputs; `integers` marks inputs that are indexes or extents, with their
    value (an array-like) by input number; `dtypes` leaves out some of the op's; `values` says how
    the first input is drawn: "uniform", or "dominant" for matrices that are well-conditioned,
    positive definite and of distinct spectrum; along axis `signs` of the result, lines may have
    either sign.
    """

    shapes: tuple[tuple[int, ...], ...]
    attrs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    integers: Mapping[int, Any] = field(default_factory=dict[int, Any])
    dtypes: tuple[str, ...] = EVERY
    low: float = -3.0
    high: float = 3.0
    values: str = "uniform"
    signs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Op:
    """Everything the system knows of one operation, declared once.

    Attributes:
        name: the stable name on the wire and in text.
        since: op-set version in which it appeared.
        type: `type(*input types, **attrs) -> TensorType`, or GraphError for what it cannot take.
        numpy: `numpy(*arrays, **attrs) -> array`, the meaning.
        grad: `grad(g, y, *xs, **attrs)` gives, per input, a node, None (no path) or Undefined; or
            one statement for all inputs: NO_GRAD, ZERO_GRAD, NO_PATH, THROUGH_EXPANSION.
        lowering: the one way to native code.
        dtypes: dtypes of the tensor inputs for which the op exists (tests are generated for them).
        examples: shapes and attributes for the generated tests.
        theano: class name under which Theano's users know it in `toposort()`.
        doc: one sentence for the docs page.
    """

    name: str
    since: int = 1
    type: Callable[..., TensorType]
    numpy: Callable[..., Any]
    grad: Grad
    lowering: Lowering
    dtypes: tuple[str, ...]
    examples: tuple[Example, ...]
    theano: str
    doc: str

    def __post_init__(self) -> None:
        if isinstance(self.grad, ThroughExpansion) and not isinstance(self.lowering, Expand):
            raise TypeError(f"op {self.name!r}: only an expansion can be differentiated through")

    def __call__(self, *inputs: Node, **attrs: Any) -> Node:
        """A new node of this op."""
        return Node(self, inputs, tuple(sorted(attrs.items())))

    def derive(self, inputs: Sequence[TensorType], attrs: Mapping[str, Any]) -> TensorType:
        """The type of the result.

        Raises:
            DTypeError: an input is complex, and the op does not exist for complex numbers.
            GraphError: the type rule refuses the inputs or the attributes.
        """
        for given in inputs:
            if given.dtype in COMPLEX and given.dtype not in self.dtypes:
                hint = "apply it to real(x), imag(x), abs(x) or angle(x)"
                raise DTypeError(f"does not exist for {given.dtype}", op=self.name, hint=hint)
        return self.type(*inputs, **attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class Node:
    """One value of a graph: an op applied to nodes, with attributes and a type."""

    __slots__ = ("__weakref__", "attrs", "inputs", "name", "op", "origin", "type")
    op: Op
    inputs: tuple[Node, ...]
    attrs: Attrs
    type: TensorType
    name: str | None
    origin: object

    def __init__(
        self, op: Op, inputs: tuple[Node, ...], attrs: Attrs = (), origin: object = None
    ) -> None:
        self.op, self.inputs, self.attrs = op, inputs, attrs
        self.type = op.derive([x.type for x in inputs], dict(attrs))
        self.name, self.origin = None, origin

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes by name."""
        return dict(self.attrs)

    @property
    def dtype(self) -> str:
        """The element type."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.type.shape)

    def __getitem__(self, key: str) -> Any:
        for name, value in self.attrs:
            if name == key:
                return value
        raise KeyError(key)

    def __repr__(self) -> str:
        return f"<{self.name or self.op.name} {self.type}>"


class Const:
    """An immutable array as an attribute: equal and hashed by dtype, shape and bytes.

    Attributes:
        array: the elements; those of bfloat16 are in float32 where numpy does not have it.
        dtype: their element type.
    """

    __slots__ = ("_hash", "array", "dtype")
    array: Array
    dtype: str

    def __init__(self, value: Any, dtype: str | None = None) -> None:
        array, name = constant_array(value, dtype)
        self.dtype = check_dtype(name)
        if array.dtype.byteorder == ">":
            raise GraphError("constants are little-endian", op="constant")
        array.flags.writeable = False
        self.array = array
        self._hash = hash((name, array.shape, array.tobytes()))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Const)
            and self._hash == other._hash
            and self.dtype == other.dtype
            and self.array.shape == other.array.shape
            and self.array.tobytes() == other.array.tobytes()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Const({self.array!r})"
