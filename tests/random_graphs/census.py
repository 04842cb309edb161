"""Census: what the random programs of an ordinary test run are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.random_graphs.draws import BATCH, COUNT, each_of
from tests.random_graphs.noise import Unjudged, outcome
from tests.random_graphs.program import Program
from tests.random_graphs.steps import ALL


@dataclass(slots=True)
class Census:
    """Counts over programs.

    Attributes:
        programs: how many there are.
        nodes: of all graphs together.
        calls: that are made.
        failing: calls that must fail.
        with_: programs that have a thing, by its name.
        ops: programs in which an op occurs.
        dtypes: programs with a value of a dtype.
    """

    programs: int = 0
    nodes: int = 0
    calls: int = 0
    failing: int = 0
    with_: Counter[str] = field(default_factory=Counter)
    ops: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)

    @property
    def never(self) -> list[str]:
        """The ops that occur nowhere."""
        return [op.name for op in ALL if op.name not in self.ops]

    def add(self, program: Program) -> None:
        """Count a program."""
        graph, nodes = program.graph, program.graph.nodes()
        self.programs += 1
        self.nodes += len(nodes)
        known = {op.name for op in ALL}
        self.ops.update({node.op.name for node in nodes} & known)
        self.dtypes.update({node.dtype for node in nodes})
        failing = _failing(program)
        self.calls += len(program.calls)
        self.failing += failing
        twice = len(set(graph.outputs)) < len(graph.outputs)
        seen = set(graph.leaves) & set(graph.outputs)
        empty = any(np.size(value) == 0 for call in program.calls for value in call)
        self.with_.update(
            name
            for name, is_so in (
                ("shared variables", bool(graph.shared)),
                ("updates", bool(graph.updates)),
                ("several calls", len(program.calls) > 1),
                ("a call that must fail", failing > 0),
                ("an argument without elements", empty),
                ("an output given twice", twice),
                ("an output that is an input or a shared variable", bool(seen)),
            )
            if is_so
        )


def _failing(program: Program) -> int:
    """The number of calls that numpy refuses, the state kept as it is at first."""
    graph, count = program.graph, 0
    for call in program.calls:
        pairs = zip(graph.inputs, call, strict=True)
        values = [np.asarray(value, node.dtype) for node, value in pairs]
        leaves = dict(zip(graph.leaves, (*values, *program.state), strict=True))
        try:
            count += bool(outcome(graph.roots, leaves).errors)
        except Unjudged:
            continue
    return count


def census() -> Census:
    """The census of the programs of `make test`."""
    found = Census()
    for batch in range(COUNT // BATCH):
        each_of(batch, found.add)
    return found
