from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import ArrieroError, InvalidRequest
from arriero.core.model import ModelSpec
from arriero.protocols.anthropic.request import decode_count, decode_messages
from arriero.protocols.call import Call
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
THINK = {"type": "enabled", "budget_tokens": 5}


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "demo", "max_tokens": 9, "messages": [USER]} | fields)


def decode(**fields: Any) -> Call:
    return decode_messages(body(**fields), find)


def test_the_least_there_must_be() -> None:
    call = decode()
    request = call.request
    assert request.messages is not None
    assert [(message.role, message.content) for message in request.messages] == [("user", "x")]
    assert (call.model, call.stream, call.ignored) == ("demo", False, ())
    assert (request.model, request.think, request.tools, request.continue_last) == ("demo:latest", False, (), False)
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (9, 1.0, 1.0)


def test_sampling_is_honoured() -> None:
    fields = {"temperature": 0.5, "top_p": 0.25, "top_k": 3, "stop_sequences": ["a", "b"]}
    call = decode(**fields, options={"seed": 7, "num_ctx": 64, "temperature": 2}, keep_alive="1m")
    sampling = call.request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.5, 0.25, 3, 7)
    assert (sampling.stop, call.stop_sequences) == (("a", "b"), ("a", "b"))
    assert (call.request.load.num_ctx, call.request.keep_alive) == (64, 60)


def test_the_models_own_stop_strings_stay_and_are_not_the_clients() -> None:
    def with_stop(name: str) -> ModelSpec:
        return msgspec.structs.replace(find(name), options={"stop": ["<end>"], "temperature": 0.1})

    call = decode_messages(body(stop_sequences=["a"]), with_stop)
    assert (call.request.sampling.stop, call.stop_sequences) == (("a", "<end>"), ("a",))
    assert call.request.sampling.temperature == 1.0


