"""Answers held to a form, through real ports and the makers' own clients."""

from __future__ import annotations

import json
import re
import urllib.error
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import ollama
import openai
import pytest
from pydantic import BaseModel, Field

from tests.e2e.official import openai_client
from tests.e2e.serving import Server, serve

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "units": {"type": "array", "items": {"enum": ["c", "f"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["city", "days", "units"],
}
ADD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "add", "description": "Add numbers", "parameters": ADD}},
]
SCHEMAS: dict[str, Any] = {"get_weather": WEATHER, "add": ADD}
ASK: Any = [{"role": "user", "content": "What is the weather in Rome?"}]


class Pet(BaseModel):
    """What the clients ask for."""

    name: str = Field(max_length=12)
    kind: Literal["cat", "dog"]
    age: int = Field(ge=0, le=30)


@pytest.fixture(scope="module")
def sdk(server: Server) -> Iterator[openai.OpenAI]:
    with openai_client(server) as client:
        yield client


def asked(server: Server, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer."""
    try:
        return 200, json.loads(server.post(path, body))
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("stream", [False, True])
def test_ollama_schema(server: Server, temperature: float, stream: bool) -> None:
    client = ollama.Client(server.url)
    options = {"temperature": temperature, "seed": 5}
    schema = Pet.model_json_schema()
    if stream:
        parts = client.chat("demo", ASK, format=schema, options=options, stream=True)
        text = "".join(part.message.content or "" for part in parts)
    else:
        reply = client.chat("demo", ASK, format=schema, options=options)
        text = reply.message.content or ""
        assert reply.done_reason == "stop"
    Pet.model_validate_json(text)
    Pet.model_validate_json(client.generate("demo", "A pet", format=schema, options=options).response or "")


def test_ollama_json(server: Server) -> None:
    client, ends = ollama.Client(server.url), 0
    for seed in range(8):
        options = {"temperature": 1, "seed": seed, "num_predict": 120}
        reply = client.generate("demo", "Who are you?", format="json", options=options)
        assert (reply.response or "").startswith("{")
        if reply.done_reason == "stop":  # a model may as well write one text for ever
            assert isinstance(json.loads(reply.response or ""), dict)
            ends += 1
    assert ends


def test_a_seed_gives_the_same_answer(server: Server) -> None:
    client = ollama.Client(server.url)
    texts = {
        client.generate("demo", "A pet", format=Pet.model_json_schema(), options={"temperature": 1, "seed": 9}).response
        for _ in range(3)
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "format": "iri"}, "iri"),
        ({"$ref": "#/$defs/absent"}, "/$defs/absent"),
        ({"properties": 5}, "properties"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "use anyOf, or"),
        ({"const": -(2**63)}, str(-(2**63))),  # it overflows llguidance's stack
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_held_is_refused_by_name(server: Server, schema: Any, named: str, stream: bool) -> None:
    status, body = asked(server, "/api/chat", {"model": "demo", "messages": ASK, "format": schema, "stream": stream})
    assert status == 400
    assert body["error"].startswith("format cannot be used: ")
    assert named in body["error"]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    fields = {"model": "demo", "messages": ASK, "response_format": wanted, "stream": stream}
    status, body = asked(server, "/v1/chat/completions", fields)
    assert (status, body["error"]["param"]) == (400, "response_format")
    assert named in body["error"]["message"]


def test_integers_of_64_bits(server: Server) -> None:
    schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    reply = ollama.Client(server.url).generate("demo", "Two", format=schema, options={"num_predict": 40, "seed": 1})
    assert -(2**63) <= int(reply.response or "") < 2**63


def test_references_may_follow_each_other(server: Server) -> None:
    step = {"type": "object", "required": ["k"]}
    steps = {f"a{n}": {**step, "properties": {"k": {"$ref": f"#/$defs/a{n + 1}"}}} for n in range(2000)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**steps, "a2000": {"type": "null"}}}
    reply = ollama.Client(server.url).generate("demo", "Two", format=schema, options={"num_predict": 9})
    assert (reply.response or "").startswith("{")


@pytest.mark.parametrize(
    ("grammar", "named"),
    [('start: %json {"const": -9223372036854775808}', "exactly"), ("#" * 10**6 + "\n", "characters")],
)
def test_grammars_that_cannot_be_held(server: Server, grammar: str, named: str) -> None:
    fields = {"model": "demo", "messages": ASK, "structured_outputs": {"grammar": grammar}}
    status, body = asked(server, "/v1/chat/completions", fields)
    assert (status, body["error"]["param"]) == (400, "structured_outputs.grammar")
    assert named in body["error"]["message"]


def test_openai_parse(sdk: openai.OpenAI) -> None:
    reply = sdk.chat.completions.parse(model="demo", messages=ASK, response_format=Pet, temperature=1, seed=2)
    assert isinstance(reply.choices[0].message.parsed, Pet)
    assert reply.choices[0].finish_reason == "stop"
    with sdk.chat.completions.stream(model="demo", messages=ASK, response_format=Pet, seed=2) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Pet)


def test_logprobs_and_stop_strings(sdk: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "pet", "schema": Pet.model_json_schema()}}
    fields: dict[str, Any] = {"model": "demo", "messages": ASK, "response_format": form, "temperature": 0}
    choice = sdk.chat.completions.create(**fields, logprobs=True, top_logprobs=2).choices[0]
    assert choice.logprobs is not None
    assert "".join(one.token for one in choice.logprobs.content or []) == choice.message.content
    cut = sdk.chat.completions.create(**fields, stop=[":"]).choices[0]
    assert (cut.message.content or "").startswith("{")
    assert ":" not in (cut.message.content or "")


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_json": ADD}, r'\{\s*"a"\s*:\s*\d+\s*,\s*"b"\s*:\s*-?\d+\s*\}'),
        ({"guided_regex": "[0-9]{3}-[a-f]{2}"}, "[0-9]{3}-[a-f]{2}"),
        ({"guided_choice": ["left", "right"]}, "left|right"),
        ({"guided_grammar": 'root ::= "x=" [0-9] [0-9]'}, r"x=\d\d"),
        ({"guided_grammar": 'start: "y" N\nN: /[0-9]{2}/'}, r"y\d\d"),
        ({"structured_outputs": {"regex": "a{3}"}}, "aaa"),
    ],
)
def test_vllm_extras(server: Server, sdk: openai.OpenAI, fields: dict[str, Any], pattern: str) -> None:
    reply = sdk.chat.completions.create(model="demo", messages=ASK, extra_body=fields, temperature=1, seed=1)
    assert re.fullmatch(pattern, reply.choices[0].message.content or "")
    assert reply.choices[0].finish_reason == "stop"
    raw = sdk.completions.create(model="demo", prompt="One", extra_body=fields, max_tokens=60)
    assert re.fullmatch(pattern, raw.choices[0].text)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"guided_regex": "(?=a)b"}, "look-ahead"),
        ({"guided_regex": "("}, "unclosed group"),
        ({"guided_grammar": "root ::= ("}, "Expected ')'"),
        ({"guided_grammar": "start: absent"}, "absent"),
    ],
)
def test_bad_grammars(server: Server, fields: dict[str, Any], named: str) -> None:
    status, body = asked(server, "/v1/chat/completions", {"model": "demo", "messages": ASK, **fields})
    assert (status, body["error"]["param"]) == (400, next(iter(fields)))
    assert named in body["error"]["message"]


@pytest.mark.parametrize("seed", range(3))
def test_required_calls(sdk: openai.OpenAI, seed: int) -> None:
    reply = sdk.chat.completions.create(
        model="demo", messages=ASK, tools=TOOLS, tool_choice="required", temperature=1, seed=seed, max_tokens=400
    )
    calls = reply.choices[0].message.tool_calls or []
    assert calls
    assert reply.choices[0].finish_reason in ("tool_calls", "length")
    for call in calls:
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


def test_held_calls_match(sdk: openai.OpenAI) -> None:
    """Nobody demands a call here; those that come match."""
    calls = []
    for seed in range(4):
        reply = sdk.chat.completions.create(
            model="demo", messages=ASK, tools=TOOLS, temperature=1, seed=seed, max_tokens=300
        )
        calls += reply.choices[0].message.tool_calls or []
    assert calls
    for call in calls:
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


def test_a_named_function_once(sdk: openai.OpenAI) -> None:
    reply = sdk.chat.completions.create(
        model="demo",
        messages=ASK,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "add"}},
        parallel_tool_calls=False,
        temperature=1,
        seed=3,
    )
    [call] = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "add"
    jsonschema.validate(json.loads(call.function.arguments), ADD)


def test_anthropic_any(server: Server) -> None:
    tools = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
    body = {"model": "demo", "max_tokens": 300, "messages": ASK, "tools": tools, "tool_choice": {"type": "any"}}
    status, reply = asked(server, "/v1/messages", body)
    assert status == 200
    used = [block for block in reply["content"] if block["type"] == "tool_use"]
    assert used
    assert reply["stop_reason"] == "tool_use"
    for block in used:
        jsonschema.validate(block["input"], SCHEMAS[block["name"]])
    body = {**body, "tool_choice": {"type": "tool", "name": "add", "disable_parallel_tool_use": True}}
    status, reply = asked(server, "/v1/messages", body)
    assert [block["name"] for block in reply["content"]] == ["add"]


def test_anthropic_format(server: Server) -> None:
    form = {"type": "json_schema", "schema": Pet.model_json_schema()}
    body = {"model": "demo", "max_tokens": 200, "messages": ASK, "output_config": {"format": form}}
    status, reply = asked(server, "/v1/messages", body)
    assert status == 200
    Pet.model_validate_json(reply["content"][0]["text"])


def test_strict_tools_must_be_holdable(server: Server) -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}
    status, body = asked(server, "/v1/chat/completions", {"model": "demo", "messages": ASK, "tools": [strict]})
    assert (status, body["error"]["param"]) == (400, "tools")
    assert "'f'" in body["error"]["message"]
    assert "not" in body["error"]["message"]
    lax = {"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}
    status, body = asked(server, "/v1/chat/completions", {"model": "demo", "messages": ASK, "tools": [lax]})
    assert status == 200


def test_clients_that_leave_while_a_grammar_compiles(server: Server) -> None:
    """Enough choices for a compile of some time; the worker forgets the request and goes on."""
    choices = [f"{index:x}-{index * 7919:x}" for index in range(20_000)]
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=0.05)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="demo", messages=ASK, extra_body={"guided_choice": choices})
    server.wait_for("arriero_running", "==", 0)
    status, _ = asked(server, "/v1/chat/completions", {"model": "demo", "messages": ASK, "max_tokens": 2})
    assert status == 200


# The demo knows no thinking tags: here a full stop ends the thinking that the prompt has begun.
THINKING = """{{ range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}.{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
<think>"""


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo's weights behind a template that opens a thinking block."""
    home = tmp_path_factory.mktemp("thinker")
    environment = {"OLLAMA_MODELS": str(home / "models"), "OLLAMA_GO_TEMPLATE": "1"}
    with serve(home, environment=environment) as running:
        ollama.Client(running.url).create("thinker", from_="demo", template=THINKING)
        running.load("thinker")
        yield running


def test_free_while_it_thinks_and_strict_after(thinker: Server) -> None:
    """The model decides whether it thinks at all; what it thinks is free, what it answers never is."""
    client, thoughts = ollama.Client(thinker.url), []
    for seed in range(8):
        options = {"temperature": 1.0, "seed": seed, "num_predict": 300}
        reply = client.chat("thinker", ASK, think=True, format=Pet.model_json_schema(), options=options)
        if reply.done_reason == "stop":
            Pet.model_validate_json(reply.message.content or "")
            thoughts.append(reply.message.thinking or "")
    assert len(thoughts) >= 6
    assert sum(bool(thought) and not thought.startswith("{") for thought in thoughts) >= 2


def test_thinking_that_does_not_end_is_no_answer(thinker: Server) -> None:
    client = ollama.Client(thinker.url)
    reply = client.chat("thinker", ASK, think=True, format=Pet.model_json_schema(), options={"num_predict": 2})
    assert reply.done_reason == "length"
    assert not reply.message.content


def test_openai_strict_schema_behind_thinking(thinker: Server) -> None:
    with openai_client(thinker) as client:
        reply = client.chat.completions.create(
            model="thinker",
            messages=ASK,
            reasoning_effort="high",
            seed=2,  # thinking may also go on until the context is full
            response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": ADD}},
        )
    jsonschema.validate(json.loads(reply.choices[0].message.content or ""), ADD)
