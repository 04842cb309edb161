"""exprd: Theano's API for a compiler that runs in this process or on a server.

`import exprd` alone loads neither a code generator nor the server's package; the first function
that is compiled without a target does.
"""

from __future__ import annotations

from exprd import compile, errors, formats, gof, gradient, nn, printing, saving, state, tensor
from exprd.__about__ import __version__
from exprd.as_theano import install_as_theano, uninstall_as_theano
from exprd.background import compile_async
from exprd.buffers import Buffer, put
from exprd.clone import clone
from exprd.compiled import Function
from exprd.config import change_flags, config
from exprd.dumping import function_dump
from exprd.errors import ExprdError
from exprd.function import function
from exprd.futures import Future
from exprd.gradient import Lop, Rop, grad, subgraph_grad
from exprd.housekeeping import as_op
from exprd.io import In, Out, Param
from exprd.looping import Progress, pipeline
from exprd.mode import Mode
from exprd.numeric import NumericWarning
from exprd.opfromgraph import OpFromGraph
from exprd.printing import debugprint, dprint, pp, pprint
from exprd.published import PublishedFunction
from exprd.publishing import list_functions, lookup, publish, rollback, set_label, unpublish
from exprd.saving import dump_graph, load, load_graph, save
from exprd.session import Session, connect
from exprd.shared import shared
from exprd.sharing import open_shared, read
from exprd.state import load_state_dict, state_dict
from exprd.updates import OrderedUpdates
from exprd.variable import Variable
from exprd.vectorize import vectorize_graph

__all__ = [
    "Buffer",
    "ExprdError",
    "Function",
    "Future",
    "In",
    "Lop",
    "Mode",
    "NumericWarning",
    "OpFromGraph",
    "OrderedUpdates",
    "Out",
    "Param",
    "Progress",
    "PublishedFunction",
    "Rop",
    "Session",
    "Variable",
    "__version__",
    "as_op",
    "change_flags",
    "clone",
    "compile",
    "compile_async",
    "config",
    "connect",
    "debugprint",
    "dprint",
    "dump_graph",
    "errors",
    "formats",
    "function",
    "function_dump",
    "gof",
    "grad",
    "gradient",
    "install_as_theano",
    "list_functions",
    "load",
    "load_graph",
    "load_state_dict",
    "lookup",
    "nn",
    "open_shared",
    "pipeline",
    "pp",
    "pprint",
    "printing",
    "publish",
    "put",
    "read",
    "rollback",
    "save",
    "saving",
    "set_label",
    "shared",
    "state",
    "state_dict",
    "subgraph_grad",
    "tensor",
    "uninstall_as_theano",
    "unpublish",
    "vectorize_graph",
]

saving.register()
