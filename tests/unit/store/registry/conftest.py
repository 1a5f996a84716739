"""Registries of both kinds, and options with which kilobytes are large and waits are short."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator

import pytest

from arriero.store.registry.options import RegistryOptions
from tests.unit.store.registry import docker_registry
from tests.unit.store.registry.scripted_registry import ScriptedRegistry

OPTIONS = RegistryOptions(
    agent="ollama/0.33.0 (amd64 linux) arriero/test",
    part_min=1000,
    part_max=100_000,
    stall=20.0,
    backoff=0.001,
    save_every=0.001,
)


@pytest.fixture
def options() -> RegistryOptions:
    return OPTIONS


@pytest.fixture
def impatient() -> RegistryOptions:
    """A stall is noticed at once: only for tests in which nothing else takes time."""
    return dataclasses.replace(OPTIONS, stall=1.0)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """A scripted registry on a port of its own."""
    server = ScriptedRegistry()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def elsewhere() -> AsyncIterator[ScriptedRegistry]:
    """A second one, on another port: another host to HTTP."""
    server = ScriptedRegistry()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a docker-registry."""
    with docker_registry.running(tmp_path_factory.mktemp("docker registry")) as host:
        yield host
