"""Fields inside the objects of an OpenAI request: what nobody knows is told as at the top, never let pass in silence.

What says how to answer (tools, formats, options of streams) is refused, or warned of. In what was said before, which
may be another server's reply sent back, it is named as ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.protocols.unknown import Unknown, unknown_in_objects, unknown_inside

_OBJECTS: Mapping[str, Collection[str]] = {
    "stream_options": ("include_usage", "include_obfuscation"),
    "reasoning": ("effort", "summary", "generate_summary", "context", "mode"),
    "prediction": ("type", "content"),
    "tool_choice": ("type", "function", "name", "allowed_tools", "mode", "tools"),
}
_FORMATS: Mapping[str, Collection[str]] = {
    "text": ("type",),
    "json_object": ("type", "schema"),
    "json_schema": ("type", "json_schema"),
}
_SCHEMA = ("name", "description", "schema", "strict")
_TOOL = ("type", "function", "custom", "cache_control")
_FUNCTION = ("name", "description", "parameters", "strict", "cache_control")
# Fields of Responses' functions that ask for what is not there, with the values that ask for nothing.
_NEUTRAL: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "allowed_callers": ((["direct"],), "only the model itself calls tools"),
    "async": ((False,), "a call's result comes with the next request"),
    "defer_loading": ((False,), "there is no tool search: send the tools that count"),
    "output_schema": ((), "describe a tool's results in its description"),
}
_REASONING: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "context": (("auto",), "the model's template says what it reads of earlier reasoning"),
    "mode": (("standard",), "no model here has another"),
}


def check_inside(fields: Mapping[str, Any], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """Return the names of unknown fields inside a chat's objects where those are only to be warned of.

    InvalidRequest names the first where they are refused; UnsupportedFeature what is known and not here. What is of a
    wrong type is for its reader.
    """
    strange = [*unknown_in_objects(fields, _OBJECTS, unknown)]
    form = fields.get("response_format")
    if isinstance(form, dict) and isinstance(form.get("type"), str) and form["type"] in _FORMATS:
        strange += unknown_inside(form, "response_format", _FORMATS[form["type"]], unknown)
        strange += unknown_inside(form.get("json_schema"), "response_format.json_schema", _SCHEMA, unknown)
    tools = fields.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        strange += _tool(tool, f"tools[{index}]", unknown)
    check_reasoning(fields.get("reasoning"))
    check_cache_options(fields.get("prompt_cache_options"))
    return tuple(dict.fromkeys(strange))


def check_reasoning(value: Any) -> None:
    """UnsupportedFeature for a way of reasoning that no model here has."""
    _check_neutral(value, "reasoning", _REASONING)


def check_cache_options(value: Any) -> None:
    """UnsupportedFeature for the one option of the prompt cache that changes the answer: to give none."""
    if isinstance(value, dict) and value.get("prewarm") not in (None, False):
        text = "'prompt_cache_options.prewarm' is not supported: ask for one token"
        raise UnsupportedFeature(text, param="prompt_cache_options.prewarm")


def check_function(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return a function of the Responses API without the fields that say nothing here; UnsupportedFeature."""
    _check_neutral(tool, at, _NEUTRAL)
    return {name: value for name, value in tool.items() if name != "type" and name not in _NEUTRAL}


def check_one_value(fields: Mapping[str, Any], *names: str) -> None:
    """InvalidRequest where two names of one thing have different values."""
    given = [name for name in names if name in fields]
    for other in given[1:]:
        if fields[other] != fields[given[0]]:
            text = f"'{given[0]}' and '{other}' mean the same and differ: send one of them"
            raise InvalidRequest(text, param=other)


def _tool(tool: Any, at: str, unknown: Unknown) -> tuple[str, ...]:
    strange = unknown_inside(tool, at, _TOOL, unknown)
    if not isinstance(tool, dict):
        return strange
    return strange + unknown_inside(tool.get("function"), f"{at}.function", _FUNCTION, unknown)


def _check_neutral(value: Any, at: str, table: Mapping[str, tuple[tuple[Any, ...], str]]) -> None:
    for name, (neutral, why) in table.items():
        given = value.get(name) if isinstance(value, Mapping) else None
        if given is not None and not any(type(given) is type(one) and given == one for one in neutral):
            raise UnsupportedFeature(f"'{at}.{name}' is not supported: {why}", param=f"{at}.{name}")
