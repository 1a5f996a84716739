"""OpenAI's /v1/chat/completions and /v1/completions bodies to core requests, with arriero's extensions.

Extensions: top_k, min_p, typical_p, repeat_penalty (repetition_penalty), ignore_eos, min_tokens, keep_alive, options.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, LoadOptions, SamplingParams, ToolSpec
from arriero.protocols.body import decode_object
from arriero.protocols.call import Call, Find
from arriero.protocols.ollama_request import read_keep_alive, read_think
from arriero.protocols.openai_fields import check_fields, read_sampling
from arriero.protocols.openai_messages import read_messages

_DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
_COMPLETION_DEFAULTS = _DEFAULTS | {"num_predict": 16}  # as OpenAI has it
_EFFORTS = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}


class _StreamOptions(msgspec.Struct, kw_only=True):
    include_usage: bool = False
    include_obfuscation: bool = False  # padding against traffic analysis: never sent here


class _Reasoning(msgspec.Struct, kw_only=True):
    effort: str | None = None
    summary: Any = None


class _Shared(msgspec.Struct, kw_only=True):
    """Fields that both routes have; sampling goes through openai_fields."""

    model: str = ""
    stream: bool = False
    stream_options: _StreamOptions = msgspec.field(default_factory=_StreamOptions)
    ignore_eos: bool = False
    min_tokens: int = 0
    keep_alive: Any = None
    options: Any = None


class _Function(msgspec.Struct, kw_only=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, kw_only=True):
    type: str = "function"
    function: _Function | None = None


class _Chat(_Shared, kw_only=True):
    """The body of /v1/chat/completions."""

    messages: list[dict[str, Any]] = []
    tools: list[_Tool] = []
    tool_choice: Any = "auto"
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    reasoning_effort: str | None = None
    reasoning: _Reasoning = msgspec.field(default_factory=_Reasoning)


class _Completion(_Shared, kw_only=True):
    """The body of /v1/completions."""

    prompt: Any = None
    logprobs: int | None = None


def decode_chat(body: bytes, find: Find) -> Call:
    """Decode a /v1/chat/completions body. Raises InvalidRequest and its kin (details: `param`), ModelNotFound."""
    fields, wire, spec = _read(body, _Chat, find)
    if not wire.messages:
        raise InvalidRequest("[] is too short - 'messages'", param="messages")
    if not 0 <= wire.top_logprobs <= 20:
        raise InvalidRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    if wire.top_logprobs and not wire.logprobs:
        raise InvalidRequest("'top_logprobs' needs 'logprobs': true", param="top_logprobs")
    messages, ignored = read_messages(wire.messages)
    if any(tool.function is not None and tool.function.strict for tool in wire.tools):
        ignored += ("tools.strict",)  # nothing holds a call to its schema while it is drawn
    sampling, load, ignored_options = _sampling(
        fields, _DEFAULTS, wire, spec, wire.top_logprobs if wire.logprobs else None
    )
    request = GenerateRequest(
        model=spec.name,
        messages=messages,
        tools=_tools(wire, spec),
        think=_think(wire, spec),
        sampling=sampling,
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
    )
    return _call(request, wire, chat=True, ignored=(*ignored, *ignored_options))


def decode_completion(body: bytes, find: Find) -> Call:
    """Decode a /v1/completions body: the prompt goes to the tokenizer as it is, or is token ids already."""
    fields, wire, spec = _read(body, _Completion, find)
    if wire.logprobs is not None and not 0 <= wire.logprobs <= 20:
        raise InvalidRequest("logprobs must be between 0 and 20", param="logprobs")
    prompt = _one_prompt(wire.prompt)
    sampling, load, ignored = _sampling(fields, _COMPLETION_DEFAULTS, wire, spec, wire.logprobs)
    request = GenerateRequest(
        model=spec.name,
        prompt=prompt if isinstance(prompt, str) else None,
        prompt_tokens=None if isinstance(prompt, str) else prompt,
        raw=True,
        sampling=sampling,
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
    )
    return _call(request, wire, chat=False, ignored=ignored)


_T = TypeVar("_T", bound=_Shared)


def _read(body: bytes, kind: type[_T], find: Find) -> tuple[dict[str, Any], _T, ModelSpec]:
    """Decode and check what both routes share; null fields are absent."""
    fields = {name: value for name, value in decode_object(body).items() if value is not None}
    check_fields(fields, kind.__struct_encode_fields__)
    wire = _convert(fields, kind)
    if not wire.model:
        raise InvalidRequest("model is required", param="model")
    return fields, wire, find(wire.model)


def _convert(fields: dict[str, Any], kind: type[_T]) -> _T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        # The path reads `$.messages[0].role`; OpenAI's `param` is the same without the root.
        text, _, path = str(error).partition(" - at `$.")
        param = path.rstrip("`") or None
        raise InvalidRequest(f"invalid type for '{param}': {text}" if param else text, param=param) from None


def _call(request: GenerateRequest, wire: _Shared, *, chat: bool, ignored: tuple[str, ...]) -> Call:
    return Call(
        request=request,
        model=wire.model,
        stream=wire.stream,
        chat=chat,
        include_usage=wire.stream_options.include_usage,
        ignored=ignored,
    )


def _sampling(
    fields: dict[str, Any], defaults: dict[str, float], wire: _Shared, spec: ModelSpec, logprobs: int | None
) -> tuple[SamplingParams, LoadOptions, tuple[str, ...]]:
    if wire.min_tokens < 0 or wire.min_tokens >= 2**31:
        raise InvalidRequest("'min_tokens' must be at least 0", param="min_tokens")
    read = read_sampling(fields, defaults, spec.options)
    sampling = msgspec.structs.replace(
        read.sampling, ignore_eos=wire.ignore_eos, min_tokens=wire.min_tokens, logprobs=logprobs
    )
    if 0 <= sampling.max_tokens < sampling.min_tokens:
        raise InvalidRequest("'min_tokens' must not be above the number of tokens asked for", param="min_tokens")
    return sampling, read.load, read.ignored


def _tools(wire: _Chat, spec: ModelSpec) -> tuple[ToolSpec, ...]:
    if wire.tool_choice not in ("auto", "none"):
        raise UnsupportedFeature('\'tool_choice\' must be "auto" or "none" in this version', param="tool_choice")
    if wire.tools and not wire.parallel_tool_calls:
        raise UnsupportedFeature("'parallel_tool_calls' cannot be false in this version", param="parallel_tool_calls")
    tools: list[ToolSpec] = []
    for index, tool in enumerate(wire.tools):
        if tool.type != "function" or tool.function is None:
            raise UnsupportedFeature("only tools of type function are supported", param=f"tools[{index}]")
        function = tool.function
        tools.append(
            ToolSpec(name=function.name, description=function.description or "", parameters=function.parameters or {})
        )
    if wire.tool_choice == "none":
        return ()
    if tools and "tools" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support tools', param="tools")
    return tuple(tools)


def _think(wire: _Chat, spec: ModelSpec) -> bool | str | None:
    effort = wire.reasoning_effort or wire.reasoning.effort
    think = read_think(_EFFORTS.get(effort, effort)) if effort else None
    if think and "thinking" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support thinking', param="reasoning_effort")
    return think


def _one_prompt(prompt: Any) -> str | tuple[int, ...]:
    """Return the text or the token ids of the single prompt in OpenAI's four spellings."""
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if prompt is None or prompt == []:
        raise InvalidRequest("prompt is required", param="prompt")
    if isinstance(prompt, list) and all(isinstance(item, (str, list)) for item in prompt):
        raise UnsupportedFeature("only one prompt a request is supported in this version", param="prompt")
    if not isinstance(prompt, list) or not all(type(item) is int and 0 <= item < 2**31 for item in prompt):
        raise InvalidRequest("prompt must be a string or a list of token ids", param="prompt")
    return tuple(prompt)
