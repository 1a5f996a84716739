"""Anthropic's /v1/messages and /v1/messages/count_tokens bodies to core requests.

Extensions: `options` (Ollama's names) and `keep_alive`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from arriero.core.constraint import Constraint
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message
from arriero.protocols.anthropic.fields import bad, check_fields, read_sampling, text_field, unsupported
from arriero.protocols.anthropic.inside import strange_inside
from arriero.protocols.anthropic.messages import MessageReader
from arriero.protocols.anthropic.tools import read_tools
from arriero.protocols.body import read_fields
from arriero.protocols.call import Call, Find
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.unknown import Unknown
from arriero.protocols.whole_number import whole_number

_PROMPT = (
    *("model", "messages", "system", "tools", "tool_choice", "thinking"),
    *("output_config", "output_format", "context_management"),
)
HONOURED = (
    *(*_PROMPT, "max_tokens", "stop_sequences", "stream", "temperature", "top_p", "top_k"),
    *("options", "keep_alive", "output_format"),
)
"""Fields that are read. `output_format` is the older name of `output_config.format`."""
_THINKING = ("enabled", "adaptive", "disabled")
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}


class _Thinking(NamedTuple):
    """What was asked of thinking; `show` is whether the reply has its text."""

    think: bool | str | None = None
    budget: int | None = None
    show: bool = True
    ignored: tuple[str, ...] = ()


def decode_messages(body: bytes, find: Find, *, strip_headers: bool = True, unknown: Unknown = "refuse") -> Call:
    """Decode a /v1/messages body. Raises InvalidRequest and its kin (details: `param`), ModelNotFound.

    `strip_headers` leaves out the header lines that some clients write at the top of the system prompt; `unknown` says
    what happens to fields that nobody knows.
    """
    fields = _fields(body)
    strange = (*check_fields(fields, HONOURED, unknown), *strange_inside(fields, unknown))
    stream = fields.get("stream", False)
    if not isinstance(stream, bool):
        raise bad("stream", "must be a boolean")
    spec = find(_model(fields))
    read, stops = read_sampling(fields, spec)
    thinking = _thinking(fields, spec)
    if thinking.budget is not None and thinking.budget >= read.sampling.max_tokens:
        raise bad("max_tokens", "must be greater than thinking.budget_tokens")
    request, ignored = _prompt(fields, spec, thinking, strip_headers, unknown)
    request = msgspec.structs.replace(request, sampling=read.sampling, load=read.load, keep_alive=_keep_alive(fields))
    return Call(
        request=request,
        model=fields["model"],
        stream=stream,
        chat=True,
        ignored=(*strange, *ignored, *read.ignored),
        stop_sequences=stops,
        show_thinking=thinking.show,
    )


def decode_count(
    body: bytes, find: Find, *, strip_headers: bool = True, unknown: Unknown = "refuse"
) -> tuple[GenerateRequest, tuple[str, ...]]:
    """Decode a /v1/messages/count_tokens body: the request whose prompt counts, and the names not honoured.

    Fields that /v1/messages takes besides are checked there; here they change no count and are let pass.
    """
    fields = _fields(body)
    strange = (*check_fields(fields, HONOURED, unknown), *strange_inside(fields, unknown))
    spec = find(_model(fields))
    request, ignored = _prompt(fields, spec, _thinking(fields, spec), strip_headers, unknown)
    return request, (*strange, *ignored)


def _fields(body: bytes) -> dict[str, Any]:
    """The body's fields; null fields are absent."""
    return read_fields(body)


