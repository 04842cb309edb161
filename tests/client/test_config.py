"""Configuration: where values come from, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import exprd
from exprd.config import OPTIONS, Config, ConfigWarning


def test_priority_of_the_sources() -> None:
    config = Config({"THEANO_FLAGS": "floatX=float32,device=cpu,mode=A", "EXPRD_FLAGS": "mode=B"})
    assert (config.floatX, config.mode) == ("float32", "B")
    config.mode = "C"
    assert config.mode == "C"
    assert Config({}).floatX == "float64"
    assert Config({"EXPRD_TARGET": "host:1"}).target == "host:1"


def test_later_flags_win_and_quotes_hold_commas() -> None:
    assert Config({"EXPRD_FLAGS": "mode=a,mode='b,c'"}).mode == "b,c"


def test_flags_that_are_not_understood() -> None:
    with pytest.warns(ConfigWarning, match="nonsense"):
        Config({"EXPRD_FLAGS": "nonsense=1"})
    with pytest.warns(ConfigWarning, match="floatX"):
        Config({"THEANO_FLAGS": "floatX"})
    Config({"THEANO_FLAGS": "lib.cnmem=1"})  # Theano has many that mean nothing here
    with pytest.raises(ValueError, match="float64, float32"):
        Config({"EXPRD_FLAGS": "floatX=float16"})


def test_assignments_are_checked() -> None:
    config = Config({})
    with pytest.raises(ValueError, match="raise, warn, ignore"):
        config.on_unused_input = "maybe"
    with pytest.raises(AttributeError, match="print"):
        config.nothing = 1
    with pytest.raises(AttributeError, match="no option"):
        _ = config.nothing
    config.profile = "True"
    assert config.profile is True
    with pytest.raises(ValueError, match="true or false"):
        config.profile = "perhaps"
    with pytest.raises(ValueError, match="of type float"):
        config.deadline = "soon"


def test_change_flags_restores() -> None:
    with exprd.config.change_flags(floatX="float32"):
        assert exprd.config.floatX == "float32"
    assert exprd.config.floatX == "float64"


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
    assert all(option.name in text for option in OPTIONS)
