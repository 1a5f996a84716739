"""What the rooms stand on when the server starts."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from arriero.app import bind, bound, make_home, tell_bounds
from arriero.config import load_config
from arriero.core import control_groups
from arriero.core.control_groups import MemoryBound
from arriero.server.middleware.host_check import is_loopback


def test_the_home_is_its_users_alone(tmp_path: Path) -> None:
    make_home(tmp_path / "a" / "home")
    assert stat.S_IMODE((tmp_path / "a" / "home").stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        make_home(tmp_path / "file" / "home")
    assert f"nothing is kept: ARRIERO_HOME {tmp_path}/file/home cannot be made: Not a directory" in caplog.text


@pytest.mark.parametrize("name", ["127.1", "127.0.0.1", "localhost"])
def test_a_name_of_this_machine_is_loopback_however_it_is_written(name: str, tmp_path: Path) -> None:
    """Else nothing would keep foreign pages out (DNS rebinding)."""
    config = load_config({"ARRIERO_HOME": str(tmp_path)}, host=name, port=0, no_auth=True)
    with bind(config) as listener:
        assert is_loopback(bound(config, listener).server.host)


def test_what_there_is_less_of_than_the_machine_has_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bounds: list[MemoryBound] = []
    monkeypatch.setattr(control_groups, "memory_bounds", lambda root: bounds)
    monkeypatch.setattr(control_groups, "cpu_quota", lambda root: 0.5)
    with caplog.at_level(logging.INFO):
        tell_bounds(load_config({"ARRIERO_HOME": str(tmp_path), "ARRIERO_MEMORY": "64M"}))
        assert caplog.messages == []
        bounds = [MemoryBound(64 << 20, 1 << 20)]
        tell_bounds(load_config({"ARRIERO_HOME": str(tmp_path), "ARRIERO_MEMORY": "64M"}))
        tell_bounds(load_config({"ARRIERO_HOME": str(tmp_path), "ARRIERO_MEMORY": "65M"}))
    told = "the control group allows 64 MiB of memory; CPUs: 0.5"
    assert caplog.messages == [told, told, "ARRIERO_MEMORY is 65 MiB, there are 64: models may be killed"]
