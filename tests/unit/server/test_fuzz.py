"""No request makes the server answer 500 for a bug of its own, and every error has its API's shape."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.observe.metrics import Metrics
from tests.unit.server.conftest import in_process

PATHS = ["/api/generate", "/api/chat", "/api/show", "/v1/chat/completions", "/v1/completions", "/v1/messages"]
NAMES = ["model", "prompt", "messages", "options", "stream", "tools", "keep_alive", "think", "format", "name", "stop"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["demo", "user", "5m"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "role", "content", "num_ctx", "seed"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=30)
    | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5).map(msgspec.json.encode)
    | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5).map(
        lambda fields: msgspec.json.encode({"model": "demo", **fields})
    )
)


def bugs(metrics: Metrics) -> bool:
    return b"arriero_internal_errors_total 0.0" not in metrics.render()


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS), body=BODIES)
def test_any_body(path: str, body: bytes) -> None:
    async def exchange() -> None:
        async with in_process() as (running, http):
            response = await http.post(path, content=body)
            assert not bugs(running.metrics)
            if response.status_code == 500:
                assert "must be" in response.text or "invalid format" in response.text  # Ollama's 500 for options
            if response.status_code != 200:
                error: Any = response.json()["error"]
                assert error["message"] if path.startswith("/v1/") else isinstance(error, str)

    asyncio.run(exchange())


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]),
    path=st.sampled_from(["/", "/api/", "/v1/models/", "/api/blobs/", "/v1/"]),
    rest=st.text(max_size=8),
    name=st.sampled_from(["host", "origin", "authorization", "x-api-key", "x-request-id", "content-length"]),
    value=st.binary(max_size=8).filter(lambda value: not set(value) & {0, 10, 13}),
)
def test_any_path_and_header(method: str, path: str, rest: str, name: str, value: bytes) -> None:
    async def exchange() -> None:
        async with in_process() as (running, http):
            response = await http.request(method, f"{path}{quote(rest)}", headers={name.encode(): value})
            assert not bugs(running.metrics)
            assert response.status_code in (200, 204, 400, 401, 403, 404, 405, 413, 501)
            assert response.headers["x-request-id"]

    asyncio.run(exchange())
