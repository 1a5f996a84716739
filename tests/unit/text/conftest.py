"""Where the shared templates are, for tests that can do without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of templates and vocabularies that is no part of the project."""
    folder = os.environ.get("ARRIERO_TEST_DATA")
    if not folder:
        pytest.skip("shared data: ARRIERO_TEST_DATA is not set")
    return Path(folder)
