"""The Responses API over the scripted service: what is kept, and when."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from arriero.core.errors import ErrorInfo
from arriero.core.events import Accepted, Failed, TextDelta
from arriero.server.options import ServerOptions
from tests.unit.server.conftest import Running, in_process

Local = tuple[Running, httpx.AsyncClient]
ASK = {"model": "demo", "input": "hi"}


async def test_kept_before_the_client_hears_of_the_end(local: Local) -> None:
    running, http = local
    reply: Any = (await http.post("/v1/responses", json=ASK)).json()
    assert reply["store"] is True
    kept = running.service.responses[reply["id"]]
    assert msgspec.json.decode(kept.body) | {"completed_at": 0} == reply | {"completed_at": 0}
    again = await http.post("/v1/responses", json=ASK | {"previous_response_id": reply["id"], "input": "more"})
    messages = running.service.requests[-1].messages
    assert messages is not None
    assert [one.content for one in messages] == ["hi", "Hello wörld", "more"]
    assert running.service.responses[again.json()["id"]].previous == reply["id"]


async def test_what_fails_is_not_kept(local: Local) -> None:
    running, http = local
    failed = Failed(error=ErrorInfo("worker_died", "signal 9"))
    running.service.script = [Accepted(prompt_tokens=1), TextDelta(text="Half"), failed]
    assert (await http.post("/v1/responses", json=ASK)).status_code == 500
    streamed = await http.post("/v1/responses", json=ASK | {"stream": True})
    assert streamed.status_code == 200
    assert "event: response.failed" in streamed.text
    assert "response.completed" not in streamed.text
    assert running.service.responses == {}


async def test_a_store_that_fails_is_told(local: Local) -> None:
    running, http = local

    async def cannot(saved: object) -> bool:
        return False

    running.service.save_response = cannot  # type: ignore[method-assign, assignment]
    reply = (await http.post("/v1/responses", json=ASK)).json()
    assert (reply["status"], reply["store"]) == ("completed", False)


async def test_nothing_runs_in_the_background(local: Local) -> None:
    _, http = local
    reply = (await http.post("/v1/responses", json=ASK)).json()
    assert (await http.post(f"/v1/responses/{reply['id']}/cancel")).status_code == 400
    assert (await http.post("/v1/responses/resp_x/cancel")).status_code == 404
    assert (await http.get(f"/v1/responses/{reply['id']}?stream=true")).status_code == 400


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/responses/resp_x?stream=1", "stream"),
        ("/v1/responses/resp_x?starting_after=3", "starting_after"),
        ("/v1/responses/resp_x?straem=true", "straem"),
        ("/v1/files?limt=3", "limt"),
        ("/v1/batches?before=batch-1", "before"),
        ("/v1/messages/batches?after=x", "after"),
    ],
)
async def test_queries_that_are_not_read_are_refused_by_name(local: Local, path: str, param: str) -> None:
    _, http = local
    reply = await http.get(path)
    assert reply.status_code == 400
    assert param in reply.json()["error"]["message"]
    if "messages" not in path:
        assert reply.json()["error"]["param"] == param


async def test_the_packages_own_marks_in_queries_pass(local: Local) -> None:
    _, http = local
    assert (await http.get("/v1/messages/batches?beta=true&limit=3")).status_code == 200
    assert (await http.get("/v1/files?api-version=2024-06-01")).status_code == 200
    assert (await http.get("/v1/models?beta=true", headers={"anthropic-version": "2023-06-01"})).status_code == 200


async def test_pages_of_items(local: Local) -> None:
    _, http = local
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    reply = (await http.post("/v1/responses", json=ASK | {"input": items})).json()
    path = f"/v1/responses/{reply['id']}/input_items"
    first = (await http.get(path, params={"limit": 2})).json()
    assert ([item["content"] for item in first["data"]], first["has_more"]) == (["4", "3"], True)
    rest = (await http.get(path, params={"limit": 9, "after": first["last_id"]})).json()
    assert ([item["content"] for item in rest["data"]], rest["has_more"]) == (["2", "1", "0"], False)
    assert (await http.get(path, params={"include[]": "message.output_text.logprobs"})).status_code == 200
    bad: list[dict[str, str]] = [
        {"limit": "0"},
        {"limit": "x"},
        {"limit": "101"},
        {"order": "up"},
        {"after": "x"},
        {"befor": "x"},
    ]
    for query in bad:
        assert (await http.get(path, params=query)).status_code == 400


async def test_counting_tells_what_it_does_not_honour() -> None:
    async with in_process(ServerOptions(unknown_fields="warn")) as (_, http):
        counted = await http.post("/v1/responses/input_tokens", json=ASK | {"colour": "red"})
        assert counted.json()["input_tokens"] == 3
        assert counted.headers["X-Arriero-Ignored"] == "colour"
        assert "X-Arriero-Ignored" not in (await http.post("/v1/responses/input_tokens", json=ASK)).headers
