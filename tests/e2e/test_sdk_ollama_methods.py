"""Every method of the official `ollama` package, read from the package itself: a new one there fails here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import ollama
import pytest

from arriero.store.catalog import demo_path
from tests.e2e.serving import serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert

EMBEDDER = "tiny-embed"
HELLO = [{"role": "user", "content": "Hello!"}]
SHORT = {"num_predict": 4, "temperature": 0}
CLOUD = {"web_search", "web_fetch"}
NEWER = {"systemone"}
"""For a route that Ollama 0.33 does not have."""
NOWHERE = "127.0.0.1:1/library/nothing"


def refused(act: Callable[[], object]) -> str:
    """The error's text."""
    with pytest.raises(ollama.ResponseError) as raised:
        act()
    return raised.value.error


CALLS: dict[str, Callable[[ollama.Client], object]] = {
    "generate": lambda client: client.generate("demo", "Hello!", options=SHORT).response,
    "chat": lambda client: client.chat("demo", HELLO, options=SHORT).message.content,
    "embed": lambda client: [len(one) for one in client.embed(EMBEDDER, ["a", "b"]).embeddings] == [64, 64],
    "embeddings": lambda client: len(client.embeddings(EMBEDDER, "a").embedding) == 64,
    "list": lambda client: [one for one in client.list().models if one.model == "demo:latest"],
    "show": lambda client: (client.show("demo").modelinfo or {})["general.architecture"] == "llama",
    "ps": lambda client: client.generate("demo", keep_alive=60).done and client.ps().models,
    "create_blob": lambda client: client.create_blob(demo_path()).startswith("sha256:"),
    "create": lambda client: client.create("made", from_="demo").status == "success",
    "copy": lambda client: client.copy("demo", "copied").status == "success",
    "delete": lambda client: client.copy("demo", "gone") and client.delete("gone").status == "success",
    "pull": lambda client: refused(lambda: client.pull(NOWHERE)),
    "push": lambda client: client.copy("demo", NOWHERE) and refused(lambda: client.push(NOWHERE)),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    home: Path = tmp_path_factory.mktemp("methods")
    embedder = write_bert(home / "embedder.gguf")
    with serve(
        home, "--model", f"{EMBEDDER}={embedder}", environment={"OLLAMA_MODELS": str(home / "models")}
    ) as server:
        yield ollama.Client(host=server.url, trust_env=False)


def test_every_method_is_known() -> None:
    methods = {name for name, _ in inspect.getmembers(ollama.Client, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"close"} == set(CALLS) | ((CLOUD | NEWER) & methods)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_method_has_its_result(name: str, client: ollama.Client) -> None:
    assert CALLS[name](client)
