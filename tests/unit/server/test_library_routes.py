"""Routes of create, copy, delete and blobs over the scripted service: statuses, texts, streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from arriero.core.errors import InvalidRequest, StoreError
from arriero.core.library import Progress
from arriero.server.options import ServerOptions
from tests.unit.server.conftest import Running, in_process

Local = tuple[Running, httpx.AsyncClient]
DATA = b"some weights"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
REPORTS = (
    Progress(status="parsing GGUF"),
    Progress(status="copying x", total=4, completed=2),
    Progress(status="success"),
)


async def test_create_streams_its_reports(local: Local) -> None:
    running, http = local
    running.service.reports = REPORTS
    response = await http.post("/api/create", json={"model": "x", "from": "demo", "strange": 1})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["x-arriero-ignored"] == "strange"
    assert [json.loads(line) for line in response.text.splitlines()] == [
        {"status": "parsing GGUF"},
        {"status": "copying x", "total": 4, "completed": 2},
        {"status": "success"},
    ]
    assert running.service.created[0].base == "demo"


async def test_create_at_once_answers_the_last_report(local: Local) -> None:
    running, http = local
    running.service.reports = REPORTS
    response = await http.post("/api/create", json={"model": "x", "from": "demo", "stream": False})
    assert response.json() == {"status": "success"}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_first_report_has_its_status(stream: bool, local: Local) -> None:
    running, http = local
    running.service.reports = (InvalidRequest("neither 'from' or 'files' was specified"),)
    response = await http.post("/api/create", json={"model": "x", "stream": stream})
    assert (response.status_code, response.json()) == (400, {"error": "neither 'from' or 'files' was specified"})


async def test_an_error_after_the_first_report_is_the_last_line(local: Local) -> None:
    running, http = local
    running.service.reports = (REPORTS[0], StoreError("the disk is full"))
    response = await http.post("/api/create", json={"model": "x"})
    assert response.status_code == 200
    assert json.loads(response.text.splitlines()[-1]) == {"error": "the disk is full"}
    response = await http.post("/api/create", json={"model": "x", "stream": False})
    assert (response.status_code, response.json()) == (500, {"error": "the disk is full"})


async def test_a_bug_in_the_middle_is_the_last_line(local: Local) -> None:
    running, http = local
    running.service.reports = (REPORTS[0], RuntimeError("secret"))
    response = await http.post("/api/create", json={"model": "x"})
    assert json.loads(response.text.splitlines()[-1])["error"].startswith("internal error, request id ")
    assert "secret" not in response.text
    assert "arriero_internal_errors_total 1.0" in running.metrics.render().decode()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/create"), ("POST", "/api/copy"), ("DELETE", "/api/delete")]
)
async def test_bodies_that_are_none(method: str, path: str, local: Local) -> None:
    _, http = local
    response = await http.request(method, path)
    assert (response.status_code, response.json()) == (400, {"error": "missing request body"})
    assert (await http.request(method, path, content=b"{")).status_code == 400


async def test_copy_and_delete_answer_nothing(local: Local) -> None:
    running, http = local
    response = await http.post("/api/copy", json={"source": "a", "destination": "b"})
    assert (response.status_code, response.content) == (200, b"")
    assert running.service.copies == [("a", "b")]
    response = await http.request("DELETE", "/api/delete", json={"name": "demo"})
    assert (response.status_code, response.content) == (200, b"")
    assert running.service.deleted == ["demo"]


async def test_delete_texts(local: Local) -> None:
    _, http = local
    response = await http.request("DELETE", "/api/delete", json={})
    assert (response.status_code, response.json()) == (400, {"error": "model is required"})
    response = await http.request("DELETE", "/api/delete", json={"model": "nope"})
    assert (response.status_code, response.json()) == (404, {"error": "model 'nope' not found"})


async def test_blobs(local: Local) -> None:
    running, http = local
    assert (await http.head(f"/api/blobs/{DIGEST}")).status_code == 404
    assert (await http.post(f"/api/blobs/{DIGEST}", content=DATA)).status_code == 201
    assert (await http.post(f"/api/blobs/{DIGEST}", content=DATA)).status_code == 200
    assert (await http.head(f"/api/blobs/{DIGEST}")).status_code == 200
    assert running.service.blobs == {DIGEST: DATA}
    assert (await http.head("/api/blobs/sha256:..")).status_code == 400
    response = await http.post("/api/blobs/nonsense", content=DATA)
    assert (response.status_code, response.json()) == (400, {"error": "invalid digest format"})
    assert (await http.get(f"/api/blobs/{DIGEST}")).status_code == 405


async def test_blobs_may_be_larger_than_other_bodies() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    async with in_process(ServerOptions(max_body=100)) as (running, http):
        assert (await http.post(f"/api/blobs/{DIGEST}", content=parts())).status_code == 201
        assert len(running.service.blobs[DIGEST]) == 1000
        assert (await http.post("/api/copy", content=b"x" * 101)).status_code == 413


async def test_status(local: Local) -> None:
    _, http = local
    assert (await http.get("/api/status")).json() == {"cloud": {"disabled": True, "source": "none"}}
