"""POST /api/pull and /api/push over a scripted service."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from arriero.core.errors import RegistryError
from arriero.core.library import Progress
from tests.unit.server.conftest import Running
from tests.unit.server.fake import WAIT

Local = tuple[Running, httpx.AsyncClient]
REPORTS = [
    Progress(status="pulling manifest"),
    Progress(status="pulling abc", digest="sha256:abc", total=10, completed=0),
    Progress(status="pulling abc", digest="sha256:abc", total=10, completed=10),
    Progress(status="success"),
]


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize("verb", ["pull", "push"])
async def test_streamed_and_not(local: Local, verb: str) -> None:
    running, client = local
    running.service.reports = REPORTS
    body = {"Model": "m", "INSECURE": True, "username": "me", "stream": None}
    response = await client.post(f"/api/{verb}", json=body)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["x-arriero-ignored"] == "username"
    assert lines(response) == [
        {"status": "pulling manifest"},
        {"status": "pulling abc", "digest": "sha256:abc", "total": 10},
        {"status": "pulling abc", "digest": "sha256:abc", "total": 10, "completed": 10},
        {"status": "success"},
    ]
    whole = await client.post(f"/api/{verb}", json={"name": "old", "stream": False})
    assert whole.json() == {"status": "success"}
    assert running.service.transfers == [(verb, "m", True), (verb, "old", False)]


async def test_errors_before_and_after_the_first_report(local: Local) -> None:
    running, client = local
    running.service.reports = [REPORTS[0], RegistryError("pull model manifest: file does not exist")]
    streamed = await client.post("/api/pull", json={"model": "m"})
    assert streamed.status_code == 200
    assert lines(streamed)[-1] == {"error": "pull model manifest: file does not exist"}
    whole = await client.post("/api/pull", json={"model": "m", "stream": False})
    assert (whole.status_code, whole.json()) == (500, {"error": "pull model manifest: file does not exist"})
    running.service.reports = [RegistryError("insecure protocol http")]
    early = await client.post("/api/pull", json={"model": "m"})
    assert (early.status_code, early.json()) == (500, {"error": "insecure protocol http"})


@pytest.mark.parametrize(("path", "text"), [("/api/pull", "invalid model name"), ("/api/push", "model is required")])
async def test_without_a_model(local: Local, path: str, text: str) -> None:
    _, client = local
    response = await client.post(path, json={"stream": False})
    assert (response.status_code, response.json()) == (400, {"error": text})
    empty = await client.post(path)
    assert (empty.status_code, empty.json()) == (400, {"error": "missing request body"})
    wrong = await client.post(path, json={"model": ["x"]})
    assert wrong.status_code == 400


async def test_a_client_that_goes_closes_the_transfer(running: Running, http: httpx.AsyncClient) -> None:
    running.service.reports = [Progress(status=WAIT), Progress(status="success")]
    async with http.stream("POST", "/api/pull", json={"model": "m"}) as response:
        assert json.loads(await anext(response.aiter_lines())) == {"status": WAIT}
        assert not running.service.closed.is_set()
    await running.service.closed.wait()
