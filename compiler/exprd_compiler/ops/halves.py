"""Compositions on 16-bit floats, computed in float32 and rounded once at their end.

An op is rounded once, whatever it is made of: a mean of large numbers does not overflow on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from exprd_compiler.ir.dtype import HALVES
from exprd_compiler.ir.node import GradRule, Node
from exprd_compiler.ops.arithmetic import cast


def single_expansion(body: Callable[..., Node]) -> Callable[..., Node]:
    """An expansion of one operand that does so."""

    def wide(x: Node, **attrs: object) -> Node:
        if x.dtype not in HALVES:
            return body(x, **attrs)
        return cast(body(cast(x, dtype="float32"), **attrs), dtype=x.dtype)

    return wide


def single_gradient(rule: GradRule) -> GradRule:
    """A gradient rule by one operand that does so."""

    def wide(g: Node, y: Node, x: Node, **attrs: object) -> Sequence[object]:
        if x.dtype not in HALVES:
            return rule(g, y, x, **attrs)
        slopes = rule(*[cast(node, dtype="float32") for node in (g, y, x)], **attrs)
        return [cast(slope, dtype=x.dtype) for slope in slopes if isinstance(slope, Node)]

    return wide  # type: ignore[return-value]
