"""Anthropic's routes over the scripted service: statuses, headers, errors before and in the middle, quiet streams."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from arriero.core.errors import (
    ArrieroError,
    ContextLengthExceeded,
    DeadlineExceeded,
    ErrorInfo,
    NotImplementedYet,
    Overloaded,
    WorkerDied,
)
from arriero.core.events import Accepted, Failed, Finished, TextDelta
from arriero.server import generation
from arriero.server.options import ServerOptions
from tests.unit.server.conftest import Running, in_process
from tests.unit.server.fake import USAGE, WAIT

Local = tuple[Running, httpx.AsyncClient]
BODY: dict[str, Any] = {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
HEADER = "x-anthropic-billing-header: cc_version=2.1; cch=1;"
VERSION = {"anthropic-version": "2023-06-01"}


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    return response.status_code, body["error"]["type"]


async def test_a_message(local: Local) -> None:
    running, http = local
    response = await http.post("/v1/messages", json=BODY)
    assert response.status_code == 200
    assert response.json()["content"] == [{"type": "text", "text": "Hello wörld"}]
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert running.service.requests[0].sampling.max_tokens == 9


async def test_a_stream(local: Local) -> None:
    _, http = local
    response = await http.post("/v1/messages", json=BODY | {"stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
    assert names == [
        *("message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Overloaded("full", retry_after=2.5), (529, "overloaded_error")),
        (ContextLengthExceeded("x", prompt_tokens=9, context_length=8), (400, "invalid_request_error")),
        (WorkerDied("signal 9"), (500, "api_error")),
        (RuntimeError("a bug"), (500, "api_error")),
    ],
)
async def test_errors_before_the_answer(
    local: Local, stream: bool, error: Exception, expected: tuple[int, str]
) -> None:
    running, http = local
    running.service.script = [error]
    response = await http.post("/v1/messages", json=BODY | {"stream": stream})
    assert error_of(response) == expected
    assert response.headers["request-id"]
    assert response.headers.get("retry-after") == ("3" if isinstance(error, Overloaded) else None)
    assert "a bug" not in response.text


async def test_an_error_in_the_middle_is_the_last_event(local: Local) -> None:
    running, http = local
    running.service.script = [
        Accepted(prompt_tokens=1),
        TextDelta(text="Half"),
        Failed(error=ErrorInfo("worker_died", "signal 9")),
    ]
    response = await http.post("/v1/messages", json=BODY | {"stream": True})
    assert response.status_code == 200
    last = response.text.rstrip().rsplit("\n\n", 1)[-1]
    named = f'"request_id":"{response.headers["request-id"]}"'
    assert (
        last == 'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"signal 9"},' + named + "}"
    )


async def test_a_quiet_stream_is_kept_alive(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "IDLE_S", 0.01)
    running.service.script = [
        Accepted(prompt_tokens=1),
        WAIT,
        TextDelta(text="Hi"),
        Finished(reason="stop", usage=USAGE),
    ]
    pings = 0
    async with (
        httpx.AsyncClient(base_url=running.url, trust_env=False) as http,
        http.stream("POST", "/v1/messages", json=BODY | {"stream": True}) as response,
    ):
        lines = response.aiter_lines()
        async for line in lines:
            pings += line == "event: ping"
            if pings == 3:
                running.service.go.set()
                break
        rest = [line async for line in lines]
    assert rest[-3:-1] == ["event: message_stop", 'data: {"type":"message_stop"}']


async def test_tokens_are_counted(local: Local) -> None:
    running, http = local
    prompt = {name: value for name, value in BODY.items() if name != "max_tokens"}
    response = await http.post("/v1/messages/count_tokens", json=prompt | {"system": "Be kind."})
    assert response.json() == {"input_tokens": 3}
    messages = running.service.requests[0].messages
    assert messages is not None
    assert messages[0].content == "Be kind."
    assert error_of(await http.post("/v1/messages/count_tokens", json={})) == (400, "invalid_request_error")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("strip", [True, False])
async def test_header_lines_of_clients_go_unless_they_shall_stay(path: str, strip: bool) -> None:
    async with in_process(ServerOptions(strip_client_headers=strip)) as (running, http):
        await http.post(path, json=BODY | {"system": f"{HEADER}\nBe kind."})
    messages = running.service.requests[0].messages
    assert messages is not None
    assert messages[0].content == ("Be kind." if strip else f"{HEADER}\nBe kind.")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_what_is_not_honoured_is_named_in_a_header(path: str) -> None:
    async with in_process(ServerOptions(unknown_fields="warn")) as (_, http):
        response = await http.post(path, json=BODY | {"novelty": 1, "output_config": {"effort": "low"}})
    assert response.status_code == 200
    assert response.headers["x-arriero-ignored"] == "novelty, output_config.effort"


async def test_models_have_the_shape_of_who_asks(local: Local) -> None:
    _, http = local
    assert (await http.get("/v1/models")).json()["object"] == "list"
    assert (await http.get("/v1/models/demo")).json()["object"] == "model"
    listed = (await http.get("/v1/models?limit=1", headers=VERSION)).json()
    assert (listed["data"][0]["type"], listed["has_more"]) == ("model", False)
    assert (await http.get("/v1/models/demo", headers=VERSION)).json()["display_name"] == "demo:latest"
    missing = await http.get("/v1/models/x", headers=VERSION)
    assert error_of(missing) == (404, "not_found_error")
    assert missing.headers["request-id"]
    assert error_of(await http.get("/v1/models?limit=0", headers=VERSION)) == (400, "invalid_request_error")
    assert (await http.get("/v1/models/x")).json()["error"]["code"] == "model_not_found"


async def test_keys_and_limits_speak_anthropics_language() -> None:
    async with in_process(ServerOptions(api_keys=("k",), max_body=100)) as (_, http):
        assert error_of(await http.post("/v1/messages", json=BODY)) == (401, "authentication_error")
        assert error_of(await http.get("/v1/models", headers=VERSION)) == (401, "authentication_error")
        for key in ({"x-api-key": "k"}, {"authorization": "Bearer k"}):
            assert (await http.get("/v1/models", headers=VERSION | key)).status_code == 200
            too_large = await http.post("/v1/messages", json=BODY | {"system": "x" * 200}, headers=key)
            assert error_of(too_large) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"{}", "requests"),
        (b'{"requests":[]}', "requests"),
        (b'{"requests":[{"custom_id":"a"}]}', "requests.0"),
        (b'{"requests":[{"custom_id":"a","params":{},"odd":1}]}', "requests.0"),
        (b'{"requests":[{"custom_id":"a b","params":{}}]}', "requests.0.custom_id"),
        (b'{"requests":[{"custom_id":"a","params":{}},{"custom_id":"a","params":{}}]}', "requests.1.custom_id"),
        (b'{"requests":[{"custom_id":"a","params":[]}]}', "requests.0.params"),
        (b'{"requests":[{"custom_id":"a","params":{"stream":true}}]}', "requests.0.params.stream"),
        (b'{"requests":[{"custom_id":"a","params":{}}],"odd":1}', "odd"),
        (b'{"requests":[{"custom_id":"a","params":{}}]}', "switched off"),  # the fake service has no folder
    ],
)
async def test_batches_that_are_refused(local: Local, body: bytes, at: str) -> None:
    _, http = local
    reply = await http.post("/v1/messages/batches", content=body)
    assert error_of(reply) == (400, "invalid_request_error")
    assert at in reply.json()["error"]["message"]


async def test_batches_that_are_not_here(local: Local) -> None:
    _, http = local
    assert (await http.get("/v1/messages/batches")).json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
    assert error_of(await http.get("/v1/messages/batches?limit=0")) == (400, "invalid_request_error")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/results"), ("POST", "/cancel")):
        reply = await http.request(method, f"/v1/messages/batches/msgbatch_{'0' * 24}{path}")
        assert error_of(reply) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Overloaded("full", retry_after=1), anthropic.OverloadedError),
        (ContextLengthExceeded("x", prompt_tokens=9, context_length=8), anthropic.BadRequestError),
        (DeadlineExceeded("late"), anthropic.GatewayTimeoutError),
        (NotImplementedYet("later"), anthropic.HTTPNotImplementedError),
        (WorkerDied("signal 9"), anthropic.InternalServerError),
    ],
)
async def test_the_packages_exceptions(
    running: Running, error: ArrieroError, kind: type[anthropic.APIStatusError]
) -> None:
    async with anthropic.AsyncAnthropic(base_url=running.url, api_key="unused", max_retries=0) as client:
        running.service.script = [error]
        with pytest.raises(kind):
            await client.messages.create(**BODY)
        running.service.script = [Accepted(prompt_tokens=1), TextDelta(text="Half"), Failed(error=error.info())]
        with pytest.raises(anthropic.APIStatusError) as caught:
            async with client.messages.stream(**BODY) as stream:
                await stream.until_done()
        body: Any = caught.value.body
        assert body["type"] == "error"


async def test_errors_of_the_server_name_the_request_too(local: Local) -> None:
    _, http = local
    for response in (
        await http.post("/v1/messages", content=b"{"),
        await http.get("/v1/messages"),
        await http.get("/v1/messages/nowhere"),
        await http.post("/v1/messages/batches", json={}),
    ):
        assert error_of(response)[0] == response.status_code
