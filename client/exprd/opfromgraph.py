"""OpFromGraph: an expression under a name, as an op of the user's own.

Its graph is put in wherever it is applied and compiled with the rest, so it costs nothing. What it
adds is a name in printed graphs, and a gradient of its own if it is given one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from exprd.clone import rewritten
from exprd.convert import as_node, is_sequence, node_of
from exprd.gradient.derive import derivatives
from exprd.gradient.kinds import NoGradient
from exprd.io import declared_inputs, described
from exprd.origin import origin_of
from exprd.types import filter_value
from exprd.variable import TensorVariable, variable_of
from exprd_compiler.errors import CallError, DTypeError, GraphError, MissingInput, ShapeError
from exprd_compiler.grad import Null, zeros_like
from exprd_compiler.ir.graph import toposort
from exprd_compiler.ir.node import Node, Undefined
from exprd_compiler.ops.backward import composed
from exprd_compiler.ops.leaves import const, input_

__all__ = ["OpFromGraph", "Override"]

DEFAULT: Final = "default"
Rule: TypeAlias = Callable[..., Any]
Found: TypeAlias = Node | Undefined | None


class OpFromGraph:
    """An op made of expressions; called with values, it gives its outputs for them.

    Args:
        inputs: the variables of the expressions that values take the place of.
        outputs: one expression or more; shared variables may be part of them.
        inline: accepted for Theano's sake; native code is always that of the whole graph.
        lop_overrides: the gradient instead of the derived one: "default", or a function of
            (inputs, outputs, gradients of the outputs) that gives one gradient per input, or a list
            with one entry per input: "default", None for no path, or a function that gives one.
        grad_overrides: the same with functions of (inputs, gradients of the outputs).
        rop_overrides: "default"; Rop follows from the gradient.
        connection_pattern: accepted for Theano's sake; what depends on what is seen in the graph.
        name: in printed graphs.

    Raises:
        CallError: an input is no variable.
        MissingInput: the outputs depend on an input that is not listed.
        GraphError: both overrides are given, or a list of the wrong length, or rop_overrides.
    """

    def __init__(
        self,
        inputs: Sequence[TensorVariable],
        outputs: Any,
        inline: bool = False,
        lop_overrides: Any = DEFAULT,
        grad_overrides: Any = DEFAULT,
        rop_overrides: Any = DEFAULT,
        connection_pattern: Any = None,
        name: str | None = None,
    ) -> None:
        self.inputs = [entry.variable for entry in declared_inputs(inputs)]
        self.single = not is_sequence(outputs)
        self.outputs = [
            variable_of(as_node(x)) for x in (outputs if not self.single else [outputs])
        ]
        self.name, self.inline = name or "OpFromGraph", inline
        self.lop_overrides, self.grad_overrides = lop_overrides, grad_overrides
        if rop_overrides != DEFAULT:
            raise GraphError(
                "rop_overrides is always the default: Rop follows from the gradient",
                op="OpFromGraph",
                hint="override the gradient",
            )
        self._check_leaves()
        self._rules = self._read_rules()

    def __call__(self, *values: object) -> Any:
        """The outputs for values of the inputs; one output gives a variable, several a list.

        Raises:
            CallError: the number of values is wrong.
            DTypeError: a value has another dtype than its input.
            ShapeError: a value has another rank or pattern than its input.
        """
        if len(values) != len(self.inputs):
            raise CallError(f"takes {len(self.inputs)} values, got {len(values)}", op=self.name)
        given = [self._fitting(x.node, v) for x, v in zip(self.inputs, values, strict=True)]
        places = dict(zip([x.node for x in self.inputs], given, strict=True))
        results = rewritten([y.node for y in self.outputs], places)
        made = [self._composed(i, node, given) for i, node in enumerate(results)]
        return made[0] if len(made) == 1 and self.single else made

    def __repr__(self) -> str:
        return f"OpFromGraph{{{self.name}}}"

    def _composed(self, index: int, value: Node, given: Sequence[Node]) -> TensorVariable:
        node = composed(value, *given, name=self.name, output=index)
        variable = variable_of(node)
        origin = origin_of(node)
        if self._rules is not None and origin is not None:
            origin.note = Override(self, index)
        return variable

    def _fitting(self, declared: Node, value: object) -> Node:
        node = node_of(value)
        if node is None:
            return const(filter_value(declared.type, value))
        if declared.type.accepts(node.type):
            return node
        kind = DTypeError if declared.dtype != node.dtype else ShapeError
        raise kind(
            f"{self.name} takes {declared.type} for {declared.name or 'an input'},"
            f" got {described(node)}",
            hint="cast or reshape it",
        )

    def _check_leaves(self) -> None:
        known = {x.node for x in self.inputs}
        order = toposort([y.node for y in self.outputs], stop=lambda node: node in known)
        for node in order:
            if node.op is input_ and node not in known:
                raise MissingInput(
                    f"{self.name} depends on {described(node)}, which is not among its inputs"
                )

    # ---- gradients
    def _read_rules(self) -> Sequence[Any] | Rule | None:
        """The override in use: a function for all inputs, one entry per input, or none."""
        both = (self.lop_overrides, self.grad_overrides)
        given = [rule for rule in both if rule != DEFAULT]
        if len(given) > 1:
            raise GraphError("takes lop_overrides or grad_overrides, not both", op="OpFromGraph")
        if not given:
            return None
        rule: Any = given[0]
        if is_sequence(rule) and len(rule) != len(self.inputs):
            raise GraphError(
                f"{len(rule)} overrides for {len(self.inputs)} inputs", op="OpFromGraph"
            )
        if not is_sequence(rule) and not callable(rule):
            raise GraphError(f"an override is a function, not {rule!r}", op="OpFromGraph")
        known: Sequence[Any] | Rule = rule
        return known

    def gradients(self, index: int, g: Node, given: Sequence[Node]) -> list[Found]:
        """The gradients by the inputs, for a gradient of one output."""
        places = dict(zip([x.node for x in self.inputs], given, strict=True))
        values = rewritten([y.node for y in self.outputs], places)
        arriving = [g if i == index else zeros_like(y) for i, y in enumerate(values)]
        asked = [list(given), list(values), arriving]
        if self.lop_overrides == DEFAULT:
            del asked[1]
        shown = [[variable_of(node) for node in nodes] for nodes in asked]
        rules = self._rules
        if callable(rules):
            found = rules(*shown)
            parts = list(found) if is_sequence(found) else [found]
            if len(parts) != len(given):
                raise GraphError(
                    f"the override gave {len(parts)} gradients for {len(given)} inputs"
                )
            return [_part(part) for part in parts]
        return [
            self._one(rule, place, index, g, places, shown)
            for place, rule in enumerate(rules or ())
        ]

    def _one(
        self,
        rule: Any,
        place: int,
        index: int,
        g: Node,
        places: dict[Node, Node],
        shown: list[list[TensorVariable]],
    ) -> Found:
        if rule == DEFAULT:
            return self._derived(place, index, g, places)
        return _part(rule(*shown) if callable(rule) else rule)

    def _derived(self, place: int, index: int, g: Node, places: dict[Node, Node]) -> Found:
        """The derived gradient by one input, found on the expressions as they were given."""
        leaf = input_(type=g.type)
        found = derivatives(
            None,
            [self.inputs[place].node],
            disconnected_inputs="ignore",
            known_grads={self.outputs[index].node: leaf},
        )[0]
        if isinstance(found, Null):
            return Undefined(found.why)
        return None if found is None else rewritten([found], {**places, leaf: g})[0]


@dataclass(frozen=True, slots=True)
class Override:
    """What an output of an op with a gradient of its own says to those who differentiate.

    Attributes:
        op: the op.
        index: which of its outputs.
    """

    op: OpFromGraph
    index: int

    def gradient(self, g: Node, _: Node, *inputs: Node) -> Sequence[Found]:
        """The gradients by the inputs of the node: none by its value, then those of the op."""
        return [None, *self.op.gradients(self.index, g, inputs[1:])]


def _part(value: object) -> Found:
    """A gradient as an override gives it: an expression, None, or what stands for none."""
    if value is None:
        return None
    if isinstance(value, NoGradient):
        why = getattr(value.type, "why_null", None)
        return None if why is None else Undefined(str(why))
    return as_node(value)
