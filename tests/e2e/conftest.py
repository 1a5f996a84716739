"""One server for all tests that only ask; tests that kill or configure start their own with `serve`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.automaton import write_automaton
from tests.e2e.serving import Server, serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in the default mode, shared."""
    with serve(tmp_path_factory.mktemp("shared server")) as running:
        running.load()
        yield running


@pytest.fixture(scope="session")
def exact_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in the deterministic mode, shared."""
    environment = {"ARRIERO_DETERMINISTIC": "1"}
    with serve(tmp_path_factory.mktemp("exact server"), environment=environment) as running:
        running.load()
        yield running


@pytest.fixture(scope="session")
def known_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo and `known`, a model whose answers are known beforehand, shared.

    `goes-on` says more behind its call.
    """
    home = tmp_path_factory.mktemp("known server")
    model = write_automaton(home / "known.gguf")
    goes_on = write_automaton(home / "goes-on.gguf", behind="\nObservation: rain")
    named = ("--model", f"known={model}", "--model", f"goes-on={goes_on}")
    with serve(home, *named, environment={"OLLAMA_MODELS": str(home / "models")}) as running:
        running.load("demo")
        running.load("known")
        yield running


@pytest.fixture(autouse=True)
def _loaded(request: pytest.FixtureRequest) -> None:
    """Tests of `stop` and the like leave the shared server without its model, or with it on more threads."""
    if "server" in request.fixturenames:
        running: Server = request.getfixturevalue("server")
        running.load()
