"""Golden byte files: what decoders make of recorded requests and encoders of scripted events.

`WRITE_GOLDEN=1` rewrites them; read the diff before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent

Golden = Callable[[str, bytes], None]


@pytest.fixture
def golden() -> Golden:
    """Compares bytes with a file of this folder."""

    def compare(name: str, actual: bytes) -> None:
        path = HERE / name
        if os.environ.get("WRITE_GOLDEN"):
            path.write_bytes(actual)
        assert actual.decode() == path.read_bytes().decode(), f"{name} differs"

    return compare
