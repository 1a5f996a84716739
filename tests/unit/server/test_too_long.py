"""A prompt that is too long: OpenAI's errors name the field that holds it, whatever the route."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from arriero.core.errors import ContextLengthExceeded
from tests.unit.server.conftest import Running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "n": 2}, "messages"),
        ("/v1/completions", {"prompt": "hi"}, "prompt"),
        ("/v1/responses", {"input": "hi"}, "input"),
    ],
)
async def test_the_field_is_named(
    local: tuple[Running, httpx.AsyncClient], path: str, fields: dict[str, Any], param: str, stream: bool
) -> None:
    running, http = local
    running.service.script = [ContextLengthExceeded("x", prompt_tokens=9, context_length=8)]
    response = await http.post(path, json={"model": "demo", "stream": stream, **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)
    assert "9" in error["message"]
    assert "8" in error["message"]
