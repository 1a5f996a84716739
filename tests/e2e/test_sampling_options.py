"""Ollama's options through the port: for each a test that fails when the option is ignored.

What an option does exactly is tested against libllama's own samplers; here it must only arrive and matter.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server

STORY = "Tell me a story."
COUNT = "Count to 100"  # an answer that repeats a few tokens many times
HOT: dict[str, Any] = {"temperature": 2, "top_k": 0, "top_p": 1}
SEEDS = (1, 2, 3)


def generate(server: Server, prompt: str, **options: Any) -> RawReply:
    """An answer of at most 40 tokens, greedy unless `options` say otherwise."""
    given = {"temperature": 0, "num_predict": 40, **options}
    reply = send_raw(server, "/api/generate", {"model": "demo", "prompt": prompt, "stream": False, "options": given})
    assert reply.status == 200, reply.body
    assert "x-arriero-ignored" not in reply.headers
    return reply


def text(server: Server, prompt: str = STORY, **options: Any) -> str:
    return str(generate(server, prompt, **options).json["response"])


def tokens(server: Server, prompt: str = COUNT, **options: Any) -> list[int]:
    """The answer's tokens."""
    reply = generate(server, prompt, **options).json
    return list(reply["context"][reply["prompt_eval_count"] :])


@pytest.fixture(scope="module")
def greedy(server: Server) -> str:
    return text(server)


def test_temperature(server: Server, greedy: str) -> None:
    assert [text(server, seed=seed) for seed in SEEDS] == [greedy] * 3
    hot = [text(server, **HOT, seed=seed) for seed in SEEDS]
    assert len({greedy, *hot}) == 4
    # Next to nothing is as good as nothing: the best token is far ahead of the second by then.
    assert text(server, **{**HOT, "temperature": 1e-4}) == greedy


def test_seed(server: Server) -> None:
    assert text(server, **HOT, seed=11) == text(server, **HOT, seed=11)
    assert text(server, **HOT, seed=11) != text(server, **HOT, seed=12)
    unset = [text(server, **HOT), text(server, **HOT, seed=-1), text(server, **HOT)]
    assert len(set(unset)) == 3


@pytest.mark.parametrize("option", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1}])
def test_what_leaves_one_candidate_is_greedy(server: Server, greedy: str, option: dict[str, Any]) -> None:
    assert [text(server, **{**HOT, **option, "seed": seed}) for seed in SEEDS] == [greedy] * 3


def test_top_k_and_top_p_have_their_defaults(server: Server) -> None:
    """Ollama's 40 and 0.9, and not "off": the same draw over everything is another one."""
    for seed in SEEDS:
        by_default = text(server, temperature=2, seed=seed)
        assert by_default == text(server, temperature=2, seed=seed, top_k=40, top_p=0.9)
    assert any(text(server, temperature=2, seed=seed) != text(server, **HOT, seed=seed) for seed in SEEDS)


def test_typical_p(server: Server) -> None:
    """One candidate is left, the most typical one, which need not be the best: whatever the seed, the same."""
    assert len({text(server, **HOT, typical_p=1e-6, seed=seed) for seed in SEEDS}) == 1


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_a_penalty_beyond_all_logits_forbids_repeating(server: Server, name: str) -> None:
    options: dict[str, Any] = {name: 1000, "repeat_last_n": -1}
    plain, punished = tokens(server), tokens(server, **options)
    assert len(set(plain)) < len(plain)
    assert len(punished) > 5
    assert len(set(punished)) == len(punished)


def test_a_presence_is_punished_once_and_a_frequency_each_time(server: Server) -> None:
    options: dict[str, Any] = {"repeat_last_n": -1, "num_predict": 60}
    assert tokens(server, presence_penalty=2, **options) != tokens(server, frequency_penalty=2, **options)


def test_a_negative_penalty_rewards_repeating(server: Server) -> None:
    rewarded = tokens(server, STORY, presence_penalty=-1000, repeat_last_n=-1)
    assert rewarded
    reply = generate(server, STORY).json
    assert set(rewarded) <= set(reply["context"][: reply["prompt_eval_count"]])


