from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import ArrieroError, InvalidRequest
from arriero.core.model import ModelSpec
from arriero.core.request import Beams
from arriero.protocols.call import Call
from arriero.protocols.openai.request import decode_chat, decode_completion
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}


def tool_of(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def chat(**fields: Any) -> Call:
    return decode_chat(msgspec.json.encode({"model": "demo", "messages": [USER]} | fields), find)


def complete(**fields: Any) -> Call:
    return decode_completion(msgspec.json.encode({"model": "demo", "prompt": "x"} | fields), find)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"n": 0}, "invalid_request", "n"),
        ({"n": 129}, "invalid_request", "n"),
        ({"n": True}, "invalid_request", "n"),
        ({"logit_bias": {"x": 1}}, "invalid_request", "logit_bias"),
        ({"logit_bias": {"-5": 1}}, "invalid_request", "logit_bias"),
        ({"logit_bias": {"5": 101}}, "invalid_request", "logit_bias.5"),
        ({"logit_bias": [5]}, "invalid_request", "logit_bias"),
        ({"stop_token_ids": [-1]}, "invalid_request", "stop_token_ids"),
        ({"chat_template_kwargs": {"messages": []}}, "invalid_request", "chat_template_kwargs.messages"),
        ({"response_format": {"type": "xml"}}, "unsupported", "response_format"),
        ({"tool_choice": "required"}, "invalid_request", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "invalid_request", "tool_choice"),
        ({"service_tier": "golden"}, "invalid_request", "service_tier"),
        ({"audio": {"voice": "x"}}, "unsupported", "audio"),
        ({"moderation": {"model": "x"}}, "unsupported", "moderation"),
        ({"verbosity": "low"}, "unsupported", "verbosity"),
        ({"web_search_options": {}}, "unsupported", "web_search_options"),
        ({"function_call": {"name": "f"}}, "unsupported", "function_call"),
        ({"modalities": ["text", "audio"]}, "unsupported", "modalities"),
        ({"functions": [{}]}, "unsupported", "functions"),
        ({"model": "plain", "tools": [TOOL]}, "unsupported", "tools"),
        ({"model": "plain", "reasoning_effort": "low"}, "unsupported", "reasoning_effort"),
        ({"reasoning_effort": "much"}, "invalid_request", "reasoning_effort"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "unsupported", "tools[0]"),
        ({"tools": [tool_of({"type": "string"})]}, "invalid_request", "tools[0].function.parameters"),
        ({"tools": [tool_of({"type": ["null", "array"]})]}, "invalid_request", "tools[0].function.parameters"),
        ({"use_beam_search": True, "stream": True}, "unsupported", "stream"),
        ({"use_beam_search": True, "temperature": 0.5}, "unsupported", "temperature"),
        ({"use_beam_search": True, "options": {"top_k": 5}}, "unsupported", "top_k"),
        ({"use_beam_search": True, "stop": ["x"]}, "unsupported", "stop"),
        ({"use_beam_search": True, "tools": [TOOL]}, "unsupported", "tools"),
        ({"use_beam_search": True, "length_penalty": 11}, "invalid_request", "length_penalty"),
        ({"length_penalty": 2}, "invalid_request", "length_penalty"),
        ({"model": ""}, "invalid_request", "model"),
        ({"messages": []}, "invalid_request", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_request", "messages[0].role"),
        ({"messages": [USER, {"role": "user", "content": 3}]}, "invalid_request", "messages[1].content"),
        ({"top_logprobs": 21, "logprobs": True}, "invalid_request", "top_logprobs"),
        ({"top_logprobs": 2}, "invalid_request", "top_logprobs"),
        ({"temperature": -1}, "invalid_request", "temperature"),
        ({"temperature": "warm"}, "invalid_option", "temperature"),
        ({"max_tokens": 0}, "invalid_request", "max_tokens"),
        ({"max_tokens": "many"}, "invalid_option", "max_tokens"),
        ({"repetition_penalty": 0}, "invalid_request", "repetition_penalty"),
        ({"options": {"num_ctx": "x"}}, "invalid_option", "num_ctx"),
        ({"max_completion_tokens": 0}, "invalid_request", "max_completion_tokens"),
        ({"min_tokens": -1}, "invalid_request", "min_tokens"),
        ({"min_tokens": 5, "max_tokens": 4}, "invalid_request", "min_tokens"),
        ({"stream": "yes"}, "invalid_request", "stream"),
        ({"options": {"num_ctz": 5}}, "invalid_request", "options.num_ctz"),
        ({"keep_alive": "soon"}, "invalid_request", "keep_alive"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        chat(**fields)
    assert (raised.value.code, raised.value.details.get("param")) == (code, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"echo": True, "logprobs": 0, "suffix": "x"}, "echo"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 129}, "best_of"),
        ({"n": 64, "prompt": ["a", "b", "c"]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt"),
        ({"prompt": [[1], "a", 3]}, "prompt"),
        ({"prompt": [1], "suffix": "x"}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -2]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_completions_refuse_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        complete(**fields)
    assert raised.value.details.get("param") == param


def test_unknown_fields_name_the_nearest() -> None:
    with pytest.raises(ArrieroError, match=r"^unknown field 'max_token': did you mean 'max_tokens'\?$"):
        chat(max_token=3)
    with pytest.raises(ArrieroError, match=r"^unknown field 'zzzzzz'$"):
        chat(zzzzzz=3)
    with pytest.raises(ArrieroError, match=r"^unknown field 'messages'"):
        complete(messages=[USER])


def test_harmless_fields_change_nothing() -> None:
    harmless = {
        "user": "u",
        "metadata": {"k": "v"},
        "store": True,
        "parallel_tool_calls": True,
        "stream_options": {"include_usage": False},
        "prompt_cache_key": "k",
        "prompt_cache_options": {"ttl": "1h"},
        "n": 1,
        "logit_bias": {},
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "tool_choice": "none",
        "seed": None,
    }
    assert chat(**harmless) == chat()


def test_a_prediction_is_text_that_may_come() -> None:
    said = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    for content, expected in (("one two", "one two"), (said, "one two")):
        assert chat(prediction={"type": "content", "content": content}).request.prediction == expected
    for wrong in ("one", {"content": "one"}, {"type": "content", "content": 1}, {"type": "content", "content": [1]}):
        with pytest.raises(InvalidRequest, match="prediction"):
            chat(prediction=wrong)


def test_defaults() -> None:
    sampling = chat().request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 1.0, -1)
    assert chat().stream is False
    sampling = complete().request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 1.0, 16)


