"""Compilation of IR text and linking of objects."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from exprd_compiler.backends.llvm.jit import Linked, assembly, compile_ir
from exprd_compiler.backends.llvm.target import LEVELS, host_level
from exprd_compiler.errors import CompilerBug

ANSWER = "define i32 @answer() {\n  ret i32 42\n}\n"
CALLBACK = """
declare i32 @given(i32)
define i32 @answer() {
  %r = call i32 @given(i32 20)
  ret i32 %r
}
"""
# A definition that does not dominate its use: the parser takes it, the verifier must not.
BROKEN = """
define i32 @f(i1 %c) {
entry:
  br i1 %c, label %a, label %b
a:
  %x = add i32 1, 2
  br label %b
b:
  ret i32 %x
}
"""


def function_of(linked: Linked, name: str = "answer"):
    return ctypes.CFUNCTYPE(ctypes.c_int32)(linked.address(name))


def test_an_object_runs():
    linked = Linked(compile_ir(ANSWER, host_level()), ["answer"])
    assert function_of(linked)() == 42


def test_objects_are_deterministic():
    assert compile_ir(ANSWER, host_level()) == compile_ir(ANSWER, host_level())


def test_two_objects_may_define_the_same_name():
    other = Linked(compile_ir(ANSWER.replace("42", "43"), host_level()), ["answer"])
    first = Linked(compile_ir(ANSWER, host_level()), ["answer"])
    assert (function_of(first)(), function_of(other)()) == (42, 43)


def test_given_symbols_are_called():
    double = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(lambda x: 2 * x)
    address = ctypes.cast(double, ctypes.c_void_p).value
    linked = Linked(compile_ir(CALLBACK, host_level()), ["answer"], {"given": address})
    assert function_of(linked)() == 40


def test_libc_is_found():
    text = (
        "declare ptr @memset(ptr, i32, i64)\n"
        "define void @f(ptr %p) {\n"
        "  %r = call ptr @memset(ptr %p, i32 7, i64 4)\n"
        "  ret void\n}\n"
    )
    linked = Linked(compile_ir(text, host_level()), ["f"])
    buffer = (ctypes.c_uint8 * 5)()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(linked.address("f"))(ctypes.addressof(buffer))
    assert list(buffer) == [7, 7, 7, 7, 0]


@pytest.mark.parametrize("text", ["define i32 @f( {", BROKEN])
def test_malformed_text_is_a_bug(text):
    with pytest.raises(CompilerBug, match="LLVM rejects"):
        compile_ir(text, host_level())


def test_an_unresolved_symbol_is_a_bug(capfd):
    with pytest.raises(CompilerBug, match="could not be linked"):
        Linked(compile_ir(CALLBACK, host_level()), ["answer"])


@pytest.mark.parametrize("cut", [0, 20, 100])
def test_a_truncated_object_is_a_bug(cut, capfd):
    with pytest.raises(CompilerBug, match="could not be linked"):
        Linked(compile_ir(ANSWER, host_level())[:cut], ["answer"])


def test_many_links_outlive_their_linker():
    image = compile_ir(ANSWER, host_level())
    linked = [Linked(image, ["answer"]) for _ in range(600)]
    gc.collect()
    assert all(function_of(one)() == 42 for one in linked)
    del linked[::2]
    gc.collect()
    assert all(function_of(one)() == 42 for one in linked)


def test_unloading_gives_the_memory_back():
    image = compile_ir(ANSWER, host_level())

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def many(count: int) -> None:
        for _ in range(count):
            Linked(image, ["answer"])

    many(300)
    before = resident()
    many(768)
    assert resident() - before < 4 << 20  # 7 MB if nothing came back


def test_threads_compile_and_link_at_once():
    results: list[int] = []

    def work(number: int) -> None:
        for i in range(5):
            image = compile_ir(ANSWER.replace("42", str(number * 10 + i)), host_level())
            linked = Linked(image, ["answer"])
            results.append(function_of(linked)())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(n * 10 + i for n in range(4) for i in range(5))


def test_levels_use_their_registers():
    text = (
        "define void @f(ptr %p) {\n"
        "  %x = load <16 x float>, ptr %p\n"
        "  %y = fadd <16 x float> %x, %x\n"
        "  store <16 x float> %y, ptr %p\n"
        "  ret void\n}\n"
    )
    assert "zmm" in assembly(text, LEVELS["v4"])
    v3 = assembly(text, LEVELS["v3"])
    assert "ymm" in v3
    assert "zmm" not in v3


def test_numpy_memory_is_filled_in_place(native):
    x = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(native(lambda k, x: k.add(x, x), "float32")(x), x + x)