def _model(fields: dict[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise bad("model", "field required" if not model else "must be a string")
    return model


def _keep_alive(fields: dict[str, Any]) -> float | None:
    try:
        return read_keep_alive(fields.get("keep_alive"))
    except InvalidRequest as error:
        raise bad("keep_alive", error.message) from None


def _prompt(
    fields: dict[str, Any], spec: ModelSpec, thinking: _Thinking, strip_headers: bool, unknown: Unknown
) -> tuple[GenerateRequest, tuple[str, ...]]:
    """The part of a request that makes its prompt, and what in it was not honoured."""
    reader = MessageReader()
    messages = reader.read(fields.get("messages"))
    system = reader.system(fields.get("system"), strip_headers=strip_headers)
    if system is not None:
        messages = (Message(role="system", content=system), *messages)
    tools = read_tools(fields.get("tools", []), fields.get("tool_choice"), spec, fields["model"], unknown)
    continues = messages[-1].role == "assistant"
    if continues and messages[-1].tool_calls:
        raise bad("messages", "the last tool_use block has no tool_result")
    if continues and thinking.think:
        raise unsupported("messages", "the last turn must be the user's while thinking is enabled")
    request = GenerateRequest(
        model=spec.name,
        messages=messages,
        continue_last=continues,
        tools=tools.tools,
        parallel_tool_calls=tools.parallel,
        call_parts=tools.eager and fields.get("stream") is True,
        must_call=tools.must_call,
        callable_tools=tools.names,
        constraint=_format(fields),
        think=thinking.think,
        thinking_budget=thinking.budget,
    )
    return request, (*thinking.ignored, *reader.ignored, *tools.ignored)


def _thinking(fields: dict[str, Any], spec: ModelSpec) -> _Thinking:
    """Read `thinking` and `output_config`. Off unless asked for, as Anthropic has it."""
    able = "thinking" in spec.capabilities
    effort = _effort(fields)
    given = fields.get("thinking", {"type": "disabled"})
    if not isinstance(given, dict):
        raise bad("thinking", "must be an object")
    # What is to become of blocks whose signature is wrong: none is checked.
    ignored = ("thinking.block_binding",) if given.get("block_binding") else ()
    kind = text_field(given, "type", "thinking")
    if kind not in _THINKING:
        raise unsupported("thinking.type", f"must be one of {', '.join(_THINKING)}")
    display = given.get("display", "summarized")
    if display not in (None, "summarized", "omitted"):
        raise bad("thinking.display", "must be summarized or omitted")
    if kind != "enabled" and given.get("budget_tokens") is not None:
        raise bad("thinking.budget_tokens", "only goes with the type enabled")
    budget = _budget(given) if kind == "enabled" else None
    if kind == "enabled" and not able:
        raise UnsupportedFeature(f'thinking: "{fields["model"]}" does not support thinking', param="thinking")
    if kind == "disabled" or not able:  # adaptive leaves it to the model: one that cannot does not
        return _Thinking(False if able else None, ignored=(*ignored, "output_config.effort") if effort else ignored)
    return _Thinking(effort or True, budget, display != "omitted", ignored)


def _budget(given: dict[str, Any]) -> int:
    budget = whole_number(given.get("budget_tokens"))
    if budget is None:
        raise bad("thinking.budget_tokens", "field required")
    if isinstance(budget, bool) or not isinstance(budget, int) or not 1 <= budget < 2**31:
        raise bad("thinking.budget_tokens", "must be an integer of at least 1")
    return budget


def _format(fields: dict[str, Any]) -> Constraint | None:
    """The schema of the answer, in `output_config.format` or, as betas had it, in `output_format`."""
    config = fields.get("output_config")
    given = {"output_config.format": config.get("format") if isinstance(config, dict) else None}
    given["output_format"] = fields.get("output_format")
    if None not in given.values() and given["output_format"] != given["output_config.format"]:
        raise bad("output_format", "is the older name of output_config.format: send one of them")
    for param, value in given.items():
        if value is None or value == {"type": "text"}:
            continue
        if not isinstance(value, dict) or value.get("type") != "json_schema":
            raise bad(param, "must be an object of the type json_schema")
        if not isinstance(value.get("schema"), dict):
            raise bad(f"{param}.schema", "must be a JSON schema")
        return Constraint(kind="json_schema", schema=value["schema"], param=param)
    return None


def _effort(fields: dict[str, Any]) -> str | None:
    """Return core's level of thinking for `output_config`."""
    config = fields.get("output_config", {})
    if not isinstance(config, dict):
        raise bad("output_config", "must be an object")
    effort = config.get("effort")
    if effort is not None and (not isinstance(effort, str) or effort not in _EFFORTS):
        raise bad("output_config.effort", f"must be one of {', '.join(_EFFORTS)}")
    if config.get("task_budget") is not None:
        raise unsupported("output_config.task_budget", "no model here is told of a budget: use max_tokens")
    return None if effort is None else _EFFORTS[effort]
