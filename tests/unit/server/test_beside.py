"""Large bodies are decoded in a thread, and what they ask of the server is still looked up on its loop."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from arriero.core.errors import ModelNotFound
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
