"""The options: one row each, and every row has an effect.

Below them the keys of Theano 1.0 that are accepted without effect, by reason. The names and
defaults are those of Theano 1.0.5 where it has the option.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from exprd.config.option import Option
from exprd_proto.patience import SECONDS

__all__ = ["BY_NAME", "IGNORED", "OPTIONS", "PENDING", "reason_ignored"]

OPTIONS: Final = (
    Option(
        name="floatX",
        default="float64",
        doc="Float dtype of constructors and of python floats that need one.",
        choices=("float64", "float32", "float16"),
    ),
    Option(
        name="durability",
        default="default",
        doc="Of shared variables that name none; default is that of the server they live on.",
        choices=("default", "volatile", "durable"),
    ),
    Option(
        name="cast_policy",
        default="custom",
        doc="What python numbers become: the smallest dtype that holds them, or numpy's.",
        choices=("custom", "numpy+floatX"),
    ),
    Option(
        name="int_division",
        default="int",
        doc="Whether / on integers is refused; else it is the quotient in floatX.",
        choices=("int", "floatX", "raise"),
    ),
    Option(
        name="warn_float64",
        default="ignore",
        doc="What happens when a variable of dtype float64 is made.",
        choices=("ignore", "warn", "raise", "pdb"),
    ),
    Option(
        name="device",
        default="cpu",
        doc="Where functions run.",
        choices=("cpu",),
        fixed=True,
    ),
    Option(
        name="mode",
        default="Mode",
        doc="Mode of functions that name none; Mode is that of config.linker and .optimizer.",
    ),
    Option(
        name="optimizer",
        default="o4",
        doc="Set of rewrites of the mode Mode.",
        choices=(
            "o4",
            "o3",
            "o2",
            "o1",
            "None",
            "fast_run",
            "fast_compile",
            "merge",
        ),
    ),
    Option(
        name="optimizer_excluding",
        default="",
        doc="Names of rewrites, joined by colons, that the mode Mode leaves out.",
    ),
    Option(
        name="linker",
        default="cvm",
        doc="How functions of the mode Mode run: py is numpy node by node, all others native code.",
        choices=(
            "cvm",
            "c|py",
            "py",
            "c",
            "c|py_nogc",
            "vm",
            "vm_nogc",
            "cvm_nogc",
        ),
    ),
    Option(
        name="on_unused_input",
        default="raise",
        doc="What function() does about an input that plays no part.",
        choices=("raise", "warn", "ignore"),
    ),
    Option(
        name="exception_verbosity",
        default="low",
        doc="How much the error of a call tells: high adds the arguments and the graph.",
        choices=("low", "high"),
    ),
    Option(
        name="warn_numeric",
        default=True,
        doc="Whether calls warn of integer divisions by zero and the like.",
    ),
    Option(
        name="unpickle_function",
        default=True,
        doc="Whether a pickled function is compiled when it is loaded; else it loads as None.",
    ),
    Option(name="deadline", default=300.0, doc="Seconds a call of the server may take."),
    Option(
        name="ride_through",
        default=30.0,
        doc="Seconds for which calls wait for a server that is away or full.",
    ),
    Option(
        name="doorbell",
        default="auto",
        doc="Whether calls of a server on this host go through shared memory.",
        choices=("auto", "off"),
    ),
    Option(
        name="doorbell_spin",
        default=SECONDS,
        doc="Seconds for which such a call waits awake for its answer, where that pays; 0 for not"
        " at all. Read when a connection is opened.",
    ),
    Option(
        name="memory_limit",
        default=0,
        doc="Bytes that one call may take in this process, read when an engine starts;"
        " 0 is as many as there are.",
    ),
    Option(
        name="target",
        default="",
        doc="Server to use: host:port or unix:///path; empty means this process.",
        environment="EXPRD_TARGET",
    ),
    Option(
        name="token",
        default="",
        doc="What the server knows this client by.",
        environment="EXPRD_TOKEN",
        secret=True,
    ),
    Option(
        name="token_file",
        default="",
        doc="File of the token; it may be replaced while the client runs.",
        environment="EXPRD_TOKEN_FILE",
    ),
    Option(
        name="tls_ca",
        default="",
        doc="File of the certificates to trust, or system; encrypts the connection.",
        environment="EXPRD_TLS_CA",
    ),
    Option(
        name="tls_cert",
        default="",
        doc="File of this client's own certificate, where the server asks for one.",
        environment="EXPRD_TLS_CERT",
    ),
    Option(
        name="tls_key",
        default="",
        doc="File of the private key of that certificate.",
        environment="EXPRD_TLS_KEY",
    ),
    Option(
        name="cache_dir",
        default="",
        doc="Folder of compiled objects; empty means the user's cache folder.",
        environment="EXPRD_CACHE_DIR",
    ),
)
BY_NAME: Final[Mapping[str, Option]] = MappingProxyType({o.name: o for o in OPTIONS})

# A key is a name, or all names of a section ("gcc.*").
IGNORED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "no C compiler takes part": (
            "cxx",
            "gcc.*",
            "cmodule.*",
            "compile.*",
            "lib.amdlibm",
            "check_preallocated_output",
            "nocleanup",
            "ctc.*",
        ),
        "no folder of compiled modules, no lock: cache_dir holds finished objects": (
            "compiledir",
            "base_compiledir",
            "compiledir_format",
            "reoptimize_unpickled_function",
            "force_compile",
        ),
        "the matrix library comes with the server": ("blas.*", "mkl.*"),
        "the server chooses the device of a function": (
            "force_device",
            "init_gpu_device",
            "assert_no_cpu_op",
            "print_active_device",
            "contexts",
            "gpuarray.*",
            "gpuelemwise.*",
            "dnn.*",
            "magma.*",
            "nvcc.*",
            "cuda.*",
            "cublas.*",
            "cudnn.*",
            "lib.cnmem",
            "deterministic",
            "enable_initial_driver_test",
            "pycuda.*",
            "ultra_fast_sigmoid",
        ),
        "native code raises where it must, and counts what has a defined value": (
            "numpy.*",
            "on_shape_error",
            "check_input",
        ),
        "threads are the server's": (
            "openmp",
            "openmp_elemwise_minsize",
        ),
        "the rewrites are checked by tests, and a failing one is an error": (
            "on_opt_error",
            "nodes_to_optimize",
            "optdb.*",
            "metaopt.*",
            "optimizer_requiring",
            "optimizer_including",
            "optimizer_verbose",
            "optimizer_verbose_ignore",
            "cycle_detection",
            "tensor.*",
            "conv.*",
        ),
        "old behaviour that this package never had": (
            "warn.*",
            "experimental.*",
            "unittests.*",
            "maker_fgraph.*",
            "gradient.*",
            "hooks.*",
            "enable_conv2d_fft",
        ),
        "errors name the user's line": ("traceback.*",),
    }
)
PENDING: Final = (
    "allow_gc",
    "compute_test_value",
    "compute_test_value_opt",
    "DebugMode.*",
    "NanGuardMode.*",
    "pickle_test_value",
    "print_global_stats",
    "print_test_value",
    "profile",
    "profile_memory",
    "profile_optimizer",
    "profiling.*",
    "ProfileMode.*",
    "scan.*",
    "vm.*",
)
_NOT_YET: Final = "not built yet"


def reason_ignored(name: str) -> str | None:
    """Why a key of Theano has no effect; None when it is no such key."""
    section = f"{name.partition('.')[0]}.*"
    if name in PENDING or section in PENDING:
        return _NOT_YET
    found = (why for why, keys in IGNORED.items() if name in keys or section in keys)
    return next(found, None)
