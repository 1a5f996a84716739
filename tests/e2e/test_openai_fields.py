"""Every field of OpenAI's chat and completions that changes the answer, with the official client on a real server."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.e2e.official import openai_client
from tests.e2e.serving import Server

PREFILLED = "arriero_prefilled_tokens_total"
STORY: list[Any] = [{"role": "user", "content": "Tell me a story."}]


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai_client(server)


def chat(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(model="demo", **{"messages": STORY, "temperature": 0, **fields})


def complete(client: openai.OpenAI, **fields: Any) -> Any:
    return client.completions.create(model="demo", **{"prompt": "one two", "temperature": 0, "max_tokens": 6, **fields})


def test_n_answers_of_one_prompt(client: openai.OpenAI, server: Server) -> None:
    hot = {"temperature": 2.0, "seed": 11, "max_tokens": 24}
    alone = chat(client, **hot)
    before = server.metrics()
    reply = chat(client, n=4, **hot)
    after = server.metrics()
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    texts = [choice.message.content for choice in reply.choices]
    assert len(set(texts)) == 4
    assert texts[0] == alone.choices[0].message.content  # asking for more does not change the first
    assert texts == [choice.message.content for choice in chat(client, n=4, **hot).choices]
    assert reply.usage.prompt_tokens == alone.usage.prompt_tokens
    # One prefill: the last token of the prompt is computed for each answer, what stands before it at most once.
    assert after[PREFILLED] - before[PREFILLED] <= reply.usage.prompt_tokens + 3


def test_n_answers_where_only_aligned_chunks_are_shared(exact_server: Server) -> None:
    """Each computes what is left of the prompt behind the last whole chunk."""
    with openai_client(exact_server) as client:
        hot: dict[str, Any] = {"temperature": 2.0, "seed": 11, "max_tokens": 24}
        hot["messages"] = [{"role": "user", "content": "Tell me a story about a fox, a hen and three eggs."}]
        before = exact_server.metrics()
        reply = chat(client, n=4, **hot)
        after = exact_server.metrics()
        assert reply.usage.prompt_tokens > 16
        assert after[PREFILLED] - before[PREFILLED] <= reply.usage.prompt_tokens + 3 * 16
        assert reply.choices[0].message.content == chat(client, **hot).choices[0].message.content


def test_n_answers_streamed(client: openai.OpenAI) -> None:
    hot = {"temperature": 2.0, "seed": 12, "max_tokens": 16, "n": 3}
    whole = chat(client, **hot)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}, **hot))
    texts = dict.fromkeys(range(3), "")
    reasons: dict[int, str | None] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    assert list(texts.values()) == [choice.message.content for choice in whole.choices]
    assert list(reasons.values()) == [choice.finish_reason for choice in whole.choices]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_a_client_that_goes_away_ends_all_its_answers(client: openai.OpenAI, server: Server) -> None:
    ended = server.metrics()["arriero_aborts_total"]
    with chat(client, n=4, stream=True, extra_body={"ignore_eos": True}) as stream:
        seen = {choice.index for _, chunk in zip(range(12), stream, strict=False) for choice in chunk.choices}
        assert seen == {0, 1, 2, 3}
    server.wait_for("arriero_aborts_total", "==", ended + 4)
    server.wait_for("arriero_running", "==", 0)


def test_a_failure_of_one_is_everybodys(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt=[[40], [41] * 5000])
    assert caught.value.code == "context_length_exceeded"


def test_the_best_of_several(client: openai.OpenAI) -> None:
    hot = {"temperature": 2.0, "seed": 13, "max_tokens": 12, "prompt": "Once upon a time"}
    drawn = complete(client, n=5, logprobs=0, **hot)
    means = {}
    for choice in drawn.choices:
        logprobs = choice.logprobs.token_logprobs
        means[choice.text] = sum(logprobs) / len(logprobs)
    best = complete(client, n=2, best_of=5, **hot)
    assert [choice.text for choice in best.choices] == sorted(means, key=means.__getitem__, reverse=True)[:2]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.choices[0].logprobs is None
    assert best.usage.completion_tokens == drawn.usage.completion_tokens


def test_beam_search(client: openai.OpenAI, server: Server) -> None:
    asked: dict[str, Any] = {"prompt": "Once upon a time there was a small duck", "max_tokens": 10}
    search = {"use_beam_search": True, "length_penalty": 0.8}
    greedy = complete(client, logprobs=0, **asked).choices[0]
    before = server.metrics()
    found = complete(client, n=3, logprobs=2, extra_body=search, **asked)
    computed = server.metrics()[PREFILLED] - before[PREFILLED]
    assert [choice.index for choice in found.choices] == [0, 1, 2]
    assert len({choice.text for choice in found.choices}) == 3
    scores = [sum(choice.logprobs.token_logprobs) for choice in found.choices]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] >= sum(greedy.logprobs.token_logprobs) - 1e-3
    assert all(2 <= len(top) <= 3 for top in found.choices[0].logprobs.top_logprobs)  # the token itself may be no top
    assert computed < (1 + 3 * 9) * 16 + found.usage.prompt_tokens  # of a fork no more than a block
    again = complete(client, best_of=3, extra_body=search, **asked)
    assert [choice.text for choice in again.choices] == [found.choices[0].text]
    assert again.choices[0].logprobs is None
    told = chat(client, n=2, max_tokens=8, extra_body={"use_beam_search": True})
    assert len({choice.message.content for choice in told.choices}) == 2
    with pytest.raises(openai.BadRequestError, match="'stream': only False goes with 'use_beam_search'"):
        chat(client, stream=True, n=2, extra_body=search)
    server.wait_for("arriero_running", "==", 0)


def test_several_prompts(client: openai.OpenAI) -> None:
    prompts: list[Any] = ["one two", "red green blue"]
    alone = [complete(client, prompt=prompt) for prompt in prompts]
    reply = complete(client, prompt=prompts)
    assert [choice.text for choice in reply.choices] == [one.choices[0].text for one in alone]
    assert reply.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    assert len(complete(client, prompt=[[40, 41], [42]], n=2).choices) == 4


def test_echo(client: openai.OpenAI) -> None:
    plain = complete(client)
    assert complete(client, echo=True).choices[0].text == "one two" + plain.choices[0].text
    nothing = complete(client, echo=True, max_tokens=0)
    assert (nothing.choices[0].text, nothing.usage.completion_tokens) == ("one two", 0)
    streamed = [chunk.choices[0].text for chunk in complete(client, echo=True, stream=True)]
    assert "".join(streamed) == "one two" + plain.choices[0].text


def test_an_echoed_prompt_with_log_probabilities(client: openai.OpenAI, server: Server) -> None:
    """As lm-evaluation-harness scores texts: what was drawn with its log probabilities has the same as a prompt."""
    drawn = complete(client, prompt="Once upon a time", max_tokens=80, logprobs=1, extra_body={"ignore_eos": True})
    begun, whole = (
        json.loads(server.post("/tokenize", {"model": "demo", "prompt": text}))["tokens"]
        for text in ("Once upon a time", "Once upon a time" + drawn.choices[0].text)
    )
    ids, first = whole, len(begun)
    for fields in ({"max_tokens": 0}, {"max_tokens": 1}, {"max_tokens": 1, "stream": True}):
        reply = complete(client, prompt=[ids], echo=True, logprobs=1, **fields)
        told = [reply.choices[0].logprobs] if "stream" not in fields else [part.choices[0].logprobs for part in reply]
        parts = [one for one in told if one is not None]
        logprobs = [value for part in parts for value in part.token_logprobs]
        texts = [text for part in parts for text in part.tokens]
        tops = [top for part in parts for top in part.top_logprobs]
        assert len(logprobs) == len(ids) + fields["max_tokens"]
        assert logprobs[0] is tops[0] is None
        if texts[first : len(ids)] == drawn.choices[0].logprobs.tokens:  # the text is cut into the same tokens
            assert logprobs[first : len(ids)] == pytest.approx(drawn.choices[0].logprobs.token_logprobs, abs=0.05)
            greedy = [text == max(top, key=top.get) for text, top in zip(texts[first:], tops[first:], strict=True)]
            assert sum(greedy) >= len(greedy) - 2  # equals may change places
    usage = complete(client, prompt=[ids, ids[:40]], echo=True, logprobs=1, max_tokens=0).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(ids) + 40, 0)
    assert usage.prompt_tokens_details.cached_tokens == 0
    parts = complete(client, prompt=[ids[:1], ids[:40]], echo=True, logprobs=0, max_tokens=0).choices
    assert parts[0].logprobs.token_logprobs == [None]
    assert parts[1].logprobs.token_logprobs == pytest.approx([None, *logprobs[1:40]], abs=0.05)


def test_a_bias_forbids_and_forces(client: openai.OpenAI) -> None:
    free = complete(client, max_tokens=1, logprobs=2)
    likeliest, second = free.choices[0].logprobs.top_logprobs[0]
    ids = {entry: token_id(client, entry) for entry in (likeliest, second)}
    without = complete(client, max_tokens=1, logit_bias={str(ids[likeliest]): -100})
    assert without.choices[0].text == second
    forced = complete(client, max_tokens=3, logit_bias={str(ids[second]): 100})
    assert forced.choices[0].text == second * 3


def token_id(client: openai.OpenAI, text: str) -> int:
    """The id of the token that reads `text`: the prompt of that token alone echoes it."""
    for token in range(0, 4096, 64):
        ids = [[one] for one in range(token, token + 64)]
        for choice in complete(client, prompt=ids, echo=True, max_tokens=0).choices:
            if choice.text == text:
                return token + int(choice.index)
    raise AssertionError(f"no token reads {text!r}")


def test_penalties_and_filters(client: openai.OpenAI) -> None:
    """Each alone changes or narrows what is drawn from one seed."""
    words: dict[str, Any] = {
        "prompt": "one two one two one two one",
        "max_tokens": 24,
        "extra_body": {"ignore_eos": True},
    }
    greedy = complete(client, **words).choices[0].text
    hot = {**words, "temperature": 5.0, "seed": 4}
    wild = complete(client, **hot).choices[0].text
    assert wild != greedy
    for fields in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        assert complete(client, **words, **fields).choices[0].text != greedy
    for name in ("repeat_penalty", "repetition_penalty"):
        body = {**words["extra_body"], name: 2.0}
        assert complete(client, **{**words, "extra_body": body}).choices[0].text != greedy
    for name, value in (("top_k", 1), ("min_p", 1.0), ("typical_p", 0.0001)):
        body = {**words["extra_body"], name: value}
        narrowed = complete(client, **{**hot, "extra_body": body}).choices[0].text
        assert narrowed != wild
        assert narrowed == greedy or name == "typical_p"  # which keeps the most typical, not the likeliest
    assert complete(client, **hot, top_p=0.0).choices[0].text == greedy


def test_log_probabilities_in_lists(client: openai.OpenAI) -> None:
    reply = complete(client, logprobs=2)
    logprobs = reply.choices[0].logprobs
    assert "".join(logprobs.tokens) == reply.choices[0].text
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs)
    assert logprobs.text_offset[:2] == [0, len(logprobs.tokens[0])]
    streamed = [chunk.choices[0].logprobs for chunk in complete(client, logprobs=2, stream=True)]
    assert [token for one in streamed if one for token in one.tokens] == logprobs.tokens


def test_stop_strings_of_a_completion(client: openai.OpenAI) -> None:
    text = complete(client, max_tokens=12, extra_body={"ignore_eos": True}).choices[0].text
    stop = text[2:4]
    chunks = list(
        complete(client, max_tokens=12, stop=[stop, "~~~"], stream=True, stream_options={"include_usage": True})
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == text[: text.index(stop)]
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_a_suffix_needs_a_template_for_it(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, suffix="end")
    assert caught.value.param == "suffix"


def test_a_token_that_stops(client: openai.OpenAI) -> None:
    free = complete(client, logprobs=0, extra_body={"ignore_eos": True})
    third = free.choices[0].logprobs.tokens[2]
    stops = [token_id(client, third)]
    stopped = complete(client, logprobs=0, extra_body={"ignore_eos": True, "stop_token_ids": stops})
    tokens = free.choices[0].logprobs.tokens
    assert stopped.choices[0].text == "".join(tokens[: tokens.index(third)])
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["logit_bias", "stop_token_ids"])
def test_tokens_that_do_not_exist_are_refused(client: openai.OpenAI, field: str) -> None:
    value: Any = {"999999": 1} if field == "logit_bias" else [999999]
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, extra_body={field: value})
    assert caught.value.param == field


def test_min_tokens_and_ignore_eos(client: openai.OpenAI) -> None:
    hello = [{"role": "user", "content": "Hello!"}]
    plain = chat(client, messages=hello)
    assert plain.choices[0].finish_reason == "stop"
    more = plain.usage.completion_tokens + 5
    assert chat(client, messages=hello, extra_body={"min_tokens": more}).usage.completion_tokens > more
    endless = chat(client, messages=hello, max_tokens=more + 3, extra_body={"ignore_eos": True})
    assert (endless.usage.completion_tokens, endless.choices[0].finish_reason) == (more + 3, "length")


def test_without_the_prompt_cache(client: openai.OpenAI) -> None:
    words = {"prompt": " ".join(["one two three"] * 20)}
    complete(client, **words)
    assert complete(client, **words).usage.prompt_tokens_details.cached_tokens > 0
    cold = complete(client, extra_body={"cache_prompt": False}, **words)
    assert cold.usage.prompt_tokens_details.cached_tokens == 0


def test_the_fingerprint_and_the_tier(client: openai.OpenAI) -> None:
    first, second = chat(client, max_tokens=1), complete(client)
    assert first.system_fingerprint == second.system_fingerprint
    assert first.system_fingerprint.startswith("fp_")
    assert first.service_tier is None
    assert chat(client, max_tokens=1, service_tier="flex").service_tier == "flex"


def test_fields_that_change_nothing(client: openai.OpenAI) -> None:
    plain = chat(client, max_tokens=8)
    harmless = chat(
        client,
        max_tokens=8,
        user="u",
        metadata={"k": "v"},
        store=False,
        safety_identifier="s",
        prompt_cache_key="k",
        prediction={"type": "content", "content": "Once"},
        modalities=["text"],
    )
    assert harmless.choices[0].message.content == plain.choices[0].message.content


def test_variables_of_the_template(client: openai.OpenAI) -> None:
    plain = chat(client, max_tokens=1)
    told = chat(client, max_tokens=1, extra_body={"chat_template_kwargs": {"unused": True}})
    assert told.usage.prompt_tokens == plain.usage.prompt_tokens
    bare = chat(client, max_tokens=1, extra_body={"chat_template_kwargs": {"add_generation_prompt": False}})
    assert bare.usage.prompt_tokens < plain.usage.prompt_tokens


def test_arguments_that_are_no_json_come_back(client: openai.OpenAI) -> None:
    """A model may have written anything: the text stands in the prompt, and nothing fails."""
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    counts = []
    for arguments in ("{}", '{"city": "Par', "a text of a good many words that is no object at all"):
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}}
        turns: list[Any] = [*STORY, {"role": "assistant", "content": None, "tool_calls": [call]}]
        turns.append({"role": "tool", "tool_call_id": "c", "content": "nothing"})
        counts.append(chat(client, messages=turns, tools=[tool], max_tokens=2).usage.prompt_tokens)
        items: Any = [{"role": "user", "content": "Look."}]
        items.append({"type": "function_call", "call_id": "c", "name": "look", "arguments": arguments})
        items.append({"type": "function_call_output", "call_id": "c", "output": "nothing"})
        flat: Any = {"type": "function", "name": "look", "parameters": tool["function"]["parameters"], "strict": False}
        reply: Any = client.responses.create(model="demo", input=items, tools=[flat], max_output_tokens=16, store=False)
        assert reply.usage.input_tokens > 0
    assert counts[0] < counts[1] < counts[2]
