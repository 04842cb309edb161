"""A small writer of LLVM IR text: a module, its functions, values with fresh names.

Names are given out once, so the text is in SSA form by construction; the verifier of LLVM checks
the rest. Nothing here chooses instructions: that is the builder's and the emitters' work.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprd_compiler.backends.llvm.types import (
    SCALARS,
    is_complex,
    part_dtype,
    register_type,
    suffix,
)
from exprd_compiler.errors import CompilerBug

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Value:
    """An operand: its text (an SSA name or a constant), dtype and number of lanes."""

    text: str
    dtype: str
    lanes: int

    @property
    def type(self) -> str:
        """The LLVM type of the operand."""
        return register_type(self.dtype, self.lanes)

    @property
    def typed(self) -> str:
        """The operand with its type in front, as arguments and stores want it."""
        return f"{self.type} {self.text}"


def constant(value: complex, dtype: str, lanes: int = 1) -> Value:
    """A constant, the same in all lanes; floats are printed exactly, as bit patterns."""
    if is_complex(dtype):
        re, im = (constant(x, part_dtype(dtype), lanes) for x in (value.real, value.imag))
        return Value(f"{{ {re.typed}, {im.typed} }}", dtype, lanes)
    if value.imag:
        raise CompilerBug(f"{value} is not a constant of {dtype}")
    text = _literal(value.real, dtype)
    if lanes > 1:
        text = f"splat ({SCALARS[dtype].register} {text})"
    return Value(text, dtype, lanes)


def _literal(value: float, dtype: str) -> str:
    scalar = SCALARS[dtype]
    if scalar.kind == "bool":
        return "true" if value else "false"
    if scalar.kind != "float":
        return str(int(value))
    number = float(value)
    if scalar.bits == 32:  # LLVM spells a float as the double of the same value
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


class ModuleText:
    """One LLVM module in the making: declarations, and functions in the order they were begun."""

    __slots__ = ("_declarations", "_defined", "_functions", "_globals")

    def __init__(self) -> None:
        self._declarations: dict[str, str] = {}
        self._defined: set[str] = set()
        self._functions: list[FunctionText] = []
        self._globals: list[str] = []

    def function(
        self,
        name: str,
        parameters: Sequence[Value],
        *,
        result: str = "void",
        linkage: str = "",
        attributes: str = "nounwind",
    ) -> FunctionText:
        """Begin a function; ``parameters`` are values named ``%…`` and ``result`` an LLVM type."""
        arguments = ", ".join(parameter.typed for parameter in parameters)
        head = " ".join(part for part in ("define", linkage, result) if part)
        function = FunctionText(self, f"{head} @{name}({arguments}) {attributes}".rstrip())
        self._defined.add(name)
        self._functions.append(function)
        return function

    def declare(self, name: str, result: str, arguments: Sequence[str]) -> None:
        """Declare an external function or intrinsic once."""
        self._declarations[name] = f"declare {result} @{name}({', '.join(arguments)})"

    def define_once(self, name: str, write: Callable[[], object]) -> None:
        """Run ``write`` to define the function ``name`` unless it is already there."""
        if name not in self._defined:
            self._defined.add(name)
            write()

    def add_global(self, text: str) -> None:
        """Append one line of module scope, such as a constant table or an attribute group."""
        self._globals.append(text)

    def text(self) -> str:
        """The module as LLVM IR."""
        outside = self._declarations.keys() - self._defined
        declarations = [line for name, line in self._declarations.items() if name in outside]
        functions = [function.text() for function in self._functions]
        return "\n".join([*self._globals, *functions, *declarations, ""])


class FunctionText:
    """The body of one function: blocks of lines, fresh names and labels.

    Attributes:
        module: the module it belongs to.
        block: the label of the block that is being written.
        inlined: how many math functions were asked for in this one, see `LLVMBuilder.call`.
    """

    __slots__ = ("_counter", "_header", "_lines", "_pending", "block", "inlined", "module")

    def __init__(self, module: ModuleText, header: str) -> None:
        self.module = module
        self.block = "entry"
        self.inlined = 0
        self._header = header
        self._counter = 0
        self._lines: list[str] = ["entry:"]
        self._pending: dict[int, tuple[Value, list[str]]] = {}

    def fresh(self, hint: str = "t") -> str:
        """A new SSA name."""
        self._counter += 1
        return f"%{hint}{self._counter}"

    def label(self, hint: str) -> str:
        """A new label, to be begun later or at once."""
        self._counter += 1
        return f"{hint}{self._counter}"

    def line(self, text: str) -> None:
        """Append an instruction that has no result."""
        self._lines.append(f"  {text}")

    def emit(self, instruction: str, dtype: str, lanes: int = 1) -> Value:
        """Append an instruction and return its result under a fresh name."""
        name = self.fresh()
        self._lines.append(f"  {name} = {instruction}")
        return Value(name, dtype, lanes)

    def begin(self, label: str) -> None:
        """Start a block; the one before must have been ended by a branch."""
        self._lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        """End the block by an unconditional branch."""
        self.line(f"br label %{label}")

    def branch(self, condition: Value, then: str, otherwise: str) -> None:
        """End the block by a branch on a bool."""
        self.line(f"br {condition.typed}, label %{then}, label %{otherwise}")

    def phi(self, dtype: str, lanes: int = 1) -> Value:
        """A value that depends on the block one came from; see ``incoming``."""
        value = Value(self.fresh("p"), dtype, lanes)
        self._pending[len(self._lines)] = (value, [])
        self._lines.append("")
        return value

    def incoming(self, phi: Value, value: Value, block: str) -> None:
        """Say that ``phi`` is ``value`` when control comes from ``block``."""
        for owner, edges in self._pending.values():
            if owner is phi:
                edges.append(f"[ {value.text}, %{block} ]")

    def call(self, name: str, result: str, *arguments: Value, lanes: int = 1) -> Value:
        """Call a function with a result of dtype ``result``, declaring it on the way."""
        returned = register_type(result, lanes)
        self.module.declare(name, returned, [argument.type for argument in arguments])
        operands = ", ".join(argument.typed for argument in arguments)
        return self.emit(f"call {returned} @{name}({operands})", result, lanes)

    def call_void(self, name: str, *arguments: Value) -> None:
        """Call a function without a result, declaring it on the way."""
        self.module.declare(name, "void", [argument.type for argument in arguments])
        operands = ", ".join(argument.typed for argument in arguments)
        self.line(f"call void @{name}({operands})")

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """Call ``llvm.<name>`` overloaded on the first operand, whose type is the result's."""
        first = arguments[0]
        mangled = f"llvm.{name}.{suffix(first.dtype, first.lanes)}"
        return self.call(mangled, first.dtype, *arguments, lanes=first.lanes)

    def text(self) -> str:
        """The whole definition."""
        lines = list(self._lines)
        for index, (value, edges) in self._pending.items():
            lines[index] = f"  {value.text} = phi {value.type} {', '.join(edges)}"
        return "\n".join([f"{self._header} {{", *lines, "}"])