def test_repeat_penalty(server: Server) -> None:
    plain, punished = tokens(server), tokens(server, repeat_penalty=3.0)
    assert punished != plain
    assert len(set(punished)) / len(punished) > len(set(plain)) / len(plain)
    assert tokens(server, repeat_penalty=1.0) == plain


NUMBERS = "Repeat: one two three four five six seven eight nine ten eleven twelve"


def test_repeat_last_n(server: Server) -> None:
    penalty: dict[str, Any] = {"presence_penalty": 1000, "num_predict": 40}
    plain = tokens(server)
    assert tokens(server, **penalty, repeat_last_n=0) == plain
    for window in (2, 6):
        answers = [tokens(server, prompt, **penalty, repeat_last_n=window) for prompt in (COUNT, STORY, NUMBERS)]
        assert max(map(len, answers)) > window + 2  # an answer so constrained may end early, not all of them
        for found in answers:
            assert all(found[end] not in found[max(0, end - window) : end] for end in range(len(found)))
    everything = tokens(server, **penalty, repeat_last_n=-1)
    assert len(set(everything)) == len(everything)
    assert everything != tokens(server, **penalty, repeat_last_n=2)


def test_repeat_last_n_is_64_unless_told_otherwise(server: Server) -> None:
    options: dict[str, Any] = {"presence_penalty": 1000, "num_predict": 100}
    assert tokens(server, **options) == tokens(server, **options, repeat_last_n=64)


def test_stop(server: Server, greedy: str) -> None:
    for start in (2, 9, 17):
        stop = greedy[start : start + 4]
        reply = generate(server, STORY, stop=["never in there", stop]).json
        assert reply["response"] == greedy[: greedy.index(stop)]
        assert reply["done_reason"] == "stop"


def test_num_predict(server: Server) -> None:
    for wanted in (1, 7):
        reply = generate(server, STORY, num_predict=wanted).json
        assert (reply["eval_count"], reply["done_reason"]) == (wanted, "length")
    assert generate(server, COUNT, num_predict=-1).json["eval_count"] > 40


def test_num_keep_is_accepted(server: Server, greedy: str) -> None:
    """It says what to keep when a context is shifted; nothing is ever shifted here, so that nothing changes."""
    assert text(server, num_keep=8) == greedy


def test_an_unknown_option_is_named(server: Server, greedy: str) -> None:
    options = {"temperature": 0, "num_predict": 40, "mirostat": 2, "no_such": 1}
    reply = send_raw(server, "/api/generate", {"model": "demo", "prompt": STORY, "stream": False, "options": options})
    assert reply.json["response"] == greedy
    assert {name.strip() for name in reply.headers["x-arriero-ignored"].split(",")} == {"mirostat", "no_such"}


def complete(server: Server, **fields: Any) -> dict[str, Any]:
    body = {"model": "demo", "temperature": 0, "max_tokens": 60, **fields}
    reply = send_raw(server, "/v1/completions", body)
    assert reply.status == 200, reply.body
    return dict(reply.json)


@pytest.fixture(scope="module")
def soon_over(server: Server) -> list[int]:
    """A prompt whose answer ends by itself within 60 tokens."""
    reply = send_raw(server, "/api/generate", {"model": "demo", "prompt": "Hello!", "stream": False}).json
    prompt = list(reply["context"][: reply["prompt_eval_count"]])
    assert complete(server, prompt=prompt)["choices"][0]["finish_reason"] == "stop"
    return prompt


def test_ignore_eos(server: Server, soon_over: list[int]) -> None:
    reply = complete(server, prompt=soon_over, ignore_eos=True)
    assert reply["usage"]["completion_tokens"] == 60
    assert reply["choices"][0]["finish_reason"] == "length"


def test_min_tokens(server: Server, soon_over: list[int]) -> None:
    plain = complete(server, prompt=soon_over)
    least = plain["usage"]["completion_tokens"] + 5
    longer = complete(server, prompt=soon_over, min_tokens=least)
    assert least <= longer["usage"]["completion_tokens"] <= 60
    assert longer["choices"][0]["text"].startswith(plain["choices"][0]["text"])
