"""Levels of code and what is known of the machine."""

from __future__ import annotations

import pytest

from exprd_compiler.backends.llvm.target import (
    LEVELS,
    host_capabilities,
    host_features,
    host_level,
    supports,
)
from exprd_compiler.errors import DeviceUnavailable


def test_the_best_supported_level_is_chosen():
    chosen = host_level()
    assert supports(chosen)
    better = list(LEVELS)[: list(LEVELS).index(chosen.name)]
    assert not any(supports(LEVELS[name]) for name in better)


def test_a_level_can_be_forced(level):
    assert host_level(level.name) is level
    assert level.requires <= host_features()


@pytest.mark.parametrize("name", ["v9", "neon"])
def test_a_level_that_cannot_run_is_refused(name):
    if name in LEVELS and supports(LEVELS[name]):
        pytest.skip("this machine runs it")
    with pytest.raises(DeviceUnavailable, match=name):
        host_level(name)


def write_cache(folder, index, **facts):
    entry = folder / f"index{index}"
    entry.mkdir()
    for name, text in facts.items():
        (entry / name).write_text(f"{text}\n")


def test_caches_are_read(tmp_path):
    write_cache(tmp_path, 0, level=1, type="Data", size="48K")
    write_cache(tmp_path, 1, level=1, type="Instruction", size="32K")
    write_cache(tmp_path, 2, level=2, type="Unified", size="2M")
    write_cache(tmp_path, 3, level=3, type="Unified", size="nonsense")
    found = host_capabilities(LEVELS["v4"], tmp_path)
    assert (found.l1, found.l2, found.l3) == (48 << 10, 2 << 20, 2 << 20)
    assert found.vector_bits == 512
    assert found.threads >= 1


def test_a_machine_that_tells_nothing_has_modest_caches(tmp_path):
    found = host_capabilities(LEVELS["v3"], tmp_path / "none")
    assert 0 < found.l1 <= found.l2 <= found.l3
