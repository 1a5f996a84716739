"""Every route answers, unknown ones say so, and what is not here yet says that."""

from __future__ import annotations

import httpx
import pytest

from arriero import __version__
from arriero.server.asgi import routes
from arriero.server.options import ServerOptions
from arriero.server.routes.context import Context
from arriero.server.routes.missing import MISSING
from tests.unit.server.conftest import Running, in_process
from tests.unit.server.fake import FakeService

Local = tuple[Running, httpx.AsyncClient]
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/plain; charset=utf-8"),
        ("/api/version", "application/json; charset=utf-8"),
        ("/api/tags", "application/json; charset=utf-8"),
        ("/api/ps", "application/json; charset=utf-8"),
        ("/v1/models", "application/json; charset=utf-8"),
        ("/v1/models/demo", "application/json; charset=utf-8"),
        ("/live", "application/json"),
        ("/ready", "application/json"),
        ("/health", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_get_and_head(local: Local, path: str, kind: str) -> None:
    _, http = local
    response = await http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")


async def test_texts(local: Local) -> None:
    _, http = local
    assert (await http.get("/")).text == "Ollama is running"
    assert (await http.get("/api/version")).json() == {"version": "0.33.0", "arriero": __version__}
    assert (await http.get("/metrics")).text == "arriero_up 1\n"


async def test_ready_is_the_services_word(local: Local) -> None:
    running, http = local
    running.service.is_ready = False
    assert (await http.get("/live")).status_code == 200
    assert (await http.get("/ready")).status_code == 503
    assert (await http.get("/health")).status_code == 503


async def test_unknown_paths_and_verbs(local: Local) -> None:
    _, http = local
    response = await http.get("/nowhere")
    assert (response.status_code, response.text) == (404, "404 page not found")
    assert (await http.post("/api/chat/", json=CHAT)).status_code == 404
    response = await http.get("/api/chat")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.text == "405 method not allowed"


@pytest.mark.parametrize(
    ("headers", "path", "kind"),
    [
        ({}, "/v1/moderations", "invalid_request_error"),
        ({}, "/v1/messages/nowhere", "not_found_error"),
        ({"anthropic-version": "2023-06-01"}, "/v1/complete", "not_found_error"),
    ],
)
async def test_unknown_paths_and_verbs_below_v1_are_said_in_their_apis_shape(
    local: Local, headers: dict[str, str], path: str, kind: str
) -> None:
    _, http = local
    unknown = await http.post(path, json={}, headers=headers)
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, kind)
    assert f"(POST {path})" in unknown.json()["error"]["message"]
    wrong = await http.delete("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "only POST" in wrong.json()["error"]["message"]


@pytest.mark.parametrize(("path", "methods"), MISSING)
async def test_what_is_not_here_yet(local: Local, path: str, methods: tuple[str, ...]) -> None:
    _, http = local
    for method in methods:
        response = await http.request(method, path.replace("{digest}", "sha256:00"), json={})
        assert response.status_code == 501
        if method == "HEAD":
            continue
        error = response.json()["error"]
        text = error["message"] if path.startswith("/v1/") else error
        assert text.endswith("is not in this version of arriero yet")
        assert ("type" in response.json()) == path.startswith("/v1/messages")


async def test_show(local: Local) -> None:
    _, http = local
    shown = (await http.post("/api/show", json={"model": "demo"})).json()
    assert shown["details"]["family"] == "llama"
    response = await http.post("/api/show", json={"name": "x"})
    assert (response.status_code, response.json()) == (404, {"error": "model 'x' not found"})
    response = await http.post("/api/show", json={"model": "demo", "options": {}})
    assert response.headers["x-arriero-ignored"] == "options"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", b"{", 400, "invalid JSON: Input data was truncated"),
        ("/api/chat", b'{"model":"demo","options":{"num_ctx":"x"}}', 500, 'option "num_ctx" must be of type integer'),
        ("/api/chat", b'{"model":"demo","options":{"num_ctx":1}}', 400, 'option "num_ctx" must be at least 4'),
        ("/api/generate", b"{}", 404, "model '' not found"),
        ("/v1/chat/completions", b"", 400, "missing request body"),
        ("/v1/completions", b'{"model":"demo","prompt":"x","echo":1}', 400, None),
    ],
)
async def test_bad_bodies(local: Local, path: str, body: bytes, status: int, text: str | None) -> None:
    _, http = local
    response = await http.post(path, content=body)
    assert response.status_code == status
    error = response.json()["error"]
    if text is not None:
        assert (error["message"] if path.startswith("/v1") else error) == text


async def test_the_content_type_does_not_matter(local: Local) -> None:
    _, http = local
    body = b'{"model":"demo","messages":[{"role":"user","content":"x"}],"stream":false}'
    response = await http.post("/api/chat", content=body, headers={"Content-Type": "text/plain"})
    assert response.json()["message"]["content"] == "Hello wörld"


async def test_bodies_compressed_in_unknown_ways_are_refused(local: Local) -> None:
    _, http = local
    response = await http.post("/v1/completions", content=b"x", headers={"Content-Encoding": "br"})
    assert response.status_code == 415
    assert "br" in response.json()["error"]["message"]


async def test_requests_are_counted_by_route(local: Local) -> None:
    running, http = local
    await http.get("/api/tags")
    await http.get("/made/up")
    await http.get("/v1/models/demo")
    await http.post("/api/chat", content=b"")
    text = running.metrics.render().decode()
    for labels in (
        'method="GET",route="/api/tags",status="200"',
        'method="GET",route="other",status="404"',
        'method="GET",route="/v1/models/{id:path}",status="200"',
        'method="POST",route="/api/chat",status="400"',
    ):
        assert f"arriero_http_requests_total{{{labels}}} 1.0" in text
    assert "made/up" not in text


def test_paths_are_listed_once() -> None:
    listed = [(route.path, method) for route in routes(Context(FakeService(), "0")) for method in route.methods or ()]
    assert len(listed) == len(set(listed))


async def test_a_prompt_is_shown_and_nothing_generated(local: Local) -> None:
    running, http = local
    body = {"model": "demo", "prompt": "hi", "_debug_render_only": True}
    response = await http.post("/api/generate", json=body)
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json()["_debug_info"] == {"rendered_template": "<hi>"}
    chat = await http.post("/api/chat", json={**CHAT, "_debug_render_only": True})
    assert chat.json()["_debug_info"] == {"rendered_template": "<None>"}
    assert running.service.endings == []


async def test_unknown_fields_are_refused_or_named() -> None:
    odd = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_token": 3, "od\u00e9\r\n": 1}
    async with in_process() as (_, http):
        refused = await http.post("/v1/chat/completions", json=odd)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "max_token"
    async with in_process(ServerOptions(unknown_fields="warn")) as (_, http):
        warned = await http.post("/v1/chat/completions", json=odd)
        assert warned.status_code == 200
        assert warned.headers["x-arriero-ignored"] == "max_token, od???"
        said = {"model": "demo", "input": "x", "odd": 1}
        assert (await http.post("/v1/responses", json=said)).headers["x-arriero-ignored"] == "odd"
