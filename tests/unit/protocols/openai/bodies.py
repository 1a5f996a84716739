"""Bodies for OpenAI's and Ollama's routes: good ones, good ones with something broken in them, and noise."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

TEXTS = st.text(max_size=12) | st.sampled_from(["hi", "", "<tool_call>", "<think>", "\x00", "é", "{{ x }}"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SCHEMA = st.sampled_from(
    [{"type": "object"}, {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}]
)
FUNCTION = st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]), "parameters": SCHEMA})
TOOL = st.fixed_dictionaries({"type": st.just("function"), "function": FUNCTION})
PART = st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CHAT_MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant", "developer"]), "content": TEXTS}),
    st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(PART, min_size=1, max_size=2)}),
    st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.just("c1"), "content": TEXTS}),
)
OLLAMA_MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant", "tool"]), "content": TEXTS}),
    st.just({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}),
)
FRACTION = st.floats(0, 1)
SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2),
    "top_p": FRACTION,
    "seed": st.integers(-(2**40), 2**40),
    "stop": TEXTS | st.lists(TEXTS, max_size=3),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
}
SHARED = {
    **SAMPLING,
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "n": st.integers(1, 3),
    "max_tokens": st.integers(1, 20),
    "logit_bias": st.dictionaries(st.integers(0, 256).map(str), st.floats(-100, 100), max_size=2),
    "top_k": st.integers(-1, 50),
    "min_p": FRACTION,
    "ignore_eos": st.booleans(),
    "min_tokens": st.integers(0, 1),
    "stop_token_ids": st.lists(st.integers(0, 300), max_size=2),
    "service_tier": st.sampled_from(["auto", "flex", "priority"]),
    "cache_prompt": st.booleans(),
    "lora": st.just([]),
    "user": TEXTS,
}
NAMED = {"type": "function", "function": {"name": "f"}}
CHAT = {
    **SHARED,
    "tools": st.lists(TOOL, max_size=2),
    "tool_choice": st.sampled_from(["none", "auto"]) | st.just(NAMED),
    "parallel_tool_calls": st.booleans(),
    "logprobs": st.booleans(),
    "metadata": st.dictionaries(TEXTS, TEXTS, max_size=1),
    "max_completion_tokens": st.integers(1, 20),
    "chat_template_kwargs": st.dictionaries(st.sampled_from(["a", "enable_thinking"]), JSON, max_size=1),
}
COMPLETION = {
    **SHARED,
    "best_of": st.integers(1, 3),
    "echo": st.booleans(),
    "logprobs": st.integers(0, 5),
}
RESPONSE = {
    **SAMPLING,
    "stream": st.booleans(),
    "instructions": TEXTS,
    "max_output_tokens": st.integers(1, 20),
    "metadata": st.dictionaries(TEXTS, TEXTS, max_size=1),
    "store": st.booleans(),
    "tools": st.lists(FUNCTION.map(lambda function: {"type": "function", **function}), max_size=2),
    "truncation": st.sampled_from(["auto", "disabled"]),
    "include": st.just(["message.output_text.logprobs"]),
    "previous_response_id": st.sampled_from(["resp_1", ""]),
}
ITEM = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant", "developer"]), "content": TEXTS}),
    st.just({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": st.just("c1"), "output": TEXTS}),
    st.fixed_dictionaries(
        {"type": st.just("reasoning"), "summary": st.just([]), "content": st.lists(PART, max_size=1)}
    ),
)
OPTIONS = st.fixed_dictionaries({}, optional={**SAMPLING, "num_predict": st.integers(-2, 20), "top_k": JSON})
OLLAMA = {
    "stream": st.booleans(),
    "options": OPTIONS,
    "keep_alive": st.sampled_from(["5m", -1, 600]),
    "think": st.just(False),
    "logprobs": st.booleans(),
}
MODEL = st.just("echo")
PROMPTS = TEXTS | st.lists(st.integers(0, 255), min_size=1, max_size=4) | st.lists(TEXTS, min_size=1, max_size=2)

# Route → the fields that a body must have, and those that it may have.
ROUTES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/v1/chat/completions": ({"model": MODEL, "messages": st.lists(CHAT_MESSAGE, min_size=1, max_size=4)}, CHAT),
    "/v1/completions": ({"model": MODEL, "prompt": PROMPTS}, COMPLETION),
    "/v1/responses": ({"model": MODEL, "input": TEXTS | st.lists(ITEM, min_size=1, max_size=4)}, RESPONSE),
    "/v1/conversations": (
        {"items": st.lists(ITEM, max_size=3)},
        {"metadata": st.dictionaries(TEXTS, TEXTS, max_size=2)},
    ),
    "/api/chat": (
        {"model": MODEL, "messages": st.lists(OLLAMA_MESSAGE, min_size=1, max_size=4)},
        {**OLLAMA, "tools": st.lists(TOOL, max_size=2), "truncate": st.booleans()},
    ),
    "/api/generate": (
        {"model": MODEL, "prompt": st.text(min_size=1, max_size=12)},
        {**OLLAMA, "system": TEXTS, "raw": st.booleans(), "context": st.lists(st.integers(0, 255), max_size=3)},
    ),
}


@st.composite
def good(draw: st.DrawFn, route: str) -> dict[str, Any]:
    """A body as the API's documents have it, with up to three of its optional fields."""
    needed, optional = ROUTES[route]
    names = draw(st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True))
    return {name: draw(strategy) for name, strategy in {**needed, **{one: optional[one] for one in names}}.items()}


@st.composite
def broken(draw: st.DrawFn, route: str) -> dict[str, Any]:
    """A good body with one thing in it, at any depth, replaced by any JSON, or a field too many."""
    body = draw(good(route))
    if draw(st.booleans()):
        return body | {draw(st.text(max_size=6) | st.sampled_from(sorted(ROUTES[route][1]))): draw(JSON)}
    holder: Any = body
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(holder[key], (dict, list)) and holder[key] and draw(st.booleans())):
            break
        inside = holder[key] = holder[key].copy()
        holder = inside
    holder[key] = draw(JSON)
    return body


def bodies(route: str) -> st.SearchStrategy[bytes]:
    """Half good, half not."""
    return st.one_of(
        good(route).map(msgspec.json.encode),
        good(route).map(msgspec.json.encode),
        broken(route).map(msgspec.json.encode),
        st.one_of(
            st.binary(max_size=40),
            st.tuples(good(route).map(msgspec.json.encode), st.integers(0, 200)).map(lambda both: both[0][: both[1]]),
        ),
    )
