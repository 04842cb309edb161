"""From IR text to an object, and from an object to addresses in this process.

Text is always verified, since the parser alone accepts malformed modules. Objects are linked by
a long-lived LLJIT, each in a library of its own that is unloaded with its ``Linked``.
"""

from __future__ import annotations

import itertools
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from exprd_compiler.backends.llvm.binding import llvm
from exprd_compiler.backends.llvm.target import supports
from exprd_compiler.errors import CompilerBug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exprd_compiler.backends.llvm.target import Level

_RELOCATION: Final = "pic"
_CODE_MODEL: Final = "small"
_LOCK = threading.RLock()  # llvmlite serialises every call anyway; target machines need it
_LINKS = itertools.count()
# A linker never gives back some 10 kB per library, even after unloading, until it goes itself.
_LINKS_PER_LINKER: Final = 256


@cache
def _prepare() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def _machine(level: Level) -> Any:
    _prepare()
    if not supports(level):  # only to be looked at, or sent to another machine
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(level.triple)
    return target.create_target_machine(
        cpu=level.cpu,
        features=level.features,
        opt=level.codegen,
        reloc=_RELOCATION,
        codemodel=_CODE_MODEL,
    )


@lru_cache(maxsize=1)
def _linker(generation: int) -> Any:
    del generation  # the cache forgets one linker for the next; libraries keep theirs alive
    _prepare()
    return llvm.create_lljit_compiler(use_jit_link=True)


def compile_ir(text: str, level: Level) -> bytes:
    """The relocatable object of a module of IR text.

    Raises:
        CompilerBug: LLVM found the text malformed.
    """
    with _LOCK:
        return bytes(_machine(level).emit_object(_parsed(text, level)))


def assembly(text: str, level: Level) -> str:
    """The assembly of a module, for people and tests."""
    with _LOCK:
        return str(_machine(level).emit_assembly(_parsed(text, level)))


def _parsed(text: str, level: Level) -> Any:
    _machine(level)
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise CompilerBug(f"LLVM rejects the module we wrote: {error}") from error
    module.triple = level.triple
    return module


def fingerprint(level: Level) -> str:
    """All that an object depends on beside the text of its module."""
    version = ".".join(str(part) for part in llvm.llvm_version_info)
    options = (level.codegen, _RELOCATION, _CODE_MODEL, "no passes")
    return f"LLVM {version}|{level.triple}|{level.cpu}|{level.features}|{options}"


class Linked:
    """An object loaded into this process; its code lives as long as this does."""

    __slots__ = ("_tracker",)

    def __init__(
        self, image: bytes, exports: Iterable[str], symbols: Mapping[str, int] | None = None
    ) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for name in exports:
            builder.export_symbol(name)
        for name, address in (symbols or {}).items():
            builder.import_symbol(name, address)
        with _LOCK:
            number = next(_LINKS)
            try:
                linker = _linker(number // _LINKS_PER_LINKER)
                self._tracker = builder.link(linker, f"exprd{number}")
            except RuntimeError as error:
                raise CompilerBug(f"an object could not be linked: {error}") from error

    def address(self, name: str) -> int:
        """Where an exported function lies."""
        return int(self._tracker[name])
