"""Streams say what whole answers say: no broken character, no half of a stop string, the same tokens either way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.asking import ask_all
from tests.e2e.raw import send_raw
from tests.e2e.serving import Server

HOT = {"temperature": 2.0, "top_k": 0, "top_p": 1.0}  # random tokens, invalid UTF-8 and control characters included
SEEDS = range(12)


def chat(seed: int, stream: bool, **options: Any) -> dict[str, Any]:
    """A body for /api/chat whose answer is noise that the seed decides."""
    messages = [{"role": "user", "content": "Tell me a story."}]
    given = {**HOT, "num_predict": 48, "seed": seed, **options}
    return {"model": "demo", "messages": messages, "stream": stream, "options": given}


@pytest.fixture(scope="module")
def whole(server: Server) -> list[str]:
    answers = asyncio.run(ask_all(server, "/api/chat", [chat(seed, False) for seed in SEEDS]))
    texts = [answer.text for answer in answers]
    assert len(set(texts)) == len(SEEDS)
    return texts


def test_streamed_noise_is_whole_noise(server: Server, whole: list[str]) -> None:
    streamed = asyncio.run(ask_all(server, "/api/chat", [chat(seed, True) for seed in SEEDS]))
    assert [answer.text for answer in streamed] == whole
    for answer in streamed:
        assert all(piece["message"]["content"] for piece in answer.pieces[:-1])
        assert answer.last["eval_count"] <= 48


def test_both_apis_say_the_same(server: Server, whole: list[str]) -> None:
    """The same template, the same options: the same text."""
    bodies = []
    for seed in SEEDS:
        fields = chat(seed, False)
        options = fields.pop("options")
        plain = {"temperature": 2.0, "top_p": 1.0, "top_k": 0, "seed": seed, "max_tokens": options["num_predict"]}
        bodies.append({**fields, **plain})
    answers = asyncio.run(ask_all(server, "/v1/chat/completions", bodies))
    assert [answer.text for answer in answers] == whole


def test_a_stop_string_is_cut_wherever_tokens_end(server: Server, whole: list[str]) -> None:
    """Pieces of every answer as stop strings, from one character to many tokens; no piece of one is ever shown."""
    bodies, expected = [], []
    for seed, text in zip(SEEDS, whole, strict=True):
        for start, length in ((3, 1), (len(text) // 3, 7), (len(text) // 2, 15)):
            stop = text[start : start + length]
            if not stop or "\ufffd" in stop:
                continue
            for stream in (True, False):
                bodies.append(chat(seed, stream, stop=["no such words", stop]))
                expected.append(text[: text.index(stop)])
    assert len(bodies) > 24
    answers = asyncio.run(ask_all(server, "/api/chat", bodies))
    assert [answer.text for answer in answers] == expected
    assert {answer.reason for answer in answers} == {"stop"}


def test_half_a_stop_string_at_the_end_is_shown(server: Server, whole: list[str]) -> None:
    text = whole[0]
    (answer,) = asyncio.run(ask_all(server, "/api/chat", [chat(0, True, stop=[text[-4:] + "never"])]))
    assert answer.text == text


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_second_turn_reuses_the_first(server: Server, path: str) -> None:
    """Prompt and answer of a finished request are the next one's prefix, and come from the cache."""
    turns = [{"role": "user", "content": "Repeat: " + " ".join(f"word{i}" for i in range(40)) + path}]
    body = {"model": "demo", "messages": turns, "stream": False, "temperature": 0, "options": {"temperature": 0}}
    body |= {"max_tokens": 32, "options": {"temperature": 0, "num_predict": 32}}  # demo may go on for ever
    if path == "/api/chat":
        body.pop("temperature")
        body.pop("max_tokens")
    else:
        body.pop("options")
    first = send_raw(server, path, body).json
    before = server.metrics()["arriero_cached_tokens_total"]
    message = first["message"] if path == "/api/chat" else first["choices"][0]["message"]
    follow = {"role": "user", "content": "And again."}
    second = send_raw(server, path, {**body, "messages": [*turns, message, follow]}).json
    cached = server.metrics()["arriero_cached_tokens_total"] - before
    known = first["prompt_eval_count"] if path == "/api/chat" else first["usage"]["prompt_tokens"]
    assert cached >= known - 16
    if path != "/api/chat":
        assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == cached
