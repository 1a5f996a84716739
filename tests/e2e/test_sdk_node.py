"""The official JavaScript packages `ollama` and `openai`, unmodified, against a real server on a real port.

Their methods are read from the packages by the scripts in node/; a method without a check fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import node_packages
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert
from tests.unit.store.registry import docker_registry

OLLAMA = [
    "abort",
    "chat",
    "copy",
    "create",
    "delete",
    "embed",
    "embeddings",
    "encodeImage",
    "generate",
    "list",
    "ps",
    "pull",
    "push",
    "show",
    "version",
]
OPENAI = [
    "batches",
    "chat",
    "choices",
    "completions",
    "embeddings",
    "errors",
    "models",
    "responses",
    "runner",
    "stream",
]


@pytest.fixture(scope="module")
def packages() -> Path:
    return node_packages.installed()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("node")
    embedder = write_bert(home / "tiny-embed.gguf")
    with serve(
        home, "--model", f"tiny-embed={embedder}", environment={"OLLAMA_MODELS": str(home / "models")}
    ) as server:
        server.load()
        yield server


@pytest.fixture(scope="module")
def ollama(packages: Path, own: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    with docker_registry.running(tmp_path_factory.mktemp("registry")) as registry:
        result: dict[str, str] = json.loads(node_packages.run(packages, "ollama_client.mjs", own.url, registry))
    return result


@pytest.fixture(scope="module")
def openai(packages: Path, own: Server) -> dict[str, str]:
    result: dict[str, str] = json.loads(node_packages.run(packages, "openai_client.mjs", own.url))
    return result


def test_every_method_of_ollama_is_known(ollama: dict[str, str]) -> None:
    assert sorted(ollama) == OLLAMA


@pytest.mark.parametrize("method", OLLAMA)
def test_every_method_of_ollama_has_its_result(ollama: dict[str, str], method: str) -> None:
    assert ollama[method] == "ok"


@pytest.mark.parametrize("what", OPENAI)
def test_openai(openai: dict[str, str], what: str) -> None:
    assert openai[what] == "ok"
