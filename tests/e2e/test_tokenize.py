"""vLLM's /tokenize and /detokenize against a real server: the ids are those that a generation then uses."""

from __future__ import annotations

import json
import urllib.error
from typing import Any

import pytest

from tests.e2e.serving import Server

MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is 2 + 3?"}]


def post(server: Server, path: str, **body: Any) -> Any:
    return json.loads(server.post(path, {"model": "demo", **body}))


def test_a_prompt_there_and_back(server: Server) -> None:
    found = post(server, "/tokenize", prompt="Hé, one two!", add_special_tokens=False)
    assert found["count"] == len(found["tokens"]) > 3
    assert found["max_model_len"] == 2048
    assert post(server, "/detokenize", tokens=found["tokens"]) == {"prompt": "Hé, one two!"}
    marked = post(server, "/tokenize", prompt="<|im_start|>user", add_special_tokens=False)
    assert post(server, "/detokenize", tokens=marked["tokens"]) == {"prompt": "<|im_start|>user"}
    completion = {"max_tokens": 1, "prompt": "Hé, one two!"}
    with_special = post(server, "/tokenize", prompt="Hé, one two!")
    assert with_special["count"] == post(server, "/v1/completions", **completion)["usage"]["prompt_tokens"]


def test_messages_count_as_in_a_chat(server: Server) -> None:
    found = post(server, "/tokenize", messages=MESSAGES)
    usage = post(server, "/v1/chat/completions", messages=MESSAGES, max_tokens=1)["usage"]
    assert found["count"] == usage["prompt_tokens"]
    text = post(server, "/detokenize", tokens=found["tokens"])["prompt"]
    assert "Be kind." in text


def test_a_begun_answer_is_the_end_of_the_prompt(server: Server) -> None:
    begun = [*MESSAGES, {"role": "assistant", "content": "2 + 3 is"}]
    whole = post(server, "/tokenize", messages=MESSAGES)["tokens"]
    continued = post(server, "/tokenize", messages=begun, continue_final_message=True)["tokens"]
    assert continued[: len(whole)] == whole
    assert post(server, "/detokenize", tokens=continued)["prompt"].endswith("2 + 3 is")


def test_longer_than_the_context_is_counted_too(server: Server) -> None:
    assert post(server, "/tokenize", prompt="hot " * 3000)["count"] > 2048


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/tokenize", {"prompt": 3}, 400, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": MESSAGES}, 400, "prompt"),
        ("/tokenize", {"prompt": "x", "return_token_strs": True}, 400, "return_token_strs"),
        ("/tokenize", {"prompt": "x", "promt": "y"}, 400, "promt"),
        ("/tokenize", {"prompt": "x", "model": "no-such-model"}, 404, "no-such-model"),
        ("/detokenize", {"tokens": ["x"]}, 400, "tokens"),
        ("/detokenize", {"tokens": [10**6]}, 400, "vocabulary"),
    ],
)
def test_refusals(server: Server, path: str, body: dict[str, Any], status: int, word: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(server, path, **body)
    assert caught.value.code == status
    assert word in json.loads(caught.value.read())["error"]["message"]
