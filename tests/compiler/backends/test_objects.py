"""The object cache: what it keeps, what it refuses, what it forgets."""

from __future__ import annotations

import ctypes
import os
from dataclasses import replace

import pytest

from exprd_compiler.backends.llvm.jit import Linked
from exprd_compiler.backends.llvm.objects import ObjectCache, elf_machine, object_key
from exprd_compiler.backends.llvm.target import LEVELS, host_level

TEXT = "define i32 @answer() {\n  ret i32 42\n}\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "objects"


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def answer(image: bytes) -> int:
    linked = Linked(image, ["answer"])
    return ctypes.CFUNCTYPE(ctypes.c_int32)(linked.address("answer"))()


def test_another_process_need_not_compile(folder):
    first = ObjectCache(folder).compiled(TEXT, host_level())
    written = only_file(folder).stat().st_ino
    second = ObjectCache(folder).compiled(TEXT, host_level())
    assert first == second
    assert only_file(folder).stat().st_ino == written
    assert answer(second) == 42


def test_keys_tell_text_and_level_apart():
    level = host_level()
    keys = {
        object_key(TEXT, level),
        object_key(TEXT + "\n", level),
        object_key(TEXT, replace(level, codegen=3)),
        object_key(TEXT, replace(level, features="+x")),
        object_key(TEXT, LEVELS["neon"]),
    }
    assert len(keys) == 5


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def header_only(content: bytes) -> bytes:
    return content[: content.index(b"\n", 20) + 1]


DAMAGES = {
    "flipped bit": flipped,
    "truncated": lambda content: content[:-100],
    "header only": header_only,
    "empty": lambda content: b"",
    "no header line": lambda content: b"exprd object 1\n",
    "not json": lambda content: b"exprd object 1\nhello\n" + content,
    "foreign": lambda content: b"\x7fELF" + content,
    "json of another form": lambda content: b"exprd object 1\n[1]\n" + content,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_deleted_and_compiled_again(folder, damage):
    cache = ObjectCache(folder)
    image = cache.compiled(TEXT, host_level())
    path = only_file(folder)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert cache.load(path.stem, host_level()) is None
    assert not path.exists()
    assert cache.compiled(TEXT, host_level()) == image
    assert path.exists()


def test_a_file_under_another_key_is_refused(folder):
    cache = ObjectCache(folder)
    cache.compiled(TEXT, host_level())
    other = object_key(TEXT + "\n", host_level())
    only_file(folder).rename(folder / f"{other}.o")
    assert cache.load(other, host_level()) is None


def test_an_object_for_another_machine_is_refused(folder):
    cache, level = ObjectCache(folder), host_level()
    image = cache.compiled(TEXT, level)
    foreign = bytearray(image)
    foreign[18] = 183 if level.machine == 62 else 62
    key = object_key(TEXT, level)
    assert cache.store(key, level, bytes(foreign))
    assert cache.load(key, level) is None


def test_an_object_with_features_this_machine_lacks_is_refused(folder):
    cache = ObjectCache(folder)
    level = replace(host_level(), requires=frozenset({"telepathy"}))
    image = cache.compiled(TEXT, level)
    assert answer(image) == 42
    assert cache.load(object_key(TEXT, level), level) is None


def test_the_least_recently_used_go_first(folder):
    cache, level = ObjectCache(folder, limit=1 << 20), host_level()
    texts = [TEXT.replace("42", str(number)) for number in range(6)]
    for age, text in enumerate(texts):
        cache.compiled(text, level)
        path = folder / f"{object_key(text, level)}.o"
        os.utime(path, (1000 + age, 1000 + age))
        size = path.stat().st_size
    assert cache.load(object_key(texts[0], level), level) is not None  # touched: now the youngest
    small = ObjectCache(folder, limit=3 * size + size // 2)
    small.compiled(TEXT.replace("42", "7777"), level)
    left = [text for text in texts if (folder / f"{object_key(text, level)}.o").exists()]
    assert left == [texts[0], texts[5]]


def test_no_temporary_file_is_left(folder):
    ObjectCache(folder).compiled(TEXT, host_level())
    assert [path.suffix for path in folder.iterdir()] == [".o"]


def test_a_disk_that_refuses_harms_nobody(folder):
    cache = ObjectCache(folder)
    folder.rmdir()
    folder.write_text("a file where the directory was")
    assert answer(cache.compiled(TEXT, host_level())) == 42


def test_a_directory_that_others_may_write_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="chmod 700"):
        ObjectCache(folder)


def test_elf_machine_of_anything():
    assert elf_machine(b"") == -1
    assert elf_machine(b"x" * 100) == -1
