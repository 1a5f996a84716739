"""Registries for pulling and pushing, and a models folder to pull into."""

from pathlib import Path

import pytest

from arriero.store.registry.options import RegistryOptions
from tests.unit.service.transfer.pulling import Place, place
from tests.unit.store.registry.conftest import docker, elsewhere, impatient, options, registry

__all__ = ["docker", "elsewhere", "here", "impatient", "options", "registry"]


@pytest.fixture
def here(tmp_path: Path, options: RegistryOptions) -> Place:
    """A models folder of its own."""
    return place(tmp_path / "models", options)
