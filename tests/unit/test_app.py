"""What the rooms stand on when the server starts."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from arriero.app import make_home


def test_the_home_is_its_users_alone(tmp_path: Path) -> None:
    make_home(tmp_path / "a" / "home")
    assert stat.S_IMODE((tmp_path / "a" / "home").stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        make_home(tmp_path / "file" / "home")
    assert f"nothing is kept: ARRIERO_HOME {tmp_path}/file/home cannot be made: Not a directory" in caplog.text
