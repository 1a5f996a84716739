"""OpenAI's /v1/responses bodies to a draft, which earlier items make a call: they are known only to the store.

What both APIs have is read by the chat's own decoder, under its names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import Message
from arriero.protocols.body import read_fields
from arriero.protocols.call import Call, Find
from arriero.protocols.metadata import read_metadata
from arriero.protocols.openai.fields import HARMLESS, OPTION_NAMES
from arriero.protocols.openai.inside import check_function
from arriero.protocols.openai.request import EXTENSIONS, chat_call
from arriero.protocols.responses.inside import check_inside, strange_in_items
from arriero.protocols.responses.items import read_items
from arriero.protocols.unknown import Unknown, unknown_fields
from arriero.protocols.whole_number import whole_number

# Fields that are the chat's, under its name for them.
_CHAT = {
    "max_output_tokens": "max_completion_tokens",
    **{name: name for name in ("model", "parallel_tool_calls", "service_tier", "stream", "temperature", "top_p")},
    **{name: name for name in EXTENSIONS},
    **{name: name for name in OPTION_NAMES if name not in ("max_tokens", "max_completion_tokens")},
}
_OWN_NAMES = {
    "max_completion_tokens": "max_output_tokens",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
_IN_TOOL = re.compile(r"(tools\[\d+\])\.function\b")  # a chat's functions stand one level deeper
_OWN = frozenset(
    [
        *(
            "conversation",
            "include",
            "input",
            "instructions",
            "max_tool_calls",
            "metadata",
            "previous_response_id",
            "reasoning",
        ),
        *("store", "stream_options", "text", "tool_choice", "tools", "top_logprobs", "truncation"),
    ]
)
FIELDS = frozenset([*_CHAT, *_OWN])
CLIENTS_OWN = frozenset(["client_metadata"])
"""What no package sends but a client does, and what says nothing of the answer: Codex's marks of its sessions."""
ACCEPTED = frozenset([*HARMLESS, *CLIENTS_OWN, "access_programs", "image"]) - _OWN
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "background": ((False,), "an answer is made while its request waits"),
    "context_management": (([],), "nothing compacts a context"),
    "moderation": ((), "there is no moderation model"),
    "personality": ((), "no model here has such presets; say it in 'instructions'"),
    "prompt": ((), "there are no stored prompts"),
}
_NUMBERS = ("max_output_tokens", "max_tool_calls", "top_logprobs")
_LOGPROBS = "message.output_text.logprobs"
# What else may be included; of tools that are not here there is never anything to tell.
_INCLUDED = frozenset(
    [
        *(_LOGPROBS, "reasoning.encrypted_content", "code_interpreter_call.outputs", "file_search_call.results"),
        *("computer_call_output.output.image_url", "message.input_image.image_url"),
        *("web_search_call.results", "web_search_call.action.sources"),
    ]
)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded request, but for what came before it.

    `input` are its own items. `echo` is what the response object repeats of the request. `store`: whether the response
    is to be kept; `previous` names the one that it goes on from, `conversation` the conversation, and not both do.
    """

    chat: dict[str, Any]
    input: tuple[dict[str, Any], ...]
    instructions: str
    echo: dict[str, Any]
    previous: str | None
    conversation: str | None
    store: bool
    truncate: bool
    ignored: tuple[str, ...]

    def call(self, earlier: Sequence[dict[str, Any]], find: Find) -> Call:
        """Return the call that goes on behind the `earlier` items; raises what the chat's decoder raises."""
        messages = read_items([*earlier, *self.input], len(earlier))
        if self.instructions:
            messages = (Message(role="system", content=self.instructions), *messages)
        if not messages:
            raise InvalidRequest("'input' must not be empty", param="input")
        try:
            call = chat_call(self.chat, find, messages, self.ignored)
        except InvalidRequest as error:
            raise type(error)(_own_words(error.message), **{**error.details, "param": _own_name(error)}) from None
        # An item that a client was told of cannot be taken back, and half a call may turn out to be text.
        request = msgspec.structs.replace(call.request, truncate=self.truncate, call_parts=False)
        if request.constraint is not None and request.constraint.param == "response_format":
            constraint = msgspec.structs.replace(request.constraint, param="text.format")
            request = msgspec.structs.replace(request, constraint=constraint)
        return msgspec.structs.replace(call, request=request, prompt_field="input")


def decode_response(body: bytes, unknown: Unknown = "refuse") -> Draft:
    """Decode a /v1/responses body. Raises InvalidRequest and its kin (details: `param`)."""
    fields = read_fields(body)
    fields |= {name: whole_number(fields[name]) for name in _NUMBERS if name in fields}
    strange = _check(fields, unknown)
    text = _object(fields, "text")
    chat = {_CHAT[name]: value for name, value in fields.items() if name in _CHAT}
    if "reasoning" in fields:
        chat["reasoning"] = {"effort": _object(fields, "reasoning").get("effort")}
    if text.get("format") is not None:
        chat["response_format"] = _format(text["format"])
    chat["tools"] = [_tool(tool, index) for index, tool in enumerate(_list(fields, "tools"))]
    chat["tool_choice"] = fields.get("tool_choice", "auto")
    chat |= _logprobs(fields)
    truncation = fields.get("truncation", "disabled")
    if truncation not in ("auto", "disabled"):
        raise InvalidRequest("'truncation' must be auto or disabled", param="truncation")
    previous = fields.get("previous_response_id")
    if previous is not None and not isinstance(previous, str):
        raise InvalidRequest("'previous_response_id' must be a text", param="previous_response_id")
    conversation = _conversation(fields.get("conversation"))
    if conversation is not None and previous is not None:
        both = "'conversation' and 'previous_response_id' cannot be used together"
        raise InvalidRequest(both, param="conversation")
    store = fields.get("store", True)
    if not isinstance(store, bool):
        raise InvalidRequest("'store' must be true or false", param="store")
    items = _input(fields.get("input", []))
    return Draft(
        chat=chat,
        input=items,
        instructions=_instructions(fields.get("instructions", "")),
        echo=_echo(fields, text),
        previous=previous,
        conversation=conversation,
        store=store,
        truncate=truncation == "auto",
        ignored=(*strange, *strange_in_items(items)),
    )


