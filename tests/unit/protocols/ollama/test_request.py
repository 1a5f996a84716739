from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.constraint import Constraint
from arriero.core.errors import ArrieroError
from arriero.protocols.call import Call
from arriero.protocols.go_duration import LONGEST
from arriero.protocols.ollama.request import decode_chat, decode_generate, decode_show
from tests.unit.protocols.conftest import find


def generate(**fields: Any) -> Call:
    return decode_generate(msgspec.json.encode({"model": "demo", "prompt": "x"} | fields), find)


def chat(**fields: Any) -> Call:
    messages = [{"role": "user", "content": "x"}]
    return decode_chat(msgspec.json.encode({"model": "demo", "messages": messages} | fields), find)


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"model": "nope"}, "model_not_found", "model 'nope' not found"),
        ({"model": "embed"}, "unsupported", '"embed" does not support generate'),
        ({"raw": True, "system": "s"}, "invalid_request", "raw mode does not support template, system, or context"),
        ({"raw": True, "context": [1]}, "invalid_request", "raw mode does not support template, system, or context"),
        (
            {"think": "hard"},
            "invalid_request",
            'invalid think value: "hard" (must be "high", "medium", "low", "max", true, or false)',
        ),
        (
            {"think": 3},
            "invalid_request",
            'invalid think value: 3 (must be "high", "medium", "low", "max", true, or false)',
        ),
        ({"model": "plain", "think": True}, "unsupported", '"plain" does not support thinking'),
        ({"top_logprobs": 21}, "invalid_request", "top_logprobs must be between 0 and 20"),
        (
            {"format": "xml"},
            "invalid_option",
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
        (
            {"format": [1]},
            "invalid_option",
            'invalid format: "[1]"; expected "json" or a valid JSON Schema object',
        ),
        (
            {"suffix": "end"},
            "unsupported",
            "registry.ollama.ai/library/demo:latest does not support insert",
        ),
        ({"images": ["aGk="]}, "unsupported", "registry.ollama.ai/library/demo:latest does not support vision"),
        ({"images": ["aGk"]}, "invalid_request", "illegal base64 data at input byte 0"),
        ({"images": ["aGk=aGk="]}, "invalid_request", "illegal base64 data at input byte 8"),
        ({"images": [7]}, "invalid_request", "invalid request: images must be base64 texts"),
        ({"keep_alive": "-1"}, "invalid_request", 'time: missing unit in duration "-1"'),
        ({"keep_alive": True}, "invalid_request", "keep_alive must be a number of seconds or a duration"),
        ({"stream": "yes"}, "invalid_request", "invalid request: Expected `bool`, got `str` - at `$.stream`"),
        ({"context": [-1]}, "invalid_request", "context must hold token ids"),
        ({"options": {"num_ctx": "x"}}, "invalid_option", 'option "num_ctx" must be of type integer'),
    ],
)
def test_generate_errors(fields: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        generate(**fields)
    assert (raised.value.code, raised.value.message) == (code, text)


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"model": ""}, "invalid_request", "model is required"),
        ({"model": "embed"}, "unsupported", '"embed" does not support chat'),
        (
            {"model": "plain", "tools": [TOOL]},
            "unsupported",
            "registry.ollama.ai/library/plain:latest does not support tools",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
            "unsupported",
            "registry.ollama.ai/library/demo:latest does not support vision",
        ),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            "invalid_request",
            "invalid request: Expected `str`, got `array` - at `$.messages[0].content`",
        ),
        ({"messages": "hi"}, "invalid_request", "invalid request: Expected `array`, got `str` - at `$.messages`"),
    ],
)
def test_chat_errors(fields: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        chat(**fields)
    assert (raised.value.code, raised.value.message) == (code, text)


def test_a_missing_model_reads_differently_on_each_route() -> None:
    with pytest.raises(ArrieroError, match=r"^model '' not found$"):
        decode_generate(b"{}", find)
    with pytest.raises(ArrieroError, match=r"^model is required$"):
        decode_chat(b"{}", find)
    with pytest.raises(ArrieroError, match=r"^model is required$"):
        decode_show(b"{}")


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_missing(body: bytes) -> None:
    with pytest.raises(ArrieroError, match=r"^missing request body$"):
        decode_chat(body, find)


@pytest.mark.parametrize(
    ("keep_alive", "seconds"), [(0, 0), (1.5, 1.5), (-7, -1), ("-2m", -1), ("5m", 300), (None, None), (1e300, LONGEST)]
)
def test_keep_alive(keep_alive: Any, seconds: float | None) -> None:
    assert generate(keep_alive=keep_alive).request.keep_alive == seconds


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"prompt": ""}, "load"),
        ({"prompt": "", "keep_alive": 0}, "unload"),
        ({"prompt": "", "keep_alive": "0s"}, "unload"),
        ({"prompt": "", "keep_alive": -1}, "load"),
        ({"prompt": "x", "keep_alive": 0}, "generate"),
    ],
)
def test_empty_prompts_load_and_unload(fields: dict[str, Any], action: str) -> None:
    assert generate(**fields).action == action


