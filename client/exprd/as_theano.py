"""exprd in Theano's place: after `install_as_theano()`, `import theano` gives exprd.

Modules are entered under a second name, never loaded twice: `theano.tensor` is `exprd.tensor`. Only
`theano` itself is a module of its own, which finds its names in exprd and has another version.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType
from typing import Any, Final

__all__ = ["MODULES", "VERSION", "install_as_theano", "uninstall_as_theano"]

VERSION: Final = "1.0.5"  # of Theano, whose names and meanings these are
_PAGE: Final = "docs/from_theano.md"

# The modules of Theano that exist here, without "theano." in front.
MODULES: Final = (
    "compile",
    "compile.builders",
    "compile.function",
    "compile.function_module",
    "compile.io",
    "compile.mode",
    "compile.pfunc",
    "compile.sharedvalue",
    "configdefaults",
    "configparser",
    "gof",
    "gof.cc",
    "gof.graph",
    "gof.link",
    "gof.vm",
    "gradient",
    "ifelse",
    "misc",
    "misc.pkl_utils",
    "printing",
    "tensor",
    "tensor.basic",
    "tensor.blas",
    "tensor.extra_ops",
    "tensor.nlinalg",
    "tensor.nnet",
    "tensor.nnet.bn",
    "tensor.nnet.nnet",
    "tensor.nnet.sigm",
    "tensor.opt",
    "tensor.sharedvar",
    "tensor.slinalg",
    "tensor.sort",
    "tensor.subtensor",
    "tensor.type",
    "tensor.var",
    "tensor.xlogx",
    "updates",
)
# Names of `theano` that exprd has in another module.
_ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Apply": "exprd.gof",
        "CLinker": "exprd.gof",
        "Constant": "exprd.gof",
        "OpWiseCLinker": "exprd.gof",
        "PerformLinker": "exprd.gof",
        "SharedVariable": "exprd.compile",
        "SymbolicInput": "exprd.compile",
        "SymbolicOutput": "exprd.compile",
        "UnusedInputError": "exprd.compile",
        "dot": "exprd.tensor",
        "get_scalar_constant_value": "exprd.tensor",
    }
)
# The first words of what does not exist, and why.
_WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "compile.debugmode": "DebugMode is not built yet",
        "compile.DebugMode": "DebugMode is not built yet",
        "compile.monitormode": "MonitorMode is not built yet",
        "compile.MonitorMode": "MonitorMode is not built yet",
        "compile.nanguardmode": "NanGuardMode is not built yet",
        "compile.NanGuardMode": "NanGuardMode is not built yet",
        "compile.profil": "profiling is not built yet",
        "ProfileMode": "profiling is not built yet",
        "ProfileStats": "profiling is not built yet",
        "ifelse.ifelse": "branches in native code are not built yet; switch computes both sides",
        "scan": "loops are not built yet",
        "map": "loops are not built yet",
        "reduce": "loops are not built yet",
        "fold": "loops are not built yet",
        "sparse": "sparse matrices are not built yet",
        "typed_list": "lists of tensors are not built yet",
        "tensor.shared_randomstreams": "random streams are not built yet",
        "tensor.raw_random": "random streams are not built yet",
        "tensor.signal": "convolution and pooling are not built yet",
        "tensor.nnet.conv": "convolution and pooling are not built yet",
        "tensor.nnet.abstract_conv": "convolution and pooling are not built yet",
        "tensor.nnet.neighbours": "convolution and pooling are not built yet",
        "tensor.fft": "Fourier transforms are not built yet",
        "compile.ops": "ops are records of the compiler, not classes",
        "gof.Op": "ops are records of the compiler, not classes",
        "Op": "ops are records of the compiler, not classes",
        "gof.opt": "rewrites are rules of the compiler",
        "gpuarray": "the server chooses the device",
        "sandbox": "the server chooses the device, and random streams are not built yet",
    }
)


class _Refusal:
    """A finder that says of Theano's missing modules and names that they are missing, and why.

    Args:
        prefix: of the names that it is asked for.
        final: whether nothing else can find a module of this prefix.
    """

    def __init__(self, prefix: str, *, final: bool) -> None:
        self._prefix, self._final = prefix, final

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None, for what is none of its business.

        Raises:
            ImportError: Theano may have this, exprd has not.
        """
        if name.startswith(self._prefix):
            rest = name.removeprefix(self._prefix)
            if self._final or _why(rest) or rest.rpartition(".")[0] in MODULES:
                # no ModuleNotFoundError, for which `from a import b` puts words of its own
                raise ImportError(_missing(rest), name=name)
        return None


_FINDERS: Final = (_Refusal("theano.", final=True), _Refusal("exprd.", final=False))


def install_as_theano() -> None:
    """Makes exprd importable as `theano`, in this process, for all that is imported from now on.

    Modules of Theano that exist here are the very modules of exprd. A Theano that is installed is
    left alone, and not found while this holds.

    Raises:
        ImportError: a real Theano has been imported already.
    """
    present = sys.modules.get("theano")
    if present is _ROOT:
        return
    if present is not None or any(name.startswith("theano.") for name in sys.modules):
        place = getattr(present, "__file__", None) or "an unknown place"
        raise ImportError(
            f"Theano is imported already, from {place};"
            " call exprd.install_as_theano() before anything imports theano",
            name="theano",
        )
    found = {f"theano.{name}": import_module(f"exprd.{name}") for name in MODULES}
    sys.modules.update({"theano": _ROOT, "theano.version": _VERSIONS, **found})
    # the first must come before the finder of files: exprd's own are not to be found as theano's
    sys.meta_path.insert(0, _FINDERS[0])
    sys.meta_path.append(_FINDERS[1])


def uninstall_as_theano() -> None:
    """Undoes `install_as_theano`; what was imported stays usable. Does nothing the second time."""
    if sys.modules.get("theano") is not _ROOT:
        return
    for name in [n for n in sys.modules if n == "theano" or n.startswith("theano.")]:
        del sys.modules[name]
    for finder in _FINDERS:
        sys.meta_path.remove(finder)


def _why(name: str) -> str:
    """Why a name of Theano's is missing; empty if nothing is known of it."""
    found = (why for start, why in _WHY.items() if name == start or name.startswith(start))
    return next(found, "")


def _missing(name: str) -> str:
    why = _why(name)
    return (
        f"exprd has no theano.{name}{': ' if why else ''}{why};"
        f" {_PAGE} tells what there is and what is missing"
    )


def _root() -> ModuleType:
    root, exprd = ModuleType("theano", __doc__), import_module("exprd")

    def lookup(name: str) -> Any:
        place = import_module(_ELSEWHERE[name]) if name in _ELSEWHERE else exprd
        try:
            return getattr(place, name)
        except AttributeError:
            raise AttributeError(_missing(name), name=name, obj=root) from None

    contents: dict[str, Any] = {
        "__version__": VERSION,
        "__path__": [],  # a package, whose modules are all in place
        "__file__": exprd.__file__,
        "__spec__": ModuleSpec("theano", None, origin=exprd.__file__, is_package=True),
        "__getattr__": lookup,
        "__dir__": lambda: sorted({*exprd.__all__, *_ELSEWHERE}),
        "version": _VERSIONS,
    }
    vars(root).update(contents)
    return root


def _versions() -> ModuleType:
    module = ModuleType("theano.version", "The version of Theano that exprd is like.")
    names = ("version", "short_version", "full_version")
    vars(module).update(dict.fromkeys(names, VERSION))
    return module


_VERSIONS: Final = _versions()
_ROOT: Final = _root()