@pytest.mark.parametrize(
    "field",
    [
        {"metadata": {"user_id": "u"}},
        {"metadata": {"user_id": None}},
        {"service_tier": "auto"},
        {"service_tier": "standard_only"},
        {"cache_control": {"type": "ephemeral"}},
        {"mcp_servers": []},
        {"container": None},
        {"speed": "standard"},
        {"inference_geo": "eu"},
        {"diagnostics": {"previous_message_id": "msg_1"}},
        {"anthropic_beta": ["x"]},
        {"anthropic_version": "bedrock-2023-05-31"},
        {"betas": ["x"]},
        {"billing_policy": {"type": "billing_policy", "bill_to": "self"}},
        {"fallback_credit_token": "t"},
        {"user_profile_id": "u"},
        {"workspace_id": "w"},
        {"thread": None},
        {"output_config": {}},
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": {"type": "all"}}]}},
        {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}, "eager_input_streaming": True}]},
    ],
)
def test_what_cannot_change_the_answer_is_accepted(field: dict[str, Any]) -> None:
    assert decode(**field).ignored == ()


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": ""}, "invalid_request", "model"),
        ({"model": 3}, "invalid_request", "model"),
        ({"model": "no"}, "model_not_found", None),
        ({"max_tokens": None}, "invalid_request", "max_tokens"),
        ({"max_tokens": "9"}, "invalid_request", "max_tokens"),
        ({"max_tokens": -1}, "invalid_request", "max_tokens"),
        ({"max_tokens": 0}, "unsupported", "max_tokens"),
        ({"stream": "yes"}, "invalid_request", "stream"),
        ({"temperature": "warm"}, "invalid_request", "temperature"),
        ({"temperature": -1}, "invalid_request", "temperature"),
        ({"top_p": 2}, "invalid_request", "top_p"),
        ({"top_k": "few"}, "invalid_request", "top_k"),
        ({"stop_sequences": "x"}, "invalid_request", "stop_sequences"),
        ({"stop_sequences": [1]}, "invalid_request", "stop_sequences"),
        ({"options": 3}, "invalid_request", "options"),
        ({"options": {"num_ctz": 3}}, "invalid_request", "options.num_ctz"),
        ({"options": {"stop": [3]}}, "invalid_request", "options.stop"),
        ({"keep_alive": "soon"}, "invalid_request", "keep_alive"),
        ({"metadata": 3}, "invalid_request", "metadata"),
        ({"metadata": {"user_id": 3}}, "invalid_request", "metadata"),
        ({"service_tier": "priority"}, "unsupported", "service_tier"),
        ({"speed": "fast"}, "unsupported", "speed"),
        ({"container": "c"}, "unsupported", "container"),
        ({"compaction": {}}, "unsupported", "compaction"),
        ({"fallbacks": [{"model": "x"}]}, "unsupported", "fallbacks"),
        ({"thread": {"type": "create"}}, "unsupported", "thread"),
        ({"mcp_servers": [{"type": "url"}]}, "unsupported", "mcp_servers"),
        ({"context_management": {"edits": [{"type": "x"}]}}, "unsupported", "context_management.edits.0"),
        ({"context_management": {"edits": 3}}, "invalid_request", "context_management"),
        ({"temprature": 1}, "invalid_request", "temprature"),
        ({"max_tokens_to_sample": 1}, "invalid_request", "max_tokens_to_sample"),
        ({"thinking": 3}, "invalid_request", "thinking"),
        ({"thinking": {}}, "invalid_request", "thinking.type"),
        ({"thinking": {"type": "between_tools"}}, "unsupported", "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "invalid_request", "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "invalid_request", "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "invalid_request", "max_tokens"),
        ({"thinking": {"type": "adaptive", "display": "loud"}}, "invalid_request", "thinking.display"),
        ({"thinking": THINK, "model": "plain"}, "unsupported", "thinking"),
        ({"output_config": 3}, "invalid_request", "output_config"),
        ({"output_config": {"effort": "much"}}, "invalid_request", "output_config.effort"),
        ({"output_config": {"effort": []}}, "invalid_request", "output_config.effort"),
        ({"output_config": {"format": {"type": "text!"}}}, "invalid_request", "output_config.format"),
        ({"thinking": THINK, "messages": [USER, {"role": "assistant", "content": "I"}]}, "unsupported", "messages"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], code: str, param: str | None) -> None:
    with pytest.raises(ArrieroError) as caught:
        decode(**fields)
    assert (caught.value.code, caught.value.details.get("param")) == (code, param)
    assert param is None or param in caught.value.message


def test_an_unknown_field_has_its_nearest_name() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'temperature'"):
        decode(temprature=1)


def test_unknown_fields_may_be_warned_of() -> None:
    assert decode_messages(body(temprature=1), find, unknown="warn").ignored == ("temprature",)
    assert decode_count(body(temprature=1), find, unknown="warn")[1] == ("temprature",)


@pytest.mark.parametrize(
    ("thinking", "think", "budget", "show"),
    [
        ({"type": "disabled"}, False, None, True),
        (THINK, True, 5, True),
        (THINK | {"display": "omitted"}, True, 5, False),
        ({"type": "adaptive", "display": "summarized"}, True, None, True),
    ],
)
def test_thinking(thinking: dict[str, Any], think: bool, budget: int | None, show: bool) -> None:
    call = decode(thinking=thinking)
    assert (call.request.think, call.request.thinking_budget, call.show_thinking) == (think, budget, show)


def test_a_model_that_cannot_think_does_not_where_that_is_left_to_it() -> None:
    assert decode(model="plain", thinking={"type": "adaptive"}).request.think is None
    assert decode(model="plain", thinking={"type": "disabled"}).request.think is None


def test_effort_is_a_level_of_thinking_and_nothing_without_it() -> None:
    assert decode(output_config={"effort": "xhigh"}, thinking={"type": "adaptive"}).request.think == "max"
    assert decode(output_config={"effort": "low"}).ignored == ("output_config.effort",)


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_format_is_a_constraint(name: str) -> None:
    given = {"type": "json_schema", "schema": {"type": "object"}}
    constraint = decode(**{name: {"format": given} if name == "output_config" else given}).request.constraint
    assert constraint is not None
    assert (constraint.kind, constraint.schema) == ("json_schema", {"type": "object"})


