"""Bodies of /v1/messages for fuzzing: most of them sound, many with one thing wrong, some with all of it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from arriero.protocols.anthropic.fields import HARMLESS, NEUTRAL
from arriero.protocols.anthropic.request import HONOURED

FIELDS = sorted({*HONOURED, *HARMLESS, *NEUTRAL, "max_token", "n"})
_KEYS = sorted(
    {"type", "text", "role", "content", "id", "name", "input", "tool_use_id", "is_error", "source", "signature"}
    | {"thinking", "data", "budget_tokens", "display", "effort", "format", "schema", "edits", "keep", "user_id"}
    | {"disable_parallel_tool_use", "input_schema", "description", "strict", "cache_control", "citations"}
)
_WORDS = [
    "demo",
    "user",
    "assistant",
    "text",
    "tool_use",
    "tool_result",
    "thinking",
    "image",
    "auto",
    "any",
    "none",
    "",
]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(_WORDS)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=8,
)

_TEXT: st.SearchStrategy[Any] = st.text(max_size=12)
_CACHE: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.just({"cache_control": {"type": "ephemeral"}})


def _block(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda one, more: {**one, **more}, st.fixed_dictionaries(fields), _CACHE)


_TEXT_BLOCK = _block({"type": st.just("text"), "text": _TEXT})
_THINKING = _block({"type": st.just("thinking"), "thinking": _TEXT, "signature": _TEXT | st.just("arriero-2.aGk=")})
_HIDDEN = _block({"type": st.just("redacted_thinking"), "data": _TEXT})
_INPUT = st.dictionaries(_TEXT, st.integers(-9, 9) | _TEXT | st.lists(st.booleans(), max_size=2), max_size=2)
_TOOL = st.fixed_dictionaries(
    {"name": st.sampled_from(["add", "sub", "mul"]), "input_schema": st.just({"type": "object"})},
    optional={"description": _TEXT, "strict": st.booleans(), "type": st.just("custom")},
)


@st.composite
def _turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation in which every result has its call; it ends with the user."""
    turns: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 2))):
        turns.append({"role": "user", "content": draw(_TEXT | st.lists(_TEXT_BLOCK, max_size=2))})
        said = draw(st.lists(_TEXT_BLOCK | _THINKING | _HIDDEN, max_size=2))
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "add", "input": draw(_INPUT)}
        if draw(st.booleans()):
            turns.append({"role": "assistant", "content": [*said, use]})
            answer = draw(_TEXT | st.lists(_TEXT_BLOCK, max_size=2))
            result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": answer}
            turns.append({"role": "user", "content": [{**result, "is_error": draw(st.booleans())}]})
        else:
            turns.append({"role": "assistant", "content": said or draw(_TEXT)})
    return [*turns, {"role": "user", "content": draw(_TEXT)}]


_CHOICE = st.sampled_from([{"type": "auto"}, {"type": "none"}, {"type": "auto", "disable_parallel_tool_use": True}])
_OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "system": _TEXT | st.lists(_TEXT_BLOCK, max_size=2),
    "stream": st.booleans(),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(0, 100),
    "stop_sequences": st.lists(_TEXT, max_size=3),
    "tools": st.lists(_TOOL, max_size=3, unique_by=lambda tool: tool["name"]),
    "tool_choice": _CHOICE,
    "thinking": st.sampled_from(
        [{"type": "disabled"}, {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}]
    ),
    "metadata": st.just({"user_id": "u"}),
    "service_tier": st.sampled_from(["auto", "standard_only"]),
    "options": st.just({"seed": 3}),
}
SOUND = st.builds(
    lambda least, more: {**least, **more},
    st.fixed_dictionaries({"model": st.just("demo"), "max_tokens": st.integers(1, 99), "messages": _turns()}),
    st.fixed_dictionaries({}, optional=_OPTIONAL),
)


@st.composite
def _broken(draw: st.DrawFn) -> dict[str, Any]:
    """A sound body with something in it replaced, taken away or added."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(draw(SOUND)))
    places: list[tuple[Any, Any]] = [(body, draw(st.sampled_from(FIELDS)))]
    level: list[Any] = [body]
    while level:
        here = level.pop()
        for key in list(here) if isinstance(here, dict) else range(len(here)):
            places.append((here, key))
            if isinstance(here[key], (dict, list)):
                level.append(here[key])
    where, key = draw(st.sampled_from(places))
    if isinstance(where, dict) and draw(st.integers(0, 3)) == 0:
        where.pop(key, None)
    else:
        where[key] = draw(JUNK)
    return body


BODIES: st.SearchStrategy[bytes] = (
    SOUND.map(msgspec.json.encode)
    | SOUND.map(msgspec.json.encode)
    | SOUND.map(msgspec.json.encode)
    | _broken().map(msgspec.json.encode)
    | _broken().map(msgspec.json.encode)
    | st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=6).map(msgspec.json.encode)
    | st.binary(max_size=40)
)