def _check(fields: Mapping[str, Any], unknown: Unknown) -> tuple[str, ...]:
    strange = unknown_fields(fields, {*FIELDS, *ACCEPTED, *REFUSED}, unknown) + check_inside(fields, unknown)
    for name, value in fields.items():
        if name in REFUSED:
            neutral, why = REFUSED[name]
            if not any(value is one or (value == one and not isinstance(value, int)) for one in neutral):
                raise UnsupportedFeature(f"'{name}' is not supported: {why}", param=name)
    verbosity = _object(fields, "text").get("verbosity")
    if verbosity not in (None, "medium"):
        raise UnsupportedFeature("'text.verbosity' is not supported: no model here knows it", param="text.verbosity")
    return strange


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{name}' must be an object", param=name)
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise InvalidRequest(f"'{name}' must be a list", param=name)
    return value


def _input(value: Any) -> tuple[dict[str, Any], ...]:
    if isinstance(value, str):
        return ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]},)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest("'input' must be a text or a list of items", param="input")
    return tuple(value)


def _conversation(value: Any) -> str | None:
    """The id of the conversation: a text, or an object that has it."""
    named = value.get("id") if isinstance(value, dict) else value
    if value is not None and not (isinstance(named, str) and named):
        raise InvalidRequest("'conversation' must be an id, or an object with one", param="conversation")
    return named


def _max_tool_calls(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidRequest("'max_tool_calls' must be an integer of at least 1", param="max_tool_calls")
    return value


def _instructions(value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedFeature("'instructions' must be a text", param="instructions")
    return value


def _tool(tool: Any, index: int) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise InvalidRequest("a tool must be an object with a type", param=f"tools[{index}]")
    if kind != "function":
        text = f"tools of type '{kind[:64]}' are not supported, only functions: switch it off in the client"
        raise UnsupportedFeature(text, param=f"tools[{index}].type")
    return {"type": "function", "function": check_function(tool, f"tools[{index}]")}


def _format(value: Any) -> Any:
    """The chat's `response_format`: there the schema stands one level deeper."""
    if isinstance(value, dict) and value.get("type") == "json_schema":
        inside = {name: item for name, item in value.items() if name != "type"}
        return {"type": "json_schema", "json_schema": inside}
    return value


def _logprobs(fields: Mapping[str, Any]) -> dict[str, Any]:
    included = _list(fields, "include")
    for one in included:
        if not isinstance(one, str) or one not in _INCLUDED:
            raise UnsupportedFeature(f"'include' knows only {' and '.join(sorted(_INCLUDED))}", param="include")
    if _LOGPROBS in included:
        return {"logprobs": True, "top_logprobs": fields.get("top_logprobs", 0)}
    if fields.get("top_logprobs", 0) != 0:
        raise InvalidRequest(f"'top_logprobs' needs '{_LOGPROBS}' in 'include'", param="top_logprobs")
    return {}


def _own_name(error: InvalidRequest) -> Any:
    """The field that the client wrote, for the chat's name of it."""
    param = error.details.get("param")
    if not isinstance(param, str):
        return param
    names = {**_OWN_NAMES, "logprobs": "include"}
    param = _IN_TOOL.sub(r"\1", param)
    return next((own + param[len(chat) :] for chat, own in names.items() if param.startswith(chat)), param)


def _own_words(message: str) -> str:
    """An error's text with the names that the client wrote."""
    message = _IN_TOOL.sub(r"\1", message)
    for chat, own in _OWN_NAMES.items():
        message = message.replace(f"'{chat}", f"'{own}")
    return message


def _echo(fields: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """What the response object repeats, with defaults where the request is silent."""
    reasoning = _object(fields, "reasoning")
    conversation = _conversation(fields.get("conversation"))
    return {
        **({} if conversation is None else {"conversation": {"id": conversation}}),
        "instructions": fields.get("instructions"),
        "max_output_tokens": fields.get("max_output_tokens"),
        "max_tool_calls": _max_tool_calls(fields.get("max_tool_calls")),
        "metadata": read_metadata(fields.get("metadata", {})),
        "parallel_tool_calls": fields.get("parallel_tool_calls", True),
        "previous_response_id": fields.get("previous_response_id"),
        "prompt_cache_key": fields.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": fields.get("safety_identifier"),
        "temperature": fields.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": "medium"},
        "tool_choice": fields.get("tool_choice", "auto"),
        "tools": [{"description": None, "parameters": None, "strict": None, **tool} for tool in _list(fields, "tools")],
        "top_logprobs": fields.get("top_logprobs", 0),
        "top_p": fields.get("top_p", 1.0),
        "truncation": fields.get("truncation", "disabled"),
        "user": fields.get("user"),
    }
