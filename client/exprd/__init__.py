"""exprd: Theano's API for a compiler that runs in this process or on a server.

`import exprd` alone loads neither a code generator nor the server's package; the first function
that is compiled without a target does.
"""

from __future__ import annotations

from exprd import compile, errors, gradient, tensor
from exprd.__about__ import __version__
from exprd.buffers import Buffer, put
from exprd.compiled import Function
from exprd.config import change_flags, config
from exprd.errors import ExprdError
from exprd.function import function
from exprd.gradient import grad
from exprd.io import In, Out, Param
from exprd.mode import Mode
from exprd.session import Session, connect
from exprd.shared import shared
from exprd.variable import Variable

__all__ = [
    "Buffer",
    "ExprdError",
    "Function",
    "In",
    "Mode",
    "Out",
    "Param",
    "Session",
    "Variable",
    "__version__",
    "change_flags",
    "compile",
    "config",
    "connect",
    "errors",
    "function",
    "grad",
    "gradient",
    "put",
    "shared",
    "tensor",
]