def test_top_level_wins_over_options() -> None:
    assert complete(options={"num_predict": 5}).request.sampling.max_tokens == 5
    assert complete(options={"num_predict": 5}, max_tokens=6).request.sampling.max_tokens == 6
    assert chat(max_tokens=6, max_completion_tokens=6).request.sampling.max_tokens == 6


def test_what_ollamas_clients_send() -> None:
    for call in (chat(keep_alive="5m"), complete(keep_alive=300)):
        assert call.request.keep_alive == 300
    assert complete(user="u") == complete()


def test_tools_can_be_switched_off() -> None:
    assert chat(tools=[TOOL], tool_choice="none").request.tools == ()
    assert [tool.name for tool in chat(tools=[TOOL]).request.tools] == ["f"]


@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, {"type": ["null", "object"]}, {"type": "None"}])
def test_parameters_that_leave_room_for_an_object(parameters: dict[str, Any]) -> None:
    assert [tool.parameters for tool in chat(tools=[tool_of(parameters)]).request.tools] == [parameters]


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "max")],
)
def test_effort(effort: str, think: bool | str) -> None:
    assert chat(reasoning_effort=effort).request.think == think
    assert chat(reasoning={"effort": effort}).request.think == think


def test_several_prompts_and_answers() -> None:
    call = complete(prompt=["a", [7]], n=2, best_of=3)
    assert call.choices is not None
    assert (call.choices.n, call.choices.best_of) == (2, 3)
    assert [(one.prompt, one.prompt_tokens) for one in call.choices.requests] == [("a", None), (None, (7,))]
    assert call.request == call.choices.requests[0]
    assert not call.show_logprobs
    chosen = chat(n=4).choices
    assert chosen is not None
    assert (len(chosen.requests), chosen.n, chosen.best_of) == (1, 4, 4)


def test_beams() -> None:
    call = complete(prompt="a", use_beam_search=True, best_of=4, n=2, length_penalty=0.5, temperature=0)
    assert call.request.beams == Beams(width=4, length_penalty=0.5)
    assert call.choices is not None
    assert (call.choices.n, call.choices.best_of) == (2, 2)
    assert complete(prompt="a", use_beam_search=True, best_of=4).choices is None
    assert complete(prompt="a", use_beam_search=False, best_of=4).request.beams is None
    assert chat(use_beam_search=True, n=3).request.beams == Beams(width=3)


def test_what_the_engine_and_the_template_are_told() -> None:
    request = chat(
        logit_bias={"7": -100, "5": 1.5},
        stop_token_ids=[3],
        cache_prompt=False,
        parallel_tool_calls=False,
        chat_template_kwargs={"enable_thinking": False},
        service_tier="priority",
    ).request
    assert request.sampling.logit_bias == ((5, 1.5), (7, -100.0))
    assert request.sampling.stop_token_ids == (3,)
    assert (request.cache_prompt, request.parallel_tool_calls, request.priority) == (False, False, 1)
    assert request.template_kwargs == {"enable_thinking": False}
    request = complete(echo=True, max_tokens=0, suffix="").request
    assert (request.echo, request.sampling.max_tokens, request.raw) == (True, 0, True)
    assert complete(suffix="end").request.raw is False


