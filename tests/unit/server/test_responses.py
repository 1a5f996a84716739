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


async def test_what_fails_is_kept_as_far_as_it_was_streamed(local: Local) -> None:
    running, http = local
    failed = Failed(error=ErrorInfo("worker_died", "signal 9"))
    running.service.script = [Accepted(prompt_tokens=1), TextDelta(text="Half"), failed]
    assert (await http.post("/v1/responses", json=ASK)).status_code == 500
    assert running.service.responses == {}
    streamed = await http.post("/v1/responses", json=ASK | {"stream": True})
    assert streamed.status_code == 200
    assert "event: response.failed" in streamed.text
    assert "response.completed" not in streamed.text
    told = msgspec.json.decode(streamed.text.rpartition("data: ")[2])["response"]
    assert (told["status"], told["store"]) == ("failed", True)
    assert [(item["status"], item["content"][0]["text"]) for item in told["output"]] == [("incomplete", "Half")]
    kept = (await http.get(f"/v1/responses/{told['id']}")).json()
    assert (kept["status"], kept["output"]) == ("failed", told["output"])
    running.service.script = [failed]
    assert (await http.post("/v1/responses", json=ASK | {"stream": True})).status_code == 500
    assert len(running.service.responses) == 1


async def test_a_store_that_fails_is_told(local: Local) -> None:
    running, http = local

    async def cannot(saved: object) -> bool:
        return False

    running.service.save_response = cannot  # type: ignore[method-assign]
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
    assert ([item["content"][0]["text"] for item in first["data"]], first["has_more"]) == (["4", "3"], True)
    rest = (await http.get(path, params={"limit": 9, "after": first["last_id"]})).json()
    assert ([item["content"][0]["text"] for item in rest["data"]], rest["has_more"]) == (["2", "1", "0"], False)
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


async def test_listed_items_are_whole_and_each_has_an_id_of_its_own(local: Local) -> None:
    _, http = local
    user = {"role": "user", "content": "x"}
    items = [user, user | {"id": "dup"}, user | {"id": "dup"}, user | {"id": 7}, user | {"id": None, "type": None}]
    reply = (await http.post("/v1/responses", json=ASK | {"input": items})).json()
    listed = (await http.get(f"/v1/responses/{reply['id']}/input_items", params={"order": "asc"})).json()["data"]
    assert len({item["id"] for item in listed}) == len(items)
    assert listed[1]["id"] == "dup"
    plain = {"type": "message", "role": "user", "status": "completed", "content": [{"type": "input_text", "text": "x"}]}
    assert [item | {"id": ""} for item in listed] == [plain | {"id": ""}] * len(items)


async def test_references_stand_for_items_of_kept_responses(local: Local) -> None:
    running, http = local
    first = (await http.post("/v1/responses", json=ASK)).json()
    (asked,) = (await http.get(f"/v1/responses/{first['id']}/input_items")).json()["data"]
    said = {"type": "item_reference", "id": first["output"][0]["id"]}
    more = {"role": "user", "content": "more"}
    again = (await http.post("/v1/responses", json=ASK | {"input": [{"id": asked["id"]}, said, more]})).json()
    messages = running.service.requests[-1].messages
    assert messages is not None
    assert [(one.role, one.content) for one in messages] == [
        ("user", "hi"),
        ("assistant", "Hello wörld"),
        ("user", "more"),
    ]
    kept = msgspec.json.decode(running.service.responses[again["id"]].input)
    assert [item["id"] for item in kept[:2]] == [asked["id"], said["id"]]  # also when the first one is forgotten
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"input": [said, said]}, 400, "input[1].id"),
        ({"input": [said], "previous_response_id": first["id"]}, 400, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "input[0].id"),
        ({"input": [said | {"id": "msg_" + "0" * 50}]}, 404, "input[0].id"),
        ({"input": [said | {"id": said["id"] + "7"}]}, 404, "input[0].id"),
        ({"input": [more, {"type": "item_reference"}]}, 400, "input[1].id"),
        ({"input": [{}]}, 400, "input[0].role"),
    ]
    for fields, status, param in refused:
        answer = await http.post("/v1/responses", json=ASK | fields)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), fields


async def test_items_of_a_chain_are_all_that_a_response_was_made_from(local: Local) -> None:
    _, http = local
    first = (await http.post("/v1/responses", json=ASK)).json()
    more = {"input": [{"id": first["output"][0]["id"], "role": "user", "content": "more"}]}
    second = (await http.post("/v1/responses", json=ASK | more | {"previous_response_id": first["id"]})).json()
    path = f"/v1/responses/{second['id']}/input_items?order=asc"
    items = (await http.get(path)).json()["data"]
    assert [item["content"][0]["text"] for item in items] == ["hi", "Hello wörld", "more"]
    assert [item["id"] for item in items][1] == first["output"][0]["id"] != items[2]["id"]
    await http.delete(f"/v1/responses/{first['id']}")
    assert [item["content"][0]["text"] for item in (await http.get(path)).json()["data"]] == ["more"]
