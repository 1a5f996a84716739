"""Registries for pulling and pushing."""

from tests.unit.store.registry.conftest import docker, elsewhere, impatient, options, registry

__all__ = ["docker", "elsewhere", "impatient", "options", "registry"]