@pytest.mark.parametrize(
    ("tier", "priority", "told"),
    [("auto", 0, "default"), ("default", 0, "default"), ("flex", -1, "flex"), ("fast", 1, "priority")],
)
def test_tiers(tier: str, priority: int, told: str) -> None:
    call = chat(service_tier=tier)
    assert (call.request.priority, call.service_tier) == (priority, told)


def test_the_fingerprint_is_of_weights_and_template() -> None:
    def fingerprint(**changes: Any) -> str:
        body = msgspec.json.encode({"model": "demo", "messages": [USER]})
        return decode_chat(body, lambda name: msgspec.structs.replace(find(name), **changes)).fingerprint

    assert fingerprint() == fingerprint() == complete().fingerprint
    assert len({fingerprint(), fingerprint(digest="ab"), fingerprint(chat_template="x"), fingerprint(system="x")}) == 4
    assert fingerprint(modified_at=5.0) == fingerprint()


def test_unknown_fields_are_named_where_they_are_only_warned_of() -> None:
    body = msgspec.json.encode({"model": "demo", "messages": [USER], "max_token": 3})
    assert decode_chat(body, find, "warn").ignored == ("max_token",)


def test_prompts() -> None:
    for prompt in ("a", ["a"]):
        request = complete(prompt=prompt).request
        assert (request.prompt, request.prompt_tokens, request.raw) == ("a", None, True)
    for ids in ([1, 2], [[1, 2]]):
        request = complete(prompt=ids).request
        assert (request.prompt, request.prompt_tokens, request.raw) == (None, (1, 2), True)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
    ],
)
def test_only_text(message: dict[str, Any]) -> None:
    with pytest.raises(ArrieroError) as raised:
        chat(messages=[message])
    assert raised.value.code == "unsupported"


def test_fields_of_replies_may_come_back() -> None:
    reply: dict[str, Any] = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "odd": 1,
    }
    assert chat(messages=[reply]).ignored == ("messages.odd",)


@pytest.mark.parametrize(
    ("lora", "scales"),
    [
        (None, None),
        ([], (0.0, 0.0)),
        ([{"id": 1, "scale": 2}], (0.0, 2.0)),
        ([{"id": 0, "scale": -0.5}, {"id": 1, "scale": 1}], (-0.5, 1.0)),
        ({}, "lora"),
        ([{"id": 0}], "lora[0]"),
        ([{"id": 2, "scale": 1}], "lora[0].id"),
        ([{"id": True, "scale": 1}], "lora[0].id"),
        ([{"id": 0, "scale": "1"}], "lora[0].scale"),
        ([{"id": 0, "scale": -10.5}], "lora[0].scale"),
    ],
)
def test_scales_of_adapters(lora: Any, scales: Any) -> None:
    body = msgspec.json.encode({"model": "demo", "prompt": "x", "lora": lora})

    def tuned(name: str) -> ModelSpec:
        return msgspec.structs.replace(find(name), adapters=("a", "b"))

    if not isinstance(scales, str):
        assert decode_completion(body, tuned).request.adapter_scales == scales
        return
    with pytest.raises(InvalidRequest) as caught:
        decode_completion(body, tuned)
    assert caught.value.details["param"] == scales


@pytest.mark.parametrize(
    ("field", "listed"),
    [("logit_bias", {str(token): -1 for token in range(10_000)}), ("stop_token_ids", list(range(10_000)))],
)
def test_what_each_answer_keeps_for_itself_is_bounded_for_all_of_them(field: str, listed: Any) -> None:
    assert complete(**{field: listed, "n": 100}).choices is not None
    assert chat(**{field: listed, "n": 100}).choices is not None
    for ask in ({"n": 101}, {"prompt": ["x"] * 101}, {"n": 2, "best_of": 101}):
        with pytest.raises(InvalidRequest, match="ask for fewer at once") as caught:
            complete(**{field: listed}, **ask)
        assert caught.value.details["param"] == field
    with pytest.raises(InvalidRequest, match="for 128 answers"):
        chat(**{field: listed, "n": 128})


def test_a_null_inside_an_object_is_an_absent_field() -> None:
    assert chat(stream=True, stream_options={"include_usage": None, "include_obfuscation": None}) == chat(stream=True)
    tools = [{"type": None, "function": {"name": "f", "description": None, "parameters": None, "strict": None}}]
    assert chat(tools=tools) == chat(tools=[{"type": "function", "function": {"name": "f"}}])
