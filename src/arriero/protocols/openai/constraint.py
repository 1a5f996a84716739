"""What an OpenAI request says of the answer's form: response_format, vLLM's extras, and tool_choice.

Extras as vLLM names them: guided_json, guided_regex, guided_choice, guided_grammar, and `structured_outputs`, an object
with one of json, regex, choice, grammar, json_object. At most one of all these may be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from arriero.core.constraint import Constraint
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import ToolSpec
from arriero.protocols.nearest import did_you_mean

_OUTPUTS = ("json", "regex", "choice", "grammar", "json_object")


def read_constraint(fields: Mapping[str, Any]) -> Constraint | None:
    """Return what the answer must be, None where nothing is asked; InvalidRequest and its kin name the field.

    Whether a schema or grammar can be held is known where the vocabulary is: the worker refuses it before the answer.
    """
    found = [(name, read(fields[name], name)) for name, read in _READERS.items() if fields.get(name) is not None]
    asked = [(name, constraint) for name, constraint in found if constraint is not None]
    if len(asked) > 1:
        names = " and ".join(f"'{name}'" for name, _ in asked)
        raise InvalidRequest(f"{names} exclude each other", param=asked[1][0])
    return asked[0][1] if asked else None


def _response_format(value: Any, param: str) -> Constraint | None:
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{param}' must be an object", param=param)
    kind = value.get("type")
    if kind == "text":
        return None
    if kind == "json_object" and value.get("schema") is not None:  # as llama-server and others have it
        if not isinstance(value["schema"], (dict, bool)):
            raise InvalidRequest(f"'{param}.schema' must be a JSON schema", param=f"{param}.schema")
        return Constraint(kind="json_schema", schema=value["schema"], param=param)
    if kind == "json_object":
        return Constraint(kind="json_object", param=param)
    if kind == "json_schema":
        wrapper = value.get("json_schema")
        if not isinstance(wrapper, dict) or not isinstance(wrapper.get("schema"), (dict, bool)):
            raise InvalidRequest(f"'{param}.json_schema.schema' must be a JSON schema", param=f"{param}.json_schema")
        if not isinstance(wrapper.get("strict"), bool | None):  # an answer is held to its schema either way
            text = f"'{param}.json_schema.strict' must be true or false"
            raise InvalidRequest(text, param=f"{param}.json_schema.strict")
        return Constraint(kind="json_schema", schema=wrapper["schema"], param=param)
    shown = kind[:64] if isinstance(kind, str) else kind
    raise UnsupportedFeature(f"'{param}.type' must be text, json_object or json_schema, not {shown!r}", param=param)


def _json(value: Any, param: str) -> Constraint:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidRequest(f"'{param}' is not JSON: {error}", param=param) from None
    if not isinstance(value, (dict, bool)):
        raise InvalidRequest(f"'{param}' must be a JSON schema", param=param)
    return Constraint(kind="json_schema", schema=value, param=param)


def _regex(value: Any, param: str) -> Constraint:
    return Constraint(kind="regex", source=_text(value, param), param=param)


def _grammar(value: Any, param: str) -> Constraint:
    return Constraint(kind="grammar", source=_text(value, param), param=param)


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"'{param}' must be a text", param=param)
    return value


def _choice(value: Any, param: str) -> Constraint:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise InvalidRequest(f"'{param}' must be a list of texts", param=param)
    return Constraint(kind="choice", choices=tuple(value), param=param)


def _json_object(value: Any, param: str) -> Constraint | None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{param}' must be true or false", param=param)
    return Constraint(kind="json_object", param=param) if value else None


def _outputs(value: Any, param: str) -> Constraint | None:
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{param}' must be an object", param=param)
    asked = {name: one for name, one in value.items() if one is not None and one is not False}
    for name in asked:
        if name not in _OUTPUTS:
            hint = did_you_mean(name, _OUTPUTS)
            raise UnsupportedFeature(f"'{param}.{name}' is not supported{hint}", param=f"{param}.{name}")
    if len(asked) > 1:
        raise InvalidRequest(f"{' and '.join(asked)} exclude each other", param=param)
    readers = {"json": _json, "regex": _regex, "choice": _choice, "grammar": _grammar, "json_object": _json_object}
    return next((readers[name](one, f"{param}.{name}") for name, one in asked.items()), None)


_READERS = {
    "response_format": _response_format,
    "guided_json": _json,
    "guided_regex": _regex,
    "guided_choice": _choice,
    "guided_grammar": _grammar,
    "structured_outputs": _outputs,
}


class ToolUse(NamedTuple):
    """Whether the model is told of the tools at all, whether it must call one, and which; None for any."""

    told: bool = True
    must_call: bool = False
    names: tuple[str, ...] | None = None


def read_tool_choice(value: Any, tools: Sequence[ToolSpec]) -> ToolUse:
    """Return what `tool_choice` says: none, auto, required, a named function, or allowed_tools."""
    if value == "none":
        return ToolUse(told=False)
    if value == "auto":
        return ToolUse()
    known = [tool.name for tool in tools]
    if value == "required":
        use = ToolUse(must_call=True)
    elif isinstance(value, dict) and value.get("type") == "function":
        use = ToolUse(must_call=True, names=(_name(value, known),))
    elif isinstance(value, dict) and value.get("type") == "allowed_tools":
        use = _allowed(value.get("allowed_tools", value), known)
    else:
        text = "'tool_choice' must be none, auto, required, a function or allowed_tools"
        raise InvalidRequest(text, param="tool_choice")
    if not tools:
        raise InvalidRequest("'tool_choice' needs 'tools'", param="tool_choice")
    return use


def _allowed(value: Any, known: Sequence[str]) -> ToolUse:
    mode = value.get("mode", "auto") if isinstance(value, Mapping) else None
    listed = value.get("tools") if isinstance(value, Mapping) else None
    if mode not in ("auto", "required") or not isinstance(listed, list) or not listed:
        text = "'allowed_tools' needs a mode, auto or required, and a list of tools"
        raise InvalidRequest(text, param="tool_choice.allowed_tools")
    return ToolUse(must_call=mode == "required", names=tuple(_name(one, known) for one in listed))


def _name(value: Any, known: Sequence[str]) -> str:
    function = value.get("function", value) if isinstance(value, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or name not in known:
        shown = f"'{name[:64]}'" if isinstance(name, str) else "it"
        raise InvalidRequest(f"'tool_choice' names no tool of the request: {shown}", param="tool_choice")
    return name
