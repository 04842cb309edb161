"""Module: an object whose attributes are parameters and further modules.

A module is written in plain Python: shared variables and modules become its parts by being
attributes, or items of lists and dicts that are. `forward` builds expressions. Called with
variables, a module gives expressions; called with arrays, it gives the values at once.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Final

from numpy.typing import NDArray

from exprd.buffers import Buffer
from exprd.compiled import Function
from exprd.convert import as_array, is_mapping, node_of
from exprd.function import function
from exprd.saving import load, save
from exprd.shared import TensorSharedVariable, shared
from exprd.state.dicts import IncompatibleKeys, load_state_dict, state_dict
from exprd.state.lazy import UninitializedParameter
from exprd.state.variables import attributes, named_leaves, named_parts
from exprd.variable import TensorType, TensorVariable, constant
from exprd_compiler.errors import CallError

__all__ = ["Module", "ModuleList", "Sequential", "load_parameters", "save_parameters"]

_LAST: Final[dict[int, Function]] = {}  # by id of the module, as long as that lives
_BUILDING: Final[ContextVar[bool]] = ContextVar("exprd_building", default=False)


def save_parameters(model: object, path: str | os.PathLike[str]) -> None:
    """Writes the state dict of a model to a file.

    Raises:
        CallError: a lazy parameter has no value yet.
        OSError: the file cannot be written.
    """
    save(state_dict(model), path)


def load_parameters(
    model: object, path: str | os.PathLike[str], strict: bool = True, prefix: str = ""
) -> IncompatibleKeys:
    """Loads the state dict in a file into a model; files of torch and safetensors too.

    Raises:
        StateMismatch: as `load_state_dict`.
        DamagedFile: as `exprd.load`.
    """
    return load_state_dict(model, load(path), strict, prefix)


def _no_forward(module: object, *_: Any) -> Any:
    raise NotImplementedError(f"{type(module).__name__} has no forward")


class Module:
    """A part of a model, or a whole one. A subclass has a `forward`.

    Attributes:
        training: what `train` and `eval` set, for a `forward` that asks.
    """

    is_module: ClassVar[bool] = True
    training: bool = True

    # ---- calls
    # a callable of any signature, so that a subclass may name its inputs
    forward: Callable[..., Any] = _no_forward

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The outputs: expressions if an argument is a variable, else values.

        With arrays, `forward` builds the graph anew each time; native code is made once for equal
        graphs. A loop is faster with `exprd.function([x], net(x))`.

        Args:
            inputs: arrays, buffers, or variables.
            options: given to `forward` as they are.

        Raises:
            ExprdError: whatever `forward` and the run say.
        """
        if _BUILDING.get() or any(node_of(x) is not None for x in (*inputs, *options.values())):
            return self._build(inputs, options)
        values = [x if isinstance(x, Buffer) else as_array(x) for x in inputs]
        self._initialize(values, options)
        variables = [_variable_for(value) for value in values]
        run = function(variables, self._build(variables, options), on_unused_input="ignore")
        self._keep(run)
        return run(*values)

    def _keep(self, run: Function) -> None:
        """Holds on to the last function, with which the native code of an equal one stays ready."""
        if id(self) not in _LAST:
            weakref.finalize(self, _LAST.pop, id(self), None).atexit = False
        _LAST[id(self)] = run

    def _build(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        with _building():
            return self.forward(*inputs, **options)

    def _initialize(
        self, values: Sequence[Buffer | NDArray[Any]], options: Mapping[str, Any]
    ) -> None:
        """Lets lazy parameters see the inputs, as constants."""
        if any(isinstance(leaf, UninitializedParameter) for leaf in named_leaves(self).values()):
            arrays = [x.get() if isinstance(x, Buffer) else x for x in values]
            self._build([constant(array) for array in arrays], options)

    # ---- parts
    def named_parameters(self) -> Iterator[tuple[str, TensorSharedVariable]]:
        """The shared variables that can be assigned, each once, with its path.

        Raises:
            CallError: a lazy parameter has no value yet.
        """
        met: set[int] = set()
        for path, leaf in named_leaves(self).items():
            if isinstance(leaf, UninitializedParameter):
                raise CallError(
                    f"{path} has no value yet",
                    op="parameters",
                    hint="call the module once, so that lazy parameters get their shapes",
                )
            if id(leaf) not in met and leaf.durability != "constant":
                met.add(id(leaf))
                yield path, leaf

    def parameters(self) -> Iterator[TensorSharedVariable]:
        """The shared variables that can be assigned, each once."""
        return (variable for _, variable in self.named_parameters())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with its path."""
        met: set[int] = set()
        for path, part in named_parts(self):
            if isinstance(part, Module) and id(part) not in met:
                met.add(id(part))
                yield path, part

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one."""
        return ((name, x) for name, x in attributes(self) if isinstance(x, Module))

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one."""
        return (module for _, module in self.named_children())

    # ---- state
    def state_dict(self, prefix: str = "") -> OrderedDict[str, NDArray[Any]]:
        """The values of all shared variables by path, as copies; see `exprd.state_dict`."""
        return state_dict(self, prefix)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, prefix: str = ""
    ) -> IncompatibleKeys:
        """Assigns the values of a state dict, all or none; see `exprd.load_state_dict`."""
        return load_state_dict(self, state_dict, strict, prefix)

    def save_parameters(self, path: str | os.PathLike[str]) -> None:
        """Writes the state dict to a file."""
        save_parameters(self, path)

    def load_parameters(
        self, path: str | os.PathLike[str], strict: bool = True, prefix: str = ""
    ) -> IncompatibleKeys:
        """Loads the state dict in a file."""
        return load_parameters(self, path, strict, prefix)

    def materialize(self, name: str, value: NDArray[Any]) -> None:
        """Makes a lazy parameter a shared variable with a first value."""
        setattr(self, name, shared(value, name=name))

    def train(self, mode: bool = True) -> Module:
        """Sets `training` of this module and all below it; gives the module back."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """The same as `train(False)`."""
        return self.train(False)

    # ---- as text
    def extra_repr(self) -> str:
        """What stands between the parentheses of the text form."""
        return ""

    def shown_name(self) -> str:
        """What stands before the parentheses of the text form."""
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        rows = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._shown()]
        if not rows:
            return f"{self.shown_name()}({extra})"
        lines = "\n  ".join([extra, *rows] if extra else rows)
        return f"{self.shown_name()}(\n  {lines}\n)"

    def _shown(self) -> Iterator[tuple[str, Module]]:
        """The next modules below, also those in lists, by path."""
        above: list[str] = []
        for path, part in self.named_modules():
            if path and not any(path.startswith(f"{one}.") for one in above):
                above.append(path)
                yield path, part


class ModuleList(Module):
    """A list of modules, called one by one in a `forward`."""

    def __init__(self, modules: Any = ()) -> None:
        for place, module in enumerate(modules):
            setattr(self, str(place), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]

    def append(self, module: Module) -> ModuleList:
        """Adds a module at the end; gives the list back."""
        setattr(self, str(len(self)), module)
        return self


class Sequential(ModuleList):
    """Modules of which each takes what the one before gives."""

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and is_mapping(modules[0]):
            for name, module in modules[0].items():
                setattr(self, name, module)
        else:
            super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """What the last module gives."""
        for module in self.children():
            x = module(x)
        return x


def _variable_for(value: Buffer | NDArray[Any]) -> TensorVariable:
    """An input for a value; it broadcasts where the value does."""
    dtype, shape = str(value.dtype), value.shape
    return TensorType(dtype, [extent == 1 for extent in shape])()


@contextmanager
def _building() -> Generator[None]:
    """Within it, modules give expressions even of arrays: those are constants of the graph."""
    token = _BUILDING.set(True)
    try:
        yield
    finally:
        _BUILDING.reset(token)