def test_chat_without_messages_loads_and_unloads() -> None:
    assert chat(messages=[]).action == "load"
    assert chat(messages=None, keep_alive=0).action == "unload"


def test_models_that_only_embed_unload_as_others_do() -> None:
    assert generate(model="embed", prompt="", keep_alive=0).action == "unload"
    assert chat(model="embed", messages=[], keep_alive="0s").action == "unload"


def test_what_asks_for_nothing_is_accepted() -> None:
    call = generate(format=None, suffix="", images=[], template="", options=None, think=None, tools=None)
    assert call == generate()


def test_thinking_may_be_switched_off_anywhere() -> None:
    assert generate(model="plain", think=False).request.think is False


def test_logprobs() -> None:
    assert generate().request.sampling.logprobs is None
    assert generate(top_logprobs=3).request.sampling.logprobs is None
    assert generate(logprobs=True).request.sampling.logprobs == 0
    assert generate(logprobs=True, top_logprobs=3).request.sampling.logprobs == 3


def test_ignored_names() -> None:
    assert generate(shift=True, width=1, options={"TOP_K": 2, "numa": False}).ignored == ("width", "numa")
    assert generate(shift=False).ignored == ()


def test_tool_schemas_keep_their_order() -> None:
    parameters = {"type": "object", "properties": {"z": {"type": "string"}, "A": {"type": ["integer", "null"]}}}
    call = chat(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    assert msgspec.json.encode(call.request.tools[0].parameters) == msgspec.json.encode(parameters)


def test_show() -> None:
    assert decode_show(b'{"name":"demo","Verbose":true}').verbose is True
    assert decode_show(b'{"model":"demo","system":"x"}').ignored == ("system",)


def test_template_and_suffix_reach_the_request() -> None:
    body = {"model": "coder", "prompt": "a", "suffix": "b", "template": "{{ .Suffix }}"}
    call = decode_generate(msgspec.json.encode(body), find)
    assert (call.request.suffix, call.request.template) == ("b", "{{ .Suffix }}")
    raw = decode_generate(msgspec.json.encode({"model": "coder", "prompt": "a", "suffix": "b", "raw": True}), find)
    assert raw.request.suffix is None
    empty = decode_generate(msgspec.json.encode({"model": "plain", "prompt": "a", "suffix": "", "template": ""}), find)
    assert (empty.request.suffix, empty.request.template) == (None, None)


def test_rendering_is_an_action_where_there_is_something_to_render() -> None:
    asked = {"model": "demo", "_debug_render_only": True}
    assert decode_generate(msgspec.json.encode({**asked, "prompt": "a"}), find).action == "render"
    assert decode_generate(msgspec.json.encode(asked), find).action == "load"
    messages = [{"role": "user", "content": "a"}]
    assert decode_chat(msgspec.json.encode({**asked, "messages": messages}), find).action == "render"
    assert decode_chat(msgspec.json.encode(asked), find).action == "load"


@pytest.mark.parametrize(
    ("format", "constraint"),
    [
        (None, None),
        ("", None),
        ("json", Constraint(kind="json_object")),
        ({}, Constraint(kind="json_schema", schema={})),
        ({"type": "array"}, Constraint(kind="json_schema", schema={"type": "array"})),
    ],
)
def test_format(format: Any, constraint: Constraint | None) -> None:  # noqa: A002
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi", "format": format}
    assert decode_chat(msgspec.json.encode(body), find).request.constraint == constraint
    assert decode_generate(msgspec.json.encode(body), find).request.constraint == constraint
