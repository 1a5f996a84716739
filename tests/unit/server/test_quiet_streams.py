"""Streams in which nothing is said for long, on a real port: what OpenAI's routes send meanwhile."""

from __future__ import annotations

import httpx
import pytest

from arriero.core.events import Accepted, Finished, TextDelta, Usage
from arriero.server import generation
from tests.unit.server.conftest import serve
from tests.unit.server.fake import WAIT

BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
}


@pytest.mark.parametrize("path", BODIES)
async def test_a_quiet_stream_is_kept_alive_by_comments(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "IDLE_S", 0.01)
    async with serve() as running, httpx.AsyncClient(base_url=running.url, trust_env=False) as http:
        end = Finished(reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))
        running.service.script = [Accepted(prompt_tokens=1), WAIT, TextDelta(text="Hi"), end]
        comments = 0
        async with http.stream("POST", path, json=BODIES[path] | {"model": "demo", "stream": True}) as response:
            lines = response.aiter_lines()
            async for line in lines:
                comments += line == ":"
                if comments == 3:
                    running.service.go.set()
                    break
            rest = [line async for line in lines if line.startswith("data:")]
    assert any('"Hi"' in line for line in rest)
    assert rest[-1] == "data: [DONE]" or '"response.completed"' in rest[-1]
