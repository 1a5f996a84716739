from __future__ import annotations

import pytest

from arriero.server.options import ServerOptions
from tests.unit.server.conftest import in_process

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
POSTS = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"model": "demo", "input": "hi"},
    "/v1/messages": CHAT | {"max_tokens": 9},
    "/tokenize": {"model": "demo", "prompt": "hi"},
}


@pytest.mark.parametrize("path", POSTS)
async def test_names_in_the_query_of_a_post_are_told(path: str) -> None:
    async with in_process() as (_, http):
        told = await http.post(f"{path}?odd=1&stream=true&odd=2&api-version=x&beta=true", json=POSTS[path])
        assert (told.status_code, told.headers["x-arriero-ignored"]) == (200, "query.odd, query.stream")
        plain = await http.post(f"{path}?beta=true&api-version=2025-04-01&include[]=x", json=POSTS[path])
        assert plain.status_code == 200
        assert "x-arriero-ignored" not in plain.headers


async def test_they_are_told_behind_ignored_fields_and_cannot_forge_headers() -> None:
    async with in_process(ServerOptions(unknown_fields="warn")) as (_, http):
        both = await http.post("/v1/chat/completions?odd", json=CHAT | {"max_token": 1})
        assert both.headers["x-arriero-ignored"] == "max_token, query.odd"
        forged = await http.post("/v1/chat/completions?a%0d%0aX-Forged:%201", json=CHAT)
        assert forged.headers["x-arriero-ignored"] == "query.a??X-Forged??1"


async def test_lists_and_ollamas_routes_have_their_own_ways() -> None:
    async with in_process() as (_, http):
        ollama = await http.post("/api/chat?odd=1", json=CHAT)
        assert ollama.status_code == 200
        assert "x-arriero-ignored" not in ollama.headers
        assert (await http.get("/v1/responses/resp_1?odd=1")).status_code == 400
