"""The table of batch rules: by op, else by how the op becomes native code.

An op that is in neither and is a composition is taken through its expansion; any other op has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from exprd_compiler.ir.lowering import ArgReduce, Join, Lapack, Reduce, Scalar, Scan
from exprd_compiler.ir.node import Op
from exprd_compiler.ops import (
    assertion,
    backward,
    contraction,
    creation,
    diagonals,
    index,
    linalg,
    movement,
    nnet,
    reduce,
    sorting,
    statistics,
)
from exprd_compiler.ops.products import matmul
from exprd_compiler.vectorize import axes, places, products
from exprd_compiler.vectorize.batch import Rule

BY_LOWERING: Final[Mapping[type, Rule]] = MappingProxyType(
    {
        Scalar: axes.elementwise,
        Reduce: axes.axes,
        ArgReduce: axes.axes,
        Scan: axes.axis,
        Join: axes.axis,
        Lapack: axes.every_operand(lambda _: {}),
    }
)

BY_OP: Final[Mapping[Op, Rule]] = MappingProxyType(
    {
        assertion.assert_: axes.every_item,
        backward.consider_constant: axes.elementwise,
        backward.zero_grad: axes.elementwise,
        backward.disconnected_grad: axes.elementwise,
        backward.undefined_grad: axes.elementwise,
        backward.grad_clip: axes.elementwise,
        backward.grad_scale: axes.elementwise,
        reduce.mean: axes.axes,
        statistics.var: axes.axes,
        statistics.std: axes.axes,
        statistics.ptp: axes.axes,
        statistics.norm: axes.axes,
        statistics.logsumexp: axes.axes,
        nnet.softmax: axes.axis,
        nnet.log_softmax: axes.axis,
        movement.dimshuffle: axes.order,
        movement.reshape: axes.shape,
        movement.specify_shape: axes.specify,
        movement.hide_extents: axes.axes,
        creation.alloc: axes.shape,
        creation.make_vector: axes.vector,
        index.subtensor: places.slices,
        index.assign: places.write_slices,
        index.gather: places.read,
        index.scatter: places.write,
        diagonals.diagonal: places.diagonal,
        diagonals.assign_diagonal: places.write_diagonal,
        linalg.dot: products.product,
        matmul: products.matrices,
        linalg.gemv: products.blas,
        linalg.gemm: products.blas,
        contraction.batched_gemm: products.blas,
        sorting.sort: axes.leading,
        sorting.argsort: axes.leading,
        sorting.top: axes.leading,
        sorting.argtop: axes.leading,
    }
)


def rule_of(op: Op) -> Rule | None:
    """The batch rule of an op, None if it has none of its own."""
    return BY_OP.get(op) or BY_LOWERING.get(type(op.lowering))
