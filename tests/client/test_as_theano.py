"""`import theano` gives exprd: the same modules, clear refusals, programs that run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import exprd
from exprd.as_theano import MODULES
from tests.client.theano_programs import PROGRAMS

INSTALL = "import exprd; exprd.install_as_theano()\n"
MISSING = {
    "from theano import scan": "loops are not built yet",
    "import theano.sparse": "sparse matrices",
    "from theano.ifelse import ifelse": "branches in native code",
    "from theano.tensor.nnet import conv2d": "convolution",
    "from theano.tensor.signal import pool": "convolution",
    "from theano.tensor.shared_randomstreams import RandomStreams": "random streams",
    "from theano.sandbox.rng_mrg import MRG_RandomStreams": "random streams",
    "from theano.compile import DebugMode": "DebugMode",
    "from theano.gof import Op": "records of the compiler",
    "from theano.tensor import no_such_name": "theano.tensor.no_such_name",
    "import theano.session": "theano.session",  # ours, and no module of Theano's
}


def run(
    program: str, env: dict[str, str], folder: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=check)


@pytest.mark.parametrize("place", ["embedded", "remote"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_for_theano_runs_as_it_is(
    name: str,
    place: str,
    request: pytest.FixtureRequest,
    child_env: dict[str, str],
    tmp_path: Path,
) -> None:
    """Not a letter differs between this process and a server over a Unix socket."""
    env = dict(child_env)
    if place == "remote":
        env["EXPRD_TARGET"] = request.getfixturevalue("server")
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    done = subprocess.run(
        [sys.executable, "-m", "exprd.theano", "program.py"],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if name == "logistic regression":
        assert done.stdout.startswith("Used the cpu")


def test_every_module_is_the_one_of_exprd(child_env: dict[str, str], tmp_path: Path) -> None:
    checks = "".join(
        f"import theano.{name}, exprd.{name}\n"
        f"assert sys.modules['theano.{name}'] is sys.modules['exprd.{name}']\n"
        for name in MODULES
    )
    again = "assert not [n for n in sys.modules if n.startswith('theano.exprd')]\n"
    names = (
        "import theano, theano.tensor as T\n"
        "from theano import function, shared, In, Out, config, gradient\n"
        "from theano.tensor.nnet import *\n"
        "assert T is exprd.tensor and gradient is exprd.gradient and theano.config is config\n"
        "assert (function, shared, In) == (exprd.function, exprd.shared, exprd.In)\n"
        "assert softmax is exprd.tensor.nnet.softmax and theano.dot is T.dot\n"
        # a function and a module share these names, as in Theano
        "assert callable(T.sort) and callable(T.var) and callable(theano.compile.function)\n"
    )
    run(f"import sys\n{INSTALL}{checks}{again}{names}", child_env, tmp_path)


def test_the_version_is_of_theano(child_env: dict[str, str], tmp_path: Path) -> None:
    program = (
        f"{INSTALL}import theano\nfrom theano.version import full_version\n"
        "print(theano.__version__, theano.version.version, full_version, exprd.__version__)"
    )
    done = run(program, child_env, tmp_path)
    assert done.stdout.split() == ["1.0.5", "1.0.5", "1.0.5", exprd.__version__]


def test_what_is_missing_is_named_with_where_to_look(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    tries = "".join(
        f"try:\n    {line}\nexcept ImportError as error:\n    print(error)\n" for line in MISSING
    )
    texts = run(f"{INSTALL}import theano\n{tries}", child_env, tmp_path).stdout.splitlines()
    assert len(texts) == len(MISSING)
    for text, why in zip(texts, MISSING.values(), strict=True):
        assert why in text
        assert "docs/from_theano.md" in text


def test_a_missing_attribute_is_an_attribute_error(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    program = (
        f"{INSTALL}import theano, theano.tensor as T\n"
        "assert not hasattr(theano, 'scan') and not hasattr(T, 'no_such_name')\n"
        "try:\n    theano.scan\nexcept AttributeError as error:\n    print(error)\n"
    )
    assert "docs/from_theano.md" in run(program, child_env, tmp_path).stdout


def test_a_theano_that_is_imported_already_is_not_replaced(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "theano.py").write_text("__version__ = '1.0.4'\n")
    program = "import exprd, theano\ntry:\n    exprd.install_as_theano()\n"
    program += "except ImportError as error:\n    print(error, theano.__version__)\n"
    text = run(program, child_env, tmp_path).stdout
    assert "before anything imports theano" in text
    assert "theano.py" in text
    assert text.rstrip().endswith("1.0.4")


def test_it_can_be_done_twice_and_undone(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "theano.py").write_text("__version__ = '1.0.4'\n")
    program = (
        f"import sys\nbefore = list(sys.meta_path)\n{INSTALL}exprd.install_as_theano()\n"
        "import theano\nassert theano.__version__ == '1.0.5'\n"
        "exprd.uninstall_as_theano()\nexprd.uninstall_as_theano()\n"
        "assert sys.meta_path == before\n"
        "kept = theano.tensor.scalar()\n"
        "import theano\nassert theano.__version__ == '1.0.4'\n"
    )
    run(program, child_env, tmp_path)


def test_a_program_gets_its_arguments_and_its_folder(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("import theano.tensor as T\n")
    (tmp_path / "program.py").write_text(
        "import sys, beside\nprint(sys.argv, __name__, beside.T.__name__)\n"
    )
    command = [sys.executable, "-m", "exprd.theano", str(tmp_path / "program.py"), "-n", "3"]
    done = subprocess.run(command, env=child_env, capture_output=True, text=True, check=True)
    assert done.stdout.split("] ")[1].split() == ["__main__", "exprd.tensor"]
    assert "'-n', '3'" in done.stdout
    usage = subprocess.run(command[:3], env=child_env, capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "PROGRAM.py" in usage.stderr
