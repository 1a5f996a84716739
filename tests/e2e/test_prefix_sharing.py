"""Sixteen requests with one prefix of 500 tokens: it is computed once, by counter, whoever comes first or goes away."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.asking import completion, token_ids
from tests.e2e.raw import RawRequest
from tests.e2e.serving import Server

BLOCK = 16
CLIENTS = 16
PREFIX = 500


def usage_of(reply: bytes) -> dict[str, Any]:
    """The usage in an SSE reply; the reply must be whole."""
    assert b"data: [DONE]" in reply, reply[-400:]
    pieces = [json.loads(line[6:]) for line in reply.split(b"\n") if line.startswith(b"data: {")]
    return next(dict(piece["usage"]) for piece in reversed(pieces) if piece.get("usage"))


def requests_with(prefix: list[int], round_number: int) -> list[tuple[list[int], dict[str, Any]]]:
    """The own part of each request, and its body: own parts of 1 to 46 tokens that begin differently."""
    found = []
    for index in range(CLIENTS):
        own = [900 + index, *token_ids(7 * round_number + index, 3 * index)]
        found.append((own, completion(prefix + own, 8)))
    return found


def test_ids_differ_in_their_first_token() -> None:
    assert len({token_ids(start, 1)[0] for start in range(40)}) == 40


@pytest.mark.parametrize("mode", ["server", "exact_server"])
def test_a_prefix_is_computed_once_for_sixteen(mode: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(mode)
    for round_number in range(5):
        prefix = token_ids(round_number + 1, PREFIX)
        asked = requests_with(prefix, round_number)
        before = server.metrics()
        connections = [RawRequest(server, "/v1/completions", body) for _, body in asked]
        for connection in connections:
            connection.send_all_but_the_last()
        for connection in connections:
            connection.send_the_last()
        sent = time.monotonic()
        replies = []
        for connection in connections:
            connection.wait_for_answer()
        replies = [connection.read() for connection in connections]
        after = server.wait_for("arriero_running", "==", 0)
        usages = [usage_of(reply) for reply in replies]
        if min(connection.first_byte for connection in connections) < sent:
            continue  # an answer began before the last request was sent: that proves less, so again with another prefix
        check_counts(before, after, asked, usages)
        return
    pytest.fail("in five rounds an answer always began before all requests were sent")


def test_a_prefix_outlives_its_worker(exact_server: Server) -> None:
    """Unloaded, it goes to the disk; loaded again, the model has it, and says the same to the bit."""
    prefix = token_ids(77, 300)
    body = completion([*prefix, 901], 8, temperature=0, logprobs=2)

    def asked() -> list[dict[str, Any]]:
        connection = RawRequest(exact_server, "/v1/completions", body)
        connection.send()
        reply = connection.read()
        assert b"data: [DONE]" in reply
        return [json.loads(line[6:]) for line in reply.split(b"\n") if line.startswith(b"data: {")]

    def said(pieces: list[dict[str, Any]]) -> list[Any]:
        return [piece["choices"] for piece in pieces if piece.get("choices")]

    first = asked()
    before = exact_server.metrics().get("arriero_spill_restores_total", 0)
    exact_server.post("/api/generate", {"model": "demo", "keep_alive": 0})
    exact_server.load()
    again = asked()
    assert said(again) == said(first)
    assert (
        next(piece["usage"] for piece in again if piece.get("usage"))["prompt_tokens_details"]["cached_tokens"] == 288
    )
    metrics = exact_server.wait_for("arriero_running", "==", 0)
    assert metrics["arriero_spill_restores_total"] == before + 1
    assert metrics["arriero_failed_spill_restores_total"] == 0


def check_counts(
    before: dict[str, float],
    after: dict[str, float],
    asked: list[tuple[list[int], dict[str, Any]]],
    usages: list[dict[str, Any]],
) -> None:
    def grown(name: str) -> float:
        return after[f"arriero_{name}_total"] - before.get(f"arriero_{name}_total", 0)

    decoded = sum(usage["completion_tokens"] - 1 for usage in usages)  # the last token drawn is never computed
    decoded += int(grown("drafted_tokens") - grown("accepted_tokens"))  # guessed in vain
    bound = PREFIX + sum(len(own) + BLOCK for own, _ in asked)
    assert grown("runner_decoded_tokens") <= bound + decoded
    assert grown("prefilled_tokens") <= bound
    assert grown("runner_decoded_tokens") == grown("prefilled_tokens") + decoded
    prompts = sum(len(body["prompt"]) for _, body in asked)
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
    assert [usage["prompt_tokens"] for usage in usages] == [len(body["prompt"]) for _, body in asked]
    assert grown("prompt_tokens") == prompts
    assert grown("cached_tokens") == cached
    assert prompts - cached == grown("prefilled_tokens")
