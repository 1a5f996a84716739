"""Large bodies are decoded in a thread, and what they ask of the server is still looked up on its loop."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from arriero.core.errors import InvalidRequest, ModelNotFound
from arriero.core.model import ModelSpec
from arriero.server.beside import LARGE, beside, find_on_loop
from tests.unit.server.conftest import Running
from tests.unit.server.fake import DEMO

TEXT = "x" * LARGE
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": TEXT}]},
    "/v1/completions": {"prompt": TEXT},
    "/v1/responses": {"input": TEXT},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": TEXT}]},
    "/api/chat": {"messages": [{"role": "user", "content": TEXT}], "stream": False},
}


async def test_only_large_bodies_leave_the_loop() -> None:
    own = threading.get_ident()
    assert await beside(LARGE - 1, threading.get_ident) == own
    assert await beside(LARGE, threading.get_ident) != own


async def test_models_are_looked_up_on_the_loop() -> None:
    asked: list[int] = []

    def find(name: str) -> ModelSpec:
        asked.append(threading.get_ident())
        if name != "demo":
            raise ModelNotFound("no", model=name)
        return DEMO

    ask = find_on_loop(find)
    assert await beside(LARGE, lambda: ask("demo")) is DEMO
    assert ask("demo") is DEMO
    with pytest.raises(ModelNotFound):
        await beside(LARGE, lambda: ask("nobody"))
    assert set(asked) == {threading.get_ident()}


@pytest.mark.parametrize("path", BODIES)
async def test_they_are_answered_and_refused_as_small_ones(local: tuple[Running, httpx.AsyncClient], path: str) -> None:
    running, http = local
    assert (await http.post(path, json={"model": "demo", **BODIES[path]})).status_code == 200
    assert len(running.service.requests) == 1
    assert (await http.post(path, json={"model": "nobody", **BODIES[path]})).status_code == 404
    assert (await http.post(path, json={"model": 5, **BODIES[path]})).status_code == 400


@pytest.mark.parametrize(
    ("path", "decoder"),
    [
        ("/api/embed", "arriero.protocols.ollama.embed.decode_embed"),
        ("/v1/embeddings", "arriero.protocols.openai.embed.decode_embeddings"),
        ("/v1/rerank", "arriero.protocols.rank.decode_rerank"),
        ("/tokenize", "arriero.protocols.vllm_tokens.decode_tokenize"),
        ("/detokenize", "arriero.protocols.vllm_tokens.decode_detokenize"),
        ("/v1/files", "arriero.server.routes.batches.read_form"),
        ("/v1/messages/batches", "arriero.protocols.anthropic.batches.decode_batch"),
        ("/v1/conversations", "arriero.protocols.responses.conversations.decode_create"),
        ("/api/create", "arriero.protocols.ollama.library.decode_create"),
    ],
)
async def test_no_route_decodes_large_bodies_on_the_loop(
    local: tuple[Running, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, path: str, decoder: str
) -> None:
    where: list[int] = []

    def refuse(*_: object, **__: object) -> None:
        where.append(threading.get_ident())
        raise InvalidRequest("refused")

    monkeypatch.setattr(decoder, refuse)
    assert (await local[1].post(path, content=b" " * LARGE)).status_code == 400
    assert len(where) == 1
    assert where[0] != threading.get_ident()


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2023-06-01"}])
@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
async def test_lists_which_read_files_are_made_beside_the_loop(
    local: tuple[Running, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    running, http = local
    where: list[int] = []

    def models() -> list[ModelSpec]:
        where.append(threading.get_ident())
        return [DEMO]

    monkeypatch.setattr(running.service, "models", models)
    assert (await http.get(path, headers=headers)).status_code == 200
    assert where
    assert threading.get_ident() not in where