def test_system_prompts() -> None:
    def system(value: Any, **more: Any) -> list[str]:
        messages = decode_messages(body(system=value), find, **more).request.messages or ()
        return [message.content for message in messages if message.role == "system"]

    header = "x-anthropic-billing-header: cc_version=2.1; cch=1;"
    assert system("Be kind.") == ["Be kind."]
    blocks = [{"type": "text", "text": text} for text in (header, "Be kind.", "Today is Friday.")]
    assert system(blocks) == ["Be kind.\nToday is Friday."]
    assert system(f"{header}\nBe kind.") == ["Be kind."]
    assert system(blocks, strip_headers=False) == [f"{header}\nBe kind.\nToday is Friday."]
    assert system([]) == []
    assert system(header) == []


def test_what_is_counted_is_the_prompt_of_the_message() -> None:
    fields: dict[str, Any] = {"system": "Be kind.", "tools": [TOOL], "thinking": THINK}
    request, ignored = decode_count(msgspec.json.encode({"model": "demo", "messages": [USER], **fields}), find)
    whole = decode(**fields).request
    assert ignored == ()
    for name in ("messages", "tools", "think", "model"):
        assert getattr(request, name) == getattr(whole, name)


def test_strange_fields_inside_are_named() -> None:
    block = {"type": "text", "text": "x", "mood": "good", "cache_control": None, "citations": None}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    messages = [
        {"role": "user", "content": [block], "name": "ann"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [result | {"tone": "low"}]},
    ]
    wire = body(
        messages=messages, system=[block], tools=[TOOL | {"price": 3}], thinking=THINK | {"block_binding": {"a": 1}}
    )
    call = decode_messages(wire, find, unknown="warn")
    known = ["messages.content.mood", "messages.content.tone", "messages.name", "system.mood"]
    assert sorted(call.ignored) == [*known, "thinking.block_binding", "tools.price"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tools": [TOOL | {"descripton": "x"}]}, "tools.0.descripton: unknown field: did you mean 'description'?"),
        ({"tool_choice": {"type": "auto", "force": True}}, "tool_choice.force: unknown field"),
        ({"thinking": THINK | {"budget": 3}}, "thinking.budget: unknown field: did you mean 'budget_tokens'?"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 5}}, "thinking.budget_tokens: only goes with"),
        ({"output_config": {"efort": "low"}}, "output_config.efort: unknown field: did you mean 'effort'?"),
        ({"output_config": {"task_budget": {"type": "tokens", "total": 9}}}, "output_config.task_budget: no model"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {}, "strict": True}}},
            "output_config.format.s",
        ),
        ({"context_management": {"edit": []}}, "context_management.edit: unknown field: did you mean 'edits'?"),
    ],
)
def test_what_says_how_to_answer_has_no_strange_fields(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        decode(**fields)
    assert raised.value.message.startswith(text)
    assert raised.value.details["param"] == text.partition(":")[0] or text.endswith(".s")


def test_one_format_has_one_value() -> None:
    form: dict[str, Any] = {"type": "json_schema", "schema": {"type": "object"}}
    assert decode(output_config={"format": form}, output_format=form) == decode(output_config={"format": form})
    with pytest.raises(InvalidRequest, match="output_format: is the older name"):
        decode(output_config={"format": form}, output_format=form | {"schema": {"type": "array"}})


def test_a_null_inside_an_object_is_an_absent_field() -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "a"}
    nulls = decode(
        messages=[USER, call, {"role": "user", "content": [result | {"content": None, "is_error": None}]}],
        tools=[TOOL | {"strict": None, "description": None, "allowed_callers": None}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": None},
    )
    assert nulls == decode(messages=[USER, call, {"role": "user", "content": [result]}], tools=[TOOL])
