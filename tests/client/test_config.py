"""Configuration: where values come from, how wrong ones are refused, what each option does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import exprd
from exprd import tensor as T
from exprd.config import IGNORED, OPTIONS, PENDING, Config, ConfigWarning


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without files of settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_priority_of_the_sources(home: Path) -> None:
    def rc(name: str, *lines: str) -> None:
        (home / name).write_text("\n".join(lines), encoding="utf-8")

    rc(".theanorc", "[global]", "deadline = 1", "mode = A", "optimizer = o1", "linker = py")
    rc(".exprdrc", "mode = B", "optimizer = o2", "linker = vm")
    flags = {"THEANO_FLAGS": "optimizer=o3,linker=c", "EXPRD_FLAGS": "linker=c|py"}
    config = Config(flags)
    assert (config.deadline, config.mode, config.optimizer) == (1.0, "B", "o3")
    assert config.linker == "c|py"
    config.linker = "vm_nogc"
    assert config.linker == "vm_nogc"
    assert "[assigned]" in str(config)
    assert "[THEANO_FLAGS]" in str(config)
    assert f"[{'~/.exprdrc'}]" in str(config)
    assert Config({"EXPRD_TARGET": "host:1", "EXPRD_FLAGS": "target=host:2"}).target == "host:1"


def test_the_rightmost_file_wins(home: Path) -> None:
    for number in (1, 2):
        path = home / f"rc{number}"
        path.write_text(f"# a remark\nmode = M{number}\nfloatX=float32 # a remark\n")
    names = os.pathsep.join([str(home / "rc1"), str(home / "rc2"), str(home / "missing")])
    config = Config({"EXPRDRC": names})
    assert (config.mode, config.floatX) == ("M2", "float32")


def test_files_that_cannot_be_read(home: Path) -> None:
    (home / ".exprdrc").write_text("[global\nnothing")
    with pytest.warns(ConfigWarning, match="cannot be read"):
        Config({})
    (home / ".exprdrc").write_bytes(b"\xff\xfe")
    with pytest.warns(ConfigWarning, match="cannot be read"):
        Config({})


def test_later_flags_win_and_quotes_hold_commas() -> None:
    assert Config({"EXPRD_FLAGS": "mode=a,mode='b,c'"}).mode == "b,c"
    with pytest.warns(ConfigWarning, match="cannot be read"):
        Config({"EXPRD_FLAGS": "mode='a"})


def test_flags_that_are_not_understood() -> None:
    with pytest.warns(ConfigWarning, match="EXPRD_FLAGS: no option 'flotX'; did you mean floatX"):
        Config({"EXPRD_FLAGS": "flotX=1"})
    with pytest.warns(ConfigWarning, match="'floatX' has no value"):
        Config({"THEANO_FLAGS": "floatX"})
    with pytest.warns(ConfigWarning, match="lib.cnmem has no effect here"):
        Config({"THEANO_FLAGS": "lib.cnmem=1"})
    with pytest.raises(ValueError, match="EXPRD_FLAGS: floatX cannot be 'float8'"):
        Config({"EXPRD_FLAGS": "floatX=float8"})


def test_keys_without_effect_are_told_of_once(recwarn: pytest.WarningsRecorder) -> None:
    config = Config({})
    config.gcc.cxxflags = "-O3"
    config.gcc__cxxflags = "-O2"
    assert config.gcc.cxxflags == getattr(config, "gcc.cxxflags") == "-O2"
    assert [str(w.message) for w in recwarn] == [
        "gcc.cxxflags has no effect here: no C compiler takes part"
    ]
    with pytest.raises(AttributeError, match="not built yet"):
        _ = config.compute_test_value
    assert config.ignored() == IGNORED


def test_assignments_are_checked() -> None:
    config = Config({})
    with pytest.raises(ValueError, match="raise, warn, ignore"):
        config.on_unused_input = "maybe"
    with pytest.raises(AttributeError, match="print"):
        config.nothing = 1
    with pytest.raises(AttributeError, match="no option"):
        _ = config.nothing
    with pytest.raises(ValueError, match="of type float"):
        config.deadline = "soon"
    with pytest.raises(ValueError, match="device cannot be 'gpu'"):
        config.device = "gpu"
    config.device = "cpu"


def test_change_flags_holds_for_its_block_and_thread() -> None:
    seen: list[str] = []
    config = exprd.config
    with config.change_flags(floatX="float32"):
        thread = threading.Thread(target=lambda: seen.append(config.floatX))
        thread.start()
        thread.join()
        assert (config.floatX, seen) == ("float32", ["float64"])
        config.floatX = "float16"  # belongs to the block
        assert config.floatX == "float16"
        assert "[change_flags]" in str(config)
    assert config.floatX == "float64"
    with pytest.raises(AttributeError, match="no option"), config.change_flags(nothing=1):
        pass


def test_change_flags_decorates() -> None:
    @exprd.change_flags(floatX="float32")
    def built(depth: int) -> str:
        return built(depth - 1) if depth else T.scalar().dtype

    assert (built(2), T.scalar().dtype) == ("float32", "float64")


def test_the_cache_folder(tmp_path: Path) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    assert Config(home).cache_folder() == tmp_path / "exprd"
    assert (tmp_path / "exprd").stat().st_mode & 0o077 == 0
    chosen = Config({**home, "EXPRD_CACHE_DIR": str(tmp_path / "own")})
    assert chosen.cache_folder() == tmp_path / "own"
    (tmp_path / "file").write_text("")
    assert Config({"XDG_CACHE_HOME": str(tmp_path / "file")}).cache_folder() is None


def test_printing_lists_every_option() -> None:
    text = str(exprd.config)
    assert all(f"{option.name} (" in text and option.doc in text for option in OPTIONS)


def test_no_key_is_in_two_tables() -> None:
    keys = [*PENDING, *(key for keys in IGNORED.values() for key in keys)]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {option.name for option in OPTIONS}


# ---- what the options do
@pytest.mark.usefixtures("mode")
def test_cast_policy() -> None:
    x = T.fvector("x")
    assert (x * 2).dtype == (x * 0.5).dtype == "float32"
    with exprd.config.change_flags(cast_policy="numpy+floatX"):
        assert (x * 2).dtype == "float64"  # int64 with float32
        assert (x * 0.5).dtype == "float64"
        with exprd.config.change_flags(floatX="float32"):
            assert (x * 0.1).dtype == "float32"


@pytest.mark.usefixtures("mode")
def test_upcasts_that_theano_users_know() -> None:
    x, n, small = T.fvector("x"), T.ivector("n"), T.wvector("small")
    assert (x * n).dtype == "float64"
    assert (x * small).dtype == "float32"
    assert n.mean().dtype == "float64"
    assert T.cast(n.mean(), "float32").dtype == "float32"
    with exprd.config.change_flags(floatX="float32"):
        assert (x * 0.1).dtype == "float32"
        assert T.cast(n, "floatX").dtype == "float32"
        assert (n / 2).dtype == "float32"


@pytest.mark.usefixtures("mode")
def test_warn_float64() -> None:
    with exprd.config.change_flags(warn_float64="warn"), pytest.warns(UserWarning, match="float64"):
        T.dvector("x")
    x, n = T.fvector("x"), T.ivector("n")
    with exprd.config.change_flags(warn_float64="raise"):
        assert (x + 1).dtype == "float32"
        with pytest.raises(TypeError, match=r"float64, by (mul|cast)"):
            T.exp(x * n)


@pytest.mark.usefixtures("mode")
def test_exception_verbosity() -> None:
    x = T.dvector("x")
    f = exprd.function([x], x[3])
    with pytest.raises(IndexError) as low:
        f([1.0])
    with exprd.config.change_flags(exception_verbosity="high"), pytest.raises(IndexError) as high:
        f([1.0])
    assert not hasattr(low.value, "__notes__")
    notes = "\n".join(high.value.__notes__)
    assert "argument 0: array of float64, shape (1,)" in notes
    assert "subtensor" in notes


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("linker", ["py", "cvm", "c|py_nogc"])
@pytest.mark.parametrize("optimizer", ["o4", "fast_compile", "None"])
def test_linkers_and_optimizers(linker: str, optimizer: str) -> None:
    x = T.dvector("x")
    with exprd.config.change_flags(linker=linker, optimizer=optimizer):
        f = exprd.function([x], T.log(1 + x).sum())
    np.testing.assert_allclose(f([1.0, 2.0]), np.log([2.0, 3.0]).sum(), rtol=1e-14)
    assert bool(f.maker.fgraph.toposort()) == (linker != "py")


@pytest.mark.usefixtures("mode")
def test_excluded_rewrites() -> None:
    x = T.dvector("x")
    plain = exprd.function([x], T.log(1 + x))
    with exprd.config.change_flags(optimizer_excluding="local_log1p:fusion"):
        without = exprd.function([x], T.log(1 + x))
    tiny = np.array([1e-20])
    assert plain(tiny)[0] == 1e-20
    assert without(tiny)[0] == 0.0
    chosen = exprd.function([x], T.log(1 + x), mode=exprd.Mode().excluding("local_log1p"))
    assert chosen(tiny)[0] == 0.0


def test_modes_that_do_not_exist() -> None:
    with pytest.raises(exprd.errors.GraphError, match="no mode with 'java'"):
        exprd.Mode(linker="java")
    with (
        exprd.config.change_flags(mode="NONSENSE"),
        pytest.raises(exprd.errors.GraphError, match="no predefined mode exists for 'NONSENSE'"),
    ):
        exprd.function([], [])
