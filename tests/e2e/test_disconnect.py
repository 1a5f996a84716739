"""Clients that go away: while their prompt is computed, while they are answered, and while they wait; streamed and not.

Afterwards no block is held, every request is counted once, and a prompt that nobody waits for was not computed further.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.asking import completion
from tests.e2e.models import write_slow
from tests.e2e.raw import RawReply, RawRequest, send_raw
from tests.e2e.serving import Server, serve

STEP = 64  # tokens in a step at most: a step is short, so that an abort comes soon
PROMPT = 3000
CANCELED = b'{"error":"request canceled"}'


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two sequences at most, a model that takes seconds for a long prompt."""
    path = write_slow(tmp_path_factory.mktemp("models"))
    environment = {"ARRIERO_MAX_RUNNING": "2"}
    with serve(tmp_path_factory.mktemp("gone"), "--model", f"slow={path}", environment=environment) as server:
        server.load("slow", num_batch=STEP)
        yield server


def body(api: str, stream: bool, tokens: list[int], answer: int) -> tuple[str, dict[str, Any]]:
    """A path and a body that ask for `answer` tokens after a prompt of about as many tokens as given."""
    if api == "openai":
        return "/v1/completions", completion(tokens, answer, model="slow", stream=stream, stream_options=None)
    options = {"num_predict": answer, "temperature": 0, "repeat_penalty": 1.0}
    content = "".join(chr(97 + token % 26) for token in tokens)
    message = {"role": "user", "content": content}
    return "/api/chat", {"model": "slow", "messages": [message], "stream": stream, "options": options}


def ids(start: int, count: int) -> list[int]:
    """Token ids of the slow model; different starts differ in the first token."""
    return [(start * 13 + i * 7 + i * i) % 250 for i in range(count)]


def counters(server: Server) -> dict[str, float]:
    return server.metrics()


def check_nothing_is_held(server: Server, before: dict[str, float], aborted: int) -> dict[str, float]:
    """Wait for the aborts; then no block, sequence, permit or request is left, and the sums are right."""
    server.wait_for("arriero_aborts_total", ">=", before["arriero_aborts_total"] + aborted)
    server.wait_for("arriero_requests_in_flight", "==", 0)
    server.wait_for("arriero_blocks_active", "==", 0)
    after = server.metrics()
    assert after["arriero_aborts_total"] == before["arriero_aborts_total"] + aborted
    assert after["arriero_abort_steps_most"] <= 1  # the step that ran when the abort came, and no other
    assert after["arriero_abort_steps_total"] <= before["arriero_abort_steps_total"] + aborted
    assert after["arriero_running"] == after["arriero_waiting"] == 0
    assert after["arriero_requests_admitted"] == after["arriero_requests_pending"] == 0
    ended = sum(after[f"arriero_{name}_total"] for name in ("finished", "failed", "aborts"))
    assert ended == after["arriero_added_total"]
    answered = after.get("arriero_requests_finished_total", 0) + after.get("arriero_requests_failed_total", 0)
    assert answered == after["arriero_requests_total"]
    assert after["arriero_internal_errors_total"] == 0
    return after


ROUND = iter(range(1, 200))


