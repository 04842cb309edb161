"""The levels of optimization: three visible rows of passes, and the door to them.

Users exclude rules and passes by name; a name that nothing has is an error, because a misspelled
exclusion would be obeyed silently. Whatever the level, no op with an expansion is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from exprd_compiler.errors import CompilerBug, GraphError
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.lowering import Expand
from exprd_compiler.passes.pipeline import Observer, Pass, Pipeline, Transform
from exprd_compiler.rewrite.engine import Trace
from exprd_compiler.rewrite.intern import intern
from exprd_compiler.rewrite.rules import RuleSet
from exprd_compiler.rules import (
    elementwise,
    expansion,
    folding,
    indexing,
    linalg,
    movement,
    parts,
    products,
    specialize,
    stability,
)

_TIDY: Final = (
    *folding.LAWS,
    *elementwise.LAWS,
    *parts.LAWS,
    *movement.LAWS,
    *indexing.LAWS,
)

MERGE: Final = Transform("MergeOptimizer", intern)
CANONICALIZE: Final = RuleSet("canonicalize", (*_TIDY, *linalg.TRANSPOSES))
STABILIZE: Final = RuleSet("stabilize", (*stability.LAWS, *products.FACTORS), _TIDY)
DISTRIBUTE: Final = RuleSet("distribute", products.DISTRIBUTION, _TIDY)
SPECIALIZE: Final = RuleSet(
    "specialize", (*specialize.LAWS, *indexing.SUMS, *indexing.MASKS), _TIDY
)
BLAS: Final = RuleSet("BlasOpt", linalg.CALLS, _TIDY, sweeps=8)
EXPAND: Final = RuleSet("expand", expansion.LAWS, _TIDY)
EXPAND_ALONE: Final = RuleSet("expand", expansion.LAWS)

O0: Final[tuple[Pass, ...]] = (MERGE, EXPAND_ALONE)
FAST_COMPILE: Final[tuple[Pass, ...]] = (MERGE, CANONICALIZE, STABILIZE, DISTRIBUTE, EXPAND)
FAST_RUN: Final[tuple[Pass, ...]] = (
    MERGE,
    CANONICALIZE,
    STABILIZE,
    DISTRIBUTE,
    SPECIALIZE,
    BLAS,
    EXPAND,
)

LEVELS: Final = MappingProxyType({"none": O0, "fast_compile": FAST_COMPILE, "fast_run": FAST_RUN})

# Names that Theano's users know for a pass or a rule that is called otherwise here.
ALIASES: Final = MappingProxyType(
    {
        "merge": MERGE.name,
        "blas": BLAS.name,
        "local_logsoftmax": "local_log_softmax",
        "local_mul_specialize": "local_mul_canonizer",
        "local_add_specialize": "local_add_canonizer",
    }
)
# Names of what the kernel floor does of itself: accepted, because nothing here depends on them.
ELSEWHERE: Final = frozenset(
    ("fusion", "local_elemwise_fusion", "inplace", "inplace_elemwise", "inplace_elemwise_opt")
)
_NEEDED: Final = frozenset((EXPAND.name, *[rule.name for rule in expansion.LAWS]))


def names() -> frozenset[str]:
    """Everything that can be excluded: names of passes and of rules, Theano's where it had one."""
    every = [step for level in LEVELS.values() for step in level]
    rules = [rule for step in every if isinstance(step, RuleSet) for rule in step.every]
    of_rules = [name for rule in rules for name in (rule.name, rule.theano) if name]
    return frozenset((*[step.name for step in every], *of_rules, *ALIASES, *ELSEWHERE)) - _NEEDED


def passes(level: str, excluding: frozenset[str] = frozenset()) -> tuple[Pass, ...]:
    """The passes of a level without those, and without the rules, that are excluded.

    Raises:
        GraphError: there is no such level, or an excluded name does not exist.
    """
    if level not in LEVELS:
        raise GraphError(f"unknown level {level!r}", hint=f"one of {', '.join(LEVELS)}")
    if unknown := sorted(excluding - names()):
        raise GraphError(
            f"no rewrite can be excluded as {', '.join(map(repr, unknown))}",
            hint="the page on rewrites lists the names",
        )
    meant = frozenset(ALIASES.get(name, name) for name in excluding)
    kept = [step for step in LEVELS[level] if step.name not in meant]
    return tuple(_without(step, meant) for step in kept)


def _without(step: Pass, excluding: frozenset[str]) -> Pass:
    return step.without(excluding) if isinstance(step, RuleSet) and excluding else step


def _traced(step: Pass, trace: Trace) -> Pass:
    return step.traced(trace) if isinstance(step, RuleSet) else step


def optimize(
    graph: Graph,
    *,
    level: str = "fast_run",
    excluding: Iterable[str] = (),
    observers: tuple[Observer, ...] = (),
    trace: Trace | None = None,
) -> Graph:
    """The graph in the form from which code is generated: merged, rewritten, expanded.

    Args:
        graph: as built or decoded.
        level: "none", "fast_compile" or "fast_run".
        excluding: names of rules and passes to leave out.
        observers: called after every pass with its name, the graphs before and after, and seconds.
        trace: called for every rule that fires with its name, the old node and the new one.

    Raises:
        GraphError: the level, or a name in `excluding`, does not exist.
    """
    row = passes(level, frozenset(excluding))
    if trace is not None:
        row = tuple(_traced(step, trace) for step in row)
    return _checked(graph, Pipeline(row, observers)(graph))


def _checked(before: Graph, after: Graph) -> Graph:
    for node in after.nodes():
        if isinstance(node.op.lowering, Expand):
            raise CompilerBug("was left unexpanded", op=node.op.name)
    for old, new in zip(before.roots, after.roots, strict=True):
        if not old.type.accepts(new.type):
            raise CompilerBug(f"{old.type} became {new.type}", op=old.op.name)
    return after
