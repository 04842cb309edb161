"""Compilers: how the engine gets native code, in this process or from workers.

Invariant: a remote server never compiles in its own process, and per-node Python
never runs there; what comes back from a worker is an artifact, which is only linked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from exprd_compiler import driver
from exprd_server.functions import Compiled
from exprd_server.values import PlanStep

if TYPE_CHECKING:
    from exprd_compiler.ir.graph import Graph
    from exprd_server.deadline import Deadline
    from exprd_server.settings import WorkerSettings
    from exprd_server.values import CompileChoices
    from exprd_server.workers import WorkerPool