@pytest.mark.parametrize("api", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_gone_in_the_middle_of_its_prompt(slow_server: Server, api: str, stream: bool) -> None:
    before = counters(slow_server)
    request = RawRequest(slow_server, *body(api, stream, ids(next(ROUND), PROMPT), 50))
    request.send()
    slow_server.wait_for("arriero_prefilled_tokens_total", ">=", before["arriero_prefilled_tokens_total"] + 1)
    request.close()
    after = check_nothing_is_held(slow_server, before, 1)
    assert after["arriero_prefilled_tokens_total"] - before["arriero_prefilled_tokens_total"] < PROMPT
    assert after["arriero_decoded_tokens_total"] == before["arriero_decoded_tokens_total"]


@pytest.mark.parametrize("api", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_gone_in_the_middle_of_its_answer(slow_server: Server, api: str, stream: bool) -> None:
    before = counters(slow_server)
    request = RawRequest(slow_server, *body(api, stream, ids(next(ROUND), 20), 2000))
    request.send()
    slow_server.wait_for("arriero_decoded_tokens_total", ">=", before["arriero_decoded_tokens_total"] + 3)
    request.close()
    after = check_nothing_is_held(slow_server, before, 1)
    assert after["arriero_decoded_tokens_total"] - before["arriero_decoded_tokens_total"] < 2000


@pytest.mark.parametrize("api", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_gone_while_it_waits(slow_server: Server, api: str, stream: bool) -> None:
    before = counters(slow_server)
    running = [RawRequest(slow_server, *body("openai", True, ids(next(ROUND), 20), 2000)) for _ in range(2)]
    for request in running:
        request.send()
    slow_server.wait_for("arriero_running", "==", 2)
    waiting = RawRequest(slow_server, *body(api, stream, ids(next(ROUND), 30), 5))
    waiting.send()
    slow_server.wait_for("arriero_waiting", "==", 1)
    prefilled = slow_server.metrics()["arriero_prefilled_tokens_total"]
    waiting.close()
    slow_server.wait_for("arriero_waiting", "==", 0)
    assert slow_server.metrics()["arriero_running"] == 2
    for request in running:
        request.close()
    after = check_nothing_is_held(slow_server, before, 3)
    assert after["arriero_prefilled_tokens_total"] == prefilled  # it was never begun


@pytest.mark.parametrize("stream", [True, False])
def test_who_sends_no_more_has_left_and_is_told(slow_server: Server, stream: bool) -> None:
    """As with Ollama's Go: what computes is ended. Of a stream that has begun, there is no end."""
    before = counters(slow_server)
    request = RawRequest(slow_server, *body("ollama", stream, ids(next(ROUND), 20), 2000))
    request.send()
    slow_server.wait_for("arriero_decoded_tokens_total", ">=", before["arriero_decoded_tokens_total"] + 3)
    request.send_no_more()
    raw = request.read()
    if stream:
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert b'"done":true' not in raw
        assert not raw.endswith(b"0\r\n\r\n")
    else:
        reply = RawReply(raw)
        assert (reply.status, reply.body) == (499, CANCELED)
    check_nothing_is_held(slow_server, before, 1)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_who_sends_no_more_gets_what_is_not_computed(slow_server: Server, version: str) -> None:
    listed = f"GET /api/tags HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()
    shown = b'POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n{"model":"slow"}'
    for sent, answers in ((listed, 1), (shown, 1), (listed + shown, 2), (shown[:-1], 0)):
        if version == "1.0" and answers == 2:
            continue  # it has one request a connection
        with socket.create_connection(("127.0.0.1", slow_server.port), timeout=60) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            raw = b"".join(iter(lambda: connection.recv(65536), b""))
        assert raw.count(b"HTTP/1.1 200 OK") == answers
        assert raw.count(b'"parameter_size"') >= answers
        assert raw.endswith(b"}") or not answers


def test_one_of_two_goes_and_the_other_is_answered(slow_server: Server) -> None:
    before = counters(slow_server)
    stays = RawRequest(slow_server, *body("openai", False, ids(next(ROUND), 20), 40))
    goes = RawRequest(slow_server, *body("openai", True, ids(next(ROUND), 20), 2000))
    stays.send()
    goes.send()
    goes.wait_for(b"data: ")
    goes.close()
    reply = RawReply(stays.read())
    assert reply.status == 200
    assert reply.json["usage"]["completion_tokens"] == 40
    check_nothing_is_held(slow_server, before, 1)


def test_many_come_and_go_at_once(slow_server: Server) -> None:
    before = counters(slow_server)
    crowd = [
        RawRequest(slow_server, *body("openai", i % 2 == 0, ids(next(ROUND), 40 * i + 1), 2000)) for i in range(16)
    ]
    for request in crowd:
        request.send()
    slow_server.wait_for("arriero_added_total", ">=", before["arriero_added_total"] + 16)
    for request in crowd:
        request.close()
    after = check_nothing_is_held(slow_server, before, 16)
    assert after["arriero_decoded_tokens_total"] - before["arriero_decoded_tokens_total"] < 2 * 2000
    assert send_raw(slow_server, *body("openai", False, ids(next(ROUND), 10), 1)).status == 200


def test_the_leader_of_a_shared_prefix_goes_and_another_takes_over(slow_server: Server) -> None:
    """Its half of the prefix is not lost: all that is computed in the end is the prefix once and the own parts."""
    before = counters(slow_server)
    prefix = ids(next(ROUND), 1600)
    own = [[200 + index, 7, 9] for index in range(8)]
    bodies = [body("openai", False, prefix + part, 2) for part in own]
    leader = RawRequest(slow_server, *body("openai", True, prefix, 2))
    leader.send()
    slow_server.wait_for("arriero_prefilled_tokens_total", ">=", before["arriero_prefilled_tokens_total"] + 1)
    followers = [RawRequest(slow_server, *one) for one in bodies]
    for request in followers:
        request.send()
    slow_server.wait_for("arriero_waiting", "==", 8)
    leader.close()
    replies = [RawReply(request.read()) for request in followers]
    assert [reply.status for reply in replies] == [200] * 8
    after = check_nothing_is_held(slow_server, before, 1)
    prefilled = after["arriero_prefilled_tokens_total"] - before["arriero_prefilled_tokens_total"]
    assert prefilled <= len(prefix) + sum(len(part) + 16 for part in own) + 16
    usages = [reply.json["usage"] for reply in replies]
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
    assert after["arriero_cached_tokens_total"] - before["arriero_cached_tokens_total"] == cached


WAITING = [
    ("/api/chat", {"messages": [{"role": "user", "content": "a"}]}),
    ("/api/generate", {"prompt": "a", "stream": False}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
]


def logged(server: Server, mark: str) -> str:
    """The access log's line of the request with that id, waited for."""
    until = time.monotonic() + 30
    while True:
        for line in server.log.read_text().splitlines():
            if f"arriero.access {mark} " in line:
                return line
        assert time.monotonic() < until, f"no line for {mark}"
        time.sleep(0.02)


@pytest.mark.parametrize(("path", "fields"), WAITING, ids=[path for path, _ in WAITING])
def test_who_goes_while_it_waits_is_a_499_in_the_log(slow_server: Server, path: str, fields: dict[str, Any]) -> None:
    """Two are answered, so that the third waits in line; nobody can read its answer, the access log has it."""
    busy = [RawRequest(slow_server, *body("openai", True, ids(next(ROUND), 20), 5000)) for _ in range(2)]
    for request in busy:
        request.send()
    slow_server.wait_for("arriero_running", "==", 2)
    mark = f"gone-{next(ROUND)}"
    waiting = RawRequest(slow_server, path, {"model": "slow", **fields}, headers={"X-Request-Id": mark})
    waiting.send()
    slow_server.wait_for("arriero_requests_admitted", "==", 3)
    waiting.close()
    assert f" {mark} POST {path!r} 499 " in logged(slow_server, mark)
    for request in busy:
        request.close()
    slow_server.wait_for("arriero_requests_in_flight", "==", 0)


def test_who_goes_while_the_model_loads_is_a_499_in_the_log(slow_server: Server) -> None:
    """As Ollama counts its queue: of requests that wait for a load. The load goes on."""
    mark = f"gone-{next(ROUND)}"
    asked = {"model": "demo", "prompt": "x", "stream": False, "options": {"num_thread": 1, "num_predict": 1}}
    request = RawRequest(slow_server, "/api/generate", asked, headers={"X-Request-Id": mark})
    request.send()
    slow_server.wait_for("arriero_requests_in_flight", "==", 1)
    request.close()
    line = logged(slow_server, mark)
    assert f" {mark} POST '/api/generate' 499 {len(CANCELED)} bytes " in line
    assert send_raw(slow_server, "/api/generate", asked).status == 200
