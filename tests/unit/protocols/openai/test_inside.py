"""Fields inside the objects of chats and responses: known ones are those of the package, others are never let pass."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest
from openai.types.chat import (
    ChatCompletionContentPartTextParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionPredictionContentParam,
    ChatCompletionStreamOptionsParam,
)
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCallParam, ResponseTextConfigParam
from openai.types.responses.response_create_params import StreamOptions
from openai.types.responses.response_format_text_json_schema_config_param import ResponseFormatTextJSONSchemaConfigParam
from openai.types.responses.response_input_item_param import FunctionCallOutput
from openai.types.responses.response_output_message_param import ResponseOutputMessageParam
from openai.types.responses.response_reasoning_item_param import ResponseReasoningItemParam
from openai.types.shared_params import FunctionDefinition, Reasoning
from openai.types.shared_params.response_format_json_schema import JSONSchema

from arriero.core.errors import ArrieroError
from arriero.protocols.openai import inside as chat_inside
from arriero.protocols.openai import messages
from arriero.protocols.openai.request import decode_chat
from arriero.protocols.responses import inside
from arriero.protocols.responses.request import decode_response
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
SCHEMA = {"name": "s", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (ChatCompletionStreamOptionsParam, chat_inside._OBJECTS["stream_options"]),
        (ChatCompletionPredictionContentParam, chat_inside._OBJECTS["prediction"]),
        (Reasoning, chat_inside._OBJECTS["reasoning"]),
        (FunctionDefinition, chat_inside._FUNCTION),
        (JSONSchema, chat_inside._SCHEMA),
        (ChatCompletionContentPartTextParam, messages._PART),
        (ChatCompletionMessageFunctionToolCallParam, messages._CALL),
        (StreamOptions, inside._OBJECTS["stream_options"]),
        (Reasoning, inside._OBJECTS["reasoning"]),
        (ResponseTextConfigParam, inside._OBJECTS["text"]),
        (ResponseFormatTextJSONSchemaConfigParam, inside._FORMATS["json_schema"]),
        (FunctionToolParam, inside._TOOL),
        (ResponseOutputMessageParam, inside._ITEMS["message"]),
        (ResponseReasoningItemParam, inside._ITEMS["reasoning"]),
        (ResponseFunctionToolCallParam, inside._ITEMS["function_call"]),
        (FunctionCallOutput, inside._ITEMS["function_call_output"]),
    ],
)
def test_every_field_of_the_package_is_known(kind: Any, known: Any) -> None:
    assert sorted(set(get_type_hints(kind)) - set(known)) == []


def ask(fields: dict[str, Any]) -> None:
    if "messages" in fields:
        decode_chat(msgspec.json.encode({"model": "demo"} | fields), find)
    else:
        decode_response(msgspec.json.encode({"model": "demo", "input": "x"} | fields)).call((), find)


def refused(fields: dict[str, Any]) -> ArrieroError:
    with pytest.raises(ArrieroError) as raised:
        ask(fields)
    return raised.value


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": FUNCTION, "odd": 1}]}, "tools[0].odd"),
        ({"tools": [{"type": "function", "function": {"name": "f", "paramters": {}}}]}, "tools[0].function.paramters"),
        ({"tools": [{"type": "function", "function": FUNCTION | {"name": ""}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "function", "funktion": {}}}, "tool_choice.funktion"),
        ({"response_format": {"type": "json_object", "json_schema": {}}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA | {"strickt": True}}},
            "response_format.json_schema.strickt",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA | {"strict": "yes"}}},
            "response_format.json_schema.strict",
        ),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
        ({"reasoning": {"max_tokens": 100}}, "reasoning.max_tokens"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"prediction": {"type": "content", "content": "x", "odd": 1}}, "prediction.odd"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"repeat_penalty": 1.1, "repetition_penalty": 1.2}, "repetition_penalty"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        (
            {"tools": [{"type": "function", "function": FUNCTION | {"description": one}} for one in "ab"]},
            "tools",
        ),
    ],
)
def test_a_chat_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused({"messages": [USER], **fields}).details["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", **FUNCTION, "odd": 1}]}, "tools[0].odd"),
        ({"tools": [{"type": "function", **FUNCTION, "async": True}]}, "tools[0].async"),
        ({"tools": [{"type": "function", **FUNCTION, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"type": "function", **FUNCTION, "output_schema": {}}]}, "tools[0].output_schema"),
        (
            {"tools": [{"type": "function", **FUNCTION, "allowed_callers": ["programmatic"]}]},
            "tools[0].allowed_callers",
        ),
        ({"reasoning": {"context": "current_turn"}}, "reasoning.context"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"text": {"odd": 1}}, "text.odd"),
        ({"text": {"format": {"type": "json_schema", **SCHEMA, "strickt": True}}}, "text.format.strickt"),
        ({"text": {"format": {"type": "json_schema", **SCHEMA, "strict": "yes"}}}, "text.format.strict"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"conversation": {"id": "conv_1", "odd": 1}}, "conversation.odd"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_a_response_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused(fields).details["param"] == param


def test_what_says_nothing_here_passes() -> None:
    quiet = {"allowed_callers": ["direct"], "async": False, "defer_loading": False, "output_schema": None}
    body = {
        "model": "demo",
        "input": "x",
        "tools": [{"type": "function", **FUNCTION, **quiet}],
        "reasoning": {"context": "auto", "mode": "standard", "summary": "auto"},
        "include": ["file_search_call.results", "web_search_call.action.sources"],
    }
    call = decode_response(msgspec.json.encode(body)).call((), find)
    assert (call.ignored, [tool.name for tool in call.request.tools]) == ((), ["f"])


def test_what_was_said_before_is_named_as_ignored() -> None:
    call = {"id": "c", "type": "function", "odd": 1, "function": {"name": "f", "arguments": "{}", "more": 1}}
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "x", "mood": 1}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
    ]
    named = ["messages.content.mood", "messages.tool_calls.function.more", "messages.tool_calls.odd"]
    assert sorted(decode_chat(msgspec.json.encode({"model": "demo", "messages": chat}), find).ignored) == named
    item = {"role": "user", "content": [{"type": "input_text", "text": "x", "mood": 1}], "odd": 1}
    body = msgspec.json.encode({"model": "demo", "input": [item]})
    assert sorted(decode_response(body).call((), find).ignored) == ["input.content.mood", "input.odd"]


def test_strange_fields_can_be_warned_of() -> None:
    fields = {"model": "demo", "messages": [USER], "tools": [{"type": "function", "function": FUNCTION | {"odd": 1}}]}
    assert decode_chat(msgspec.json.encode(fields), find, "warn").ignored == ("tools.function.odd",)


def test_a_schema_beside_json_object_is_held() -> None:
    fields = {
        "model": "demo",
        "messages": [USER],
        "response_format": {"type": "json_object", "schema": {"type": "array"}},
    }
    constraint = decode_chat(msgspec.json.encode(fields), find).request.constraint
    assert constraint is not None
    assert (constraint.kind, constraint.schema) == ("json_schema", {"type": "array"})
