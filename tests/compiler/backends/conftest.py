"""Native loops around one builder body, for the tests of the LLVM backend."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest

from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.target import LEVELS, Level, host_level, supports
from exprd_compiler.backends.llvm.text import FunctionText, ModuleText, Value, constant
from exprd_compiler.backends.llvm.types import item_size, memory_type

Body = Callable[..., Value]
Loop = Callable[..., np.ndarray]


def _element(function: FunctionText, base: Value, position: Value, dtype: str) -> Value:
    step = memory_type(dtype, 1)
    return function.emit(f"getelementptr {step}, ptr {base.text}, i64 {position.text}", "ptr")


def _load(k: LLVMBuilder, address: Value, dtype: str) -> Value:
    kind = memory_type(dtype, k.lanes)
    stored = "uint8" if dtype == "bool" else dtype
    raw = k.function.emit(
        f"load {kind}, ptr {address.text}, align {item_size(dtype)}", stored, k.lanes
    )
    return k.cast(raw, dtype)


def _store(k: LLVMBuilder, value: Value, address: Value) -> None:
    raw = k.cast(value, "uint8") if value.dtype == "bool" else value
    k.function.line(f"store {raw.typed}, ptr {address.text}, align {item_size(value.dtype)}")


def loop_text(body: Body, dtypes: tuple[str, ...], lanes: int) -> tuple[str, str]:
    """The module of `f(out, inputs..., n)`, n a multiple of the lanes, and the result's dtype."""
    module = ModuleText()
    inputs = [Value(f"%in{i}", "ptr", 1) for i in range(len(dtypes))]
    out, count = Value("%out", "ptr", 1), Value("%n", "int64", 1)
    function = module.function("f", [out, *inputs, count])
    k = LLVMBuilder(function, lanes)
    function.jump("loop")
    function.begin("loop")
    position = function.phi("int64")
    function.incoming(position, constant(0, "int64"), "entry")
    operands = [
        _load(k, _element(function, base, position, dtype), dtype)
        for base, dtype in zip(inputs, dtypes, strict=True)
    ]
    result = body(k, *operands)
    _store(k, result, _element(function, out, position, result.dtype))
    following = function.emit(f"add i64 {position.text}, {lanes}", "int64")
    function.incoming(position, following, function.block)
    more = function.emit(f"icmp slt i64 {following.text}, {count.text}", "bool")
    function.branch(more, "loop", "done")
    function.begin("done")
    function.line("ret void")
    return module.text(), result.dtype


def native(body: Body, *dtypes: str, lanes: int = 16, level: Level | None = None) -> Loop:
    """The body as a function of arrays of these dtypes."""
    text, result = loop_text(body, dtypes, lanes)
    linked = Linked(compile_ir(text, level or host_level()), ("f",))
    pointers = [ctypes.c_void_p] * (len(dtypes) + 1)
    entry = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(linked.address("f"))

    def run(*arrays: np.ndarray, owner: Linked = linked) -> np.ndarray:
        assert owner
        size = arrays[0].size
        padded = [
            np.resize(np.asarray(a, d), -(-size // lanes) * lanes)
            for a, d in zip(arrays, dtypes, strict=True)
        ]
        out = np.empty(padded[0].size, result)
        entry(out.ctypes.data, *[a.ctypes.data for a in padded], out.size)
        return out[:size]

    return run


@pytest.fixture(name="native")
def _native() -> Callable[..., Loop]:
    return native


@pytest.fixture(params=[name for name in LEVELS if name != "neon"])
def level(request: pytest.FixtureRequest) -> Level:
    """Each x86 level that this machine can run."""
    chosen = LEVELS[request.param]
    if not supports(chosen):
        pytest.skip(f"this machine cannot run {chosen.name} code")
    return chosen
