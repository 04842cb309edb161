"""The writer of LLVM IR text."""

from __future__ import annotations

import ctypes

import pytest

from exprd_compiler.backends.llvm.jit import Linked, compile_ir
from exprd_compiler.backends.llvm.scalar import LLVMBuilder
from exprd_compiler.backends.llvm.target import host_level
from exprd_compiler.backends.llvm.text import ModuleText, Value, constant


def countdown() -> ModuleText:
    """f(n) = the sum of 1 to n, by a loop."""
    module = ModuleText()
    n = Value("%n", "int64", 1)
    function = module.function("f", [n], result="i64")
    k = LLVMBuilder(function, 1)
    loop, done = function.label("loop"), function.label("done")
    function.jump(loop)
    function.begin(loop)
    i, total = function.phi("int64"), function.phi("int64")
    added = k.add(total, i)
    left = k.sub(i, constant(1, "int64"))
    for phi, first, later in ((i, n, left), (total, constant(0, "int64"), added)):
        function.incoming(phi, first, "entry")
        function.incoming(phi, later, function.block)
    function.branch(k.compare("gt", left, constant(0, "int64")), loop, done)
    function.begin(done)
    function.line(f"ret {added.typed}")
    return module


def test_a_loop_reads_as_expected():
    assert countdown().text() == (
        "define i64 @f(i64 %n) nounwind {\n"
        "entry:\n"
        "  br label %loop1\n"
        "loop1:\n"
        "  %p3 = phi i64 [ %n, %entry ], [ %t6, %loop1 ]\n"
        "  %p4 = phi i64 [ 0, %entry ], [ %t5, %loop1 ]\n"
        "  %t5 = add i64 %p4, %p3\n"
        "  %t6 = sub i64 %p3, 1\n"
        "  %t7 = icmp sgt i64 %t6, 0\n"
        "  br i1 %t7, label %loop1, label %done2\n"
        "done2:\n"
        "  ret i64 %t5\n"
        "}\n"
    )


def test_a_loop_runs():
    linked = Linked(compile_ir(countdown().text(), host_level()), ["f"])
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(linked.address("f"))(10) == 55


def test_text_is_the_same_every_time():
    assert countdown().text() == countdown().text()


def test_declarations_appear_once_and_yield_to_definitions():
    module = ModuleText()
    caller = module.function("caller", [])
    for _ in range(2):
        caller.call_void("given", constant(1, "int32"))
        caller.call_void("later")
    caller.line("ret void")
    module.function("later", []).line("ret void")
    text = module.text()
    assert text.count("declare void @given(i32)") == 1
    assert "declare void @later" not in text
    assert compile_ir(text, host_level())


def test_a_function_is_defined_once():
    module = ModuleText()
    written: list[str] = []
    for _ in range(2):
        module.define_once("f", lambda: written.append("f"))
    assert written == ["f"]


@pytest.mark.parametrize(
    ("value", "dtype", "lanes", "text"),
    [
        (1, "int32", 1, "1"),
        (-1, "int64", 4, "splat (i64 -1)"),
        (True, "bool", 1, "true"),
        (0, "bool", 2, "splat (i1 false)"),
        (1.0, "float32", 1, "0x3FF0000000000000"),
        (0.1, "float32", 1, "0x3FB99999A0000000"),
        (0.1, "float64", 2, "splat (double 0x3FB999999999999A)"),
        (float("inf"), "float32", 1, "0x7FF0000000000000"),
    ],
)
def test_constants(value, dtype, lanes, text):
    assert constant(value, dtype, lanes).text == text


def test_a_call_with_a_result_has_the_result_s_type():
    module = ModuleText()
    function = module.function("f", [])
    result = function.call("g", "float32", constant(1.0, "float64", 4), lanes=4)
    assert result.typed.startswith("<4 x float> %")
    assert "declare <4 x float> @g(<4 x double>)" in module.text()
