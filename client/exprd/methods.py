"""Methods of a variable that numpy's arrays do not have and Theano's variables do.

Elementary functions as methods, and questions and copies in the style of Theano.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from exprd import housekeeping, matrix
from exprd.elementwise import apply
from exprd.shaping import filled_like
from exprd_compiler.errors import GraphError
from exprd_compiler.ir.node import Node
from exprd_compiler.ops import arithmetic, parts, rounding, transcendental, trigonometric
from exprd_compiler.ops.leaves import constant_value

if TYPE_CHECKING:
    from exprd.variable import TensorVariable

__all__ = ["Methods"]


class Methods(Protocol):
    """What Theano's variables have as methods; needs a node and a way to show another node."""

    __slots__ = ()
    node: Node

    @abstractmethod
    def show(self, node: Node) -> TensorVariable:
        """The variable of a node built just now."""
        ...

    # ---- elementary functions
    def sqrt(self) -> TensorVariable:
        """The square root."""
        return self.show(apply(arithmetic.sqrt, self))

    def exp(self) -> TensorVariable:
        """e to the power of the elements."""
        return self.show(apply(transcendental.exp, self))

    def log(self) -> TensorVariable:
        """The natural logarithm."""
        return self.show(apply(transcendental.log, self))

    def sin(self) -> TensorVariable:
        """The sine."""
        return self.show(apply(trigonometric.sin, self))

    def cos(self) -> TensorVariable:
        """The cosine."""
        return self.show(apply(trigonometric.cos, self))

    def tan(self) -> TensorVariable:
        """The tangent."""
        return self.show(apply(trigonometric.tan, self))

    def arcsin(self) -> TensorVariable:
        """The inverse sine."""
        return self.show(apply(trigonometric.arcsin, self))

    def arccos(self) -> TensorVariable:
        """The inverse cosine."""
        return self.show(apply(trigonometric.arccos, self))

    def arctan(self) -> TensorVariable:
        """The inverse tangent."""
        return self.show(apply(trigonometric.arctan, self))

    def sinh(self) -> TensorVariable:
        """The hyperbolic sine."""
        return self.show(apply(trigonometric.sinh, self))

    def cosh(self) -> TensorVariable:
        """The hyperbolic cosine."""
        return self.show(apply(trigonometric.cosh, self))

    def tanh(self) -> TensorVariable:
        """The hyperbolic tangent."""
        return self.show(apply(transcendental.tanh, self))

    def arcsinh(self) -> TensorVariable:
        """The inverse hyperbolic sine."""
        return self.show(apply(trigonometric.arcsinh, self))

    def arccosh(self) -> TensorVariable:
        """The inverse hyperbolic cosine."""
        return self.show(apply(trigonometric.arccosh, self))

    def arctanh(self) -> TensorVariable:
        """The inverse hyperbolic tangent."""
        return self.show(apply(trigonometric.arctanh, self))

    def floor(self) -> TensorVariable:
        """Rounded down."""
        return self.show(apply(rounding.floor, self))

    def ceil(self) -> TensorVariable:
        """Rounded up."""
        return self.show(apply(rounding.ceil, self))

    def trunc(self) -> TensorVariable:
        """Rounded towards zero."""
        return self.show(apply(rounding.trunc, self))

    def deg2rad(self) -> TensorVariable:
        """Degrees in radians."""
        return self.show(apply(trigonometric.deg2rad, self))

    def rad2deg(self) -> TensorVariable:
        """Radians in degrees."""
        return self.show(apply(trigonometric.rad2deg, self))

    def conjugate(self) -> TensorVariable:
        """The complex conjugate; a real tensor itself."""
        return self.show(apply(parts.conj, self))

    def expm(self) -> TensorVariable:
        """The exponential of a matrix."""
        return self.show(matrix.expm(self))

    # ---- tensors like it
    def zeros_like(self, dtype: str | None = None) -> TensorVariable:
        """Zeros in its shape, in its dtype unless told otherwise."""
        return self.show(filled_like(self, 0, dtype))

    def ones_like(self, dtype: str | None = None) -> TensorVariable:
        """Ones in its shape, in its dtype unless told otherwise."""
        return self.show(filled_like(self, 1, dtype))

    def transfer(self, target: str) -> TensorVariable:
        """Itself on "cpu".

        Raises:
            DeviceUnavailable: for any other target.
        """
        return self.show(housekeeping.transfer(self, target))

    def get_scalar_constant_value(self) -> Any:
        """The value of a constant with one element, as a 0-d array.

        Raises:
            GraphError: it is no such constant.
        """
        array = constant_value(self.node)
        if array is None or array.size != 1:
            raise GraphError(f"{self!r} is not a constant scalar", op="get_scalar_constant_value")
        return array.reshape(())
