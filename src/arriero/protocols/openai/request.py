"""OpenAI's /v1/chat/completions and /v1/completions bodies to core requests, with arriero's extensions.

Extensions: top_k, min_p, typical_p, repeat_penalty (repetition_penalty), ignore_eos, min_tokens, stop_token_ids,
chat_template_kwargs, cache_prompt, keep_alive, lora, options, and vLLM's guided_* and structured_outputs.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import Beams, Choices, GenerateRequest, LoadOptions, Message, SamplingParams, ToolSpec
from arriero.core.version import __version__
from arriero.protocols.body import read_fields
from arriero.protocols.call import Call, Find
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.openai.beams import read_beams
from arriero.protocols.openai.body import convert
from arriero.protocols.openai.constraint import read_constraint, read_tool_choice
from arriero.protocols.openai.fields import check_fields, read_bias, read_sampling, read_tier, read_token_ids
from arriero.protocols.openai.inside import check_inside, check_one_value
from arriero.protocols.openai.lora import read_lora
from arriero.protocols.openai.messages import read_messages
from arriero.protocols.openai.prediction import read_prediction
from arriero.protocols.tool_schema import NO_OBJECT, is_for_objects
from arriero.protocols.unknown import Unknown

_DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
_COMPLETION_DEFAULTS = _DEFAULTS | {"num_predict": 16}  # as OpenAI has it
MAX_CHOICES = 128
MAX_LISTED = 1_000_000
"""Token ids in biases and stops of all answers together: each answer has its own, of a hundred bytes an id."""
_EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
_LEVELS = (None, False, "low", "medium", "high", "max")


class _StreamOptions(msgspec.Struct, kw_only=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # padding against traffic analysis: never sent here


class _Reasoning(msgspec.Struct, kw_only=True):
    effort: str | None = None
    summary: Any = None


class _Shared(msgspec.Struct, kw_only=True):
    """Fields that both routes have; sampling goes through openai_fields."""

    model: str = ""
    stream: bool = False
    stream_options: _StreamOptions = msgspec.field(default_factory=_StreamOptions)
    n: int = 1
    logit_bias: dict[str, float] = {}
    service_tier: str | None = None
    response_format: Any = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None
    structured_outputs: Any = None
    ignore_eos: bool = False
    min_tokens: int = 0
    stop_token_ids: list[int] = []
    cache_prompt: bool = True
    prediction: Any = None
    lora: Any = None
    keep_alive: Any = None
    options: Any = None
    use_beam_search: bool = False
    length_penalty: float = 1.0


class _Function(msgspec.Struct, kw_only=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, kw_only=True):
    type: str | None = None
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
    chat_template_kwargs: dict[str, Any] = {}


class _Completion(_Shared, kw_only=True):
    """The body of /v1/completions."""

    prompt: Any = None
    suffix: str = ""
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = None


EXTENSIONS = (
    *("cache_prompt", "chat_template_kwargs", "ignore_eos", "keep_alive", "min_tokens", "options", "stop_token_ids"),
)
"""Fields of arriero's own that every route with a chat template has, beside the options of sampling."""


def decode_chat(body: bytes, find: Find, unknown: Unknown = "refuse") -> Call:
    """Decode a /v1/chat/completions body. Raises InvalidRequest and its kin (details: `param`), ModelNotFound."""
    fields, wire, spec, strange = _read(body, _Chat, find, unknown)
    if not wire.messages:
        raise InvalidRequest("[] is too short - 'messages'", param="messages")
    messages, ignored = read_messages(wire.messages)
    return _chat(fields, wire, spec, messages, (*strange, *ignored))


def chat_call(fields: dict[str, Any], find: Find, messages: tuple[Message, ...], ignored: tuple[str, ...]) -> Call:
    """Return the call of a request whose `fields`, all known, are the chat's, and whose messages are read already."""
    wire, spec = _known(fields, _Chat, find)
    return _chat(fields, wire, spec, messages, ignored)


def _chat(
    fields: dict[str, Any], wire: _Chat, spec: ModelSpec, messages: tuple[Message, ...], ignored: tuple[str, ...]
) -> Call:
    if not 0 <= wire.top_logprobs <= 20:
        raise InvalidRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    if wire.top_logprobs and not wire.logprobs:
        raise InvalidRequest("'top_logprobs' needs 'logprobs': true", param="top_logprobs")
    logprobs = wire.top_logprobs if wire.logprobs else None
    sampling, load, ignored_options = _sampling(fields, _DEFAULTS, wire, spec, logprobs)
    tools = _tools(wire, spec)
    use = read_tool_choice(wire.tool_choice, tools)
    request = GenerateRequest(
        model=spec.name,
        messages=messages,
        tools=tools if use.told else (),
        must_call=use.must_call,
        callable_tools=use.names,
        constraint=read_constraint(fields),
        think=_think(wire, spec),
        sampling=sampling,
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
        template_kwargs=_template_kwargs(wire, spec),
        parallel_tool_calls=wire.parallel_tool_calls,
        cache_prompt=wire.cache_prompt,
        adapter_scales=read_lora(wire.lora, spec),
        prediction=read_prediction(wire.prediction),
        priority=read_tier(wire.service_tier)[0],
        call_parts=wire.stream and bool(tools),
        beams=_beams(fields, wire, wire.n),
    )
    choices = Choices(requests=(request,), n=wire.n, best_of=wire.n) if wire.n > 1 else None
    return _call(request, choices, wire, spec, chat=True, ignored=(*ignored, *ignored_options))


def decode_completion(body: bytes, find: Find, unknown: Unknown = "refuse") -> Call:
    """Decode a /v1/completions body: prompts go to the tokenizer as they are, or are token ids already.

    With a suffix, the model's template for filling in is used.
    """
    fields, wire, spec, strange = _read(body, _Completion, find, unknown)
    if wire.logprobs is not None and not 0 <= wire.logprobs <= 20:
        raise InvalidRequest("logprobs must be between 0 and 20", param="logprobs")
    scored = wire.echo and wire.logprobs is not None
    if scored and wire.suffix:
        raise UnsupportedFeature(
            "'echo' with 'logprobs' and 'suffix': what is echoed is not what is scored", param="echo"
        )
    least = 0 if wire.echo else 1
    sampling, load, ignored = _sampling(fields, _COMPLETION_DEFAULTS, wire, spec, wire.logprobs, least)
    base = GenerateRequest(
        model=spec.name,
        suffix=wire.suffix or None,
        raw=not wire.suffix,
        sampling=sampling,
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
        cache_prompt=wire.cache_prompt,
        adapter_scales=read_lora(wire.lora, spec),
        prediction=read_prediction(wire.prediction),
        constraint=read_constraint(fields),
        echo=wire.echo,
        prompt_logprobs=scored,
        priority=read_tier(wire.service_tier)[0],
        beams=_beams(fields, wire, wire.n if wire.best_of is None else wire.best_of),
    )
    requests = [_with_prompt(base, prompt) for prompt in _prompts(wire.prompt)]
    choices = _choices(wire, tuple(requests))
    return _call(requests[0], choices, wire, spec, chat=False, ignored=(*strange, *ignored))


def _beams(fields: dict[str, Any], wire: _Shared, width: int) -> Beams | None:
    return read_beams(fields, asked=wire.use_beam_search, width=width, length_penalty=wire.length_penalty)


def _choices(wire: _Completion, requests: tuple[GenerateRequest, ...]) -> Choices | None:
    best_of = wire.n if wire.best_of is None else wire.best_of
    if best_of < wire.n:
        raise InvalidRequest("'best_of' must not be less than 'n'", param="best_of")
    if best_of > wire.n and wire.stream:
        raise InvalidRequest("'best_of' above 'n' cannot be streamed", param="best_of")
    if best_of * len(requests) > MAX_CHOICES:
        name = "prompt" if len(requests) > 1 else "best_of"
        raise InvalidRequest(f"at most {MAX_CHOICES} answers can be asked for in one request", param=name)
    best_of = wire.n if wire.use_beam_search else best_of  # the width of one search, not answers to choose from
    if best_of == len(requests) == 1:
        return None
    return Choices(requests=requests, n=wire.n, best_of=best_of)


_T = TypeVar("_T", bound=_Shared)


def _read(
    body: bytes, kind: type[_T], find: Find, unknown: Unknown
) -> tuple[dict[str, Any], _T, ModelSpec, tuple[str, ...]]:
    """Decode and check what both routes share; null fields are absent. Last come unknown fields that are ignored."""
    fields = read_fields(body)
    strange = check_fields(fields, kind.__struct_encode_fields__, unknown)
    strange += check_inside(fields, unknown)
    check_one_value(fields, "max_completion_tokens", "max_tokens")
    check_one_value(fields, "repeat_penalty", "repetition_penalty")
    wire, spec = _known(fields, kind, find)
    return fields, wire, spec, strange


def _known(fields: dict[str, Any], kind: type[_T], find: Find) -> tuple[_T, ModelSpec]:
    wire = convert(fields, kind)
    if not wire.model:
        raise InvalidRequest("model is required", param="model")
    if not 1 <= wire.n <= MAX_CHOICES:
        raise InvalidRequest(f"'n' must be between 1 and {MAX_CHOICES}", param="n")
    return wire, find(wire.model)


def _call(
    request: GenerateRequest,
    choices: Choices | None,
    wire: _Shared,
    spec: ModelSpec,
    *,
    chat: bool,
    ignored: tuple[str, ...],
) -> Call:
    if choices is not None:
        answers = choices.best_of * len(choices.requests)
        if answers * (len(wire.logit_bias) + len(wire.stop_token_ids)) > MAX_LISTED:
            name = "logit_bias" if len(wire.logit_bias) > len(wire.stop_token_ids) else "stop_token_ids"
            raise InvalidRequest(f"'{name}' is too long for {answers} answers: ask for fewer at once", param=name)
    return Call(
        request=request,
        model=wire.model,
        stream=wire.stream,
        chat=chat,
        choices=choices,
        show_logprobs=request.sampling.logprobs is not None,
        include_usage=wire.stream_options.include_usage is True,
        fingerprint=_fingerprint(spec),
        service_tier=read_tier(wire.service_tier)[1],
        prompt_field="messages" if chat else "prompt",
        ignored=ignored,
    )


def _fingerprint(spec: ModelSpec) -> str:
    """Return a name for engine, weights and template: a seed gives the same answer only where all are the same."""
    template = spec.go_template if spec.uses_go_template else spec.chat_template
    parts = "\0".join([__version__, spec.digest, template or "", spec.system or ""])
    return f"fp_{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def _sampling(
    fields: dict[str, Any],
    defaults: dict[str, float],
    wire: _Shared,
    spec: ModelSpec,
    logprobs: int | None,
    least_tokens: int = 1,
) -> tuple[SamplingParams, LoadOptions, tuple[str, ...]]:
    if wire.min_tokens < 0 or wire.min_tokens >= 2**31:
        raise InvalidRequest("'min_tokens' must be at least 0", param="min_tokens")
    read = read_sampling(fields, defaults, spec.options, least_tokens=least_tokens)
    sampling = msgspec.structs.replace(
        read.sampling,
        ignore_eos=wire.ignore_eos,
        min_tokens=wire.min_tokens,
        logprobs=logprobs,
        logit_bias=read_bias(wire.logit_bias),
        stop_token_ids=read_token_ids(wire.stop_token_ids, "stop_token_ids"),
    )
    if 0 <= sampling.max_tokens < sampling.min_tokens:
        raise InvalidRequest("'min_tokens' must not be above the number of tokens asked for", param="min_tokens")
    return sampling, read.load, read.ignored


def _tools(wire: _Chat, spec: ModelSpec) -> tuple[ToolSpec, ...]:
    tools: list[ToolSpec] = []
    for index, tool in enumerate(wire.tools):
        if tool.type not in (None, "function") or tool.function is None:
            raise UnsupportedFeature("only tools of type function are supported", param=f"tools[{index}]")
        function = tool.function
        if not function.name:
            raise InvalidRequest("a tool needs a name", param=f"tools[{index}].function.name")
        if not is_for_objects(function.parameters or {}):
            at = f"tools[{index}].function.parameters"
            raise InvalidRequest(f"'{at}' {NO_OBJECT}", param=at)
        tools.append(
            ToolSpec(
                name=function.name,
                description=function.description or "",
                parameters=function.parameters or {},
                strict=bool(function.strict),
            )
        )
    if len({tool.name for tool in tools}) < len({msgspec.json.encode(tool) for tool in tools}):
        raise InvalidRequest("two tools have the same name and differ", param="tools")
    if tools and wire.tool_choice != "none" and "tools" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support tools', param="tools")
    return tuple(tools)


def _think(wire: _Chat, spec: ModelSpec) -> bool | str | None:
    effort = wire.reasoning_effort or wire.reasoning.effort
    if wire.reasoning.effort not in (None, effort):
        text = "'reasoning_effort' and 'reasoning.effort' mean the same and differ: send one of them"
        raise InvalidRequest(text, param="reasoning.effort")
    think = _EFFORTS.get(effort, effort) if effort else None
    if think not in _LEVELS:
        known = ", ".join(name for name in [*_EFFORTS, *_LEVELS] if isinstance(name, str))
        raise InvalidRequest(f"'reasoning_effort' must be one of {known}", param="reasoning_effort")
    if think and "thinking" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support thinking', param="reasoning_effort")
    return think


def _template_kwargs(wire: _Chat, spec: ModelSpec) -> dict[str, Any]:
    if wire.chat_template_kwargs and spec.uses_go_template:
        raise UnsupportedFeature("'chat_template_kwargs' needs a Jinja template", param="chat_template_kwargs")
    for name in ("messages", "tools"):
        if name in wire.chat_template_kwargs:
            raise InvalidRequest(f"'{name}' has its own field", param=f"chat_template_kwargs.{name}")
    return wire.chat_template_kwargs


def _prompts(prompt: Any) -> list[str | tuple[int, ...]]:
    """Return the texts or token ids of all prompts in OpenAI's four spellings."""
    if prompt is None or prompt == []:
        raise InvalidRequest("prompt is required", param="prompt")
    if isinstance(prompt, list) and isinstance(prompt[0], (str, list)):
        return [_one_prompt(one) for one in prompt]
    return [_one_prompt(prompt)]


def _one_prompt(prompt: Any) -> str | tuple[int, ...]:
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list) or not all(type(item) is int and 0 <= item < 2**31 for item in prompt):
        raise InvalidRequest("prompt must be a string or a list of token ids, or a list of these", param="prompt")
    if not prompt:
        raise InvalidRequest("a prompt must not be empty", param="prompt")
    return tuple(prompt)


def _with_prompt(base: GenerateRequest, prompt: str | tuple[int, ...]) -> GenerateRequest:
    if isinstance(prompt, str):
        return msgspec.structs.replace(base, prompt=prompt)
    if base.suffix:
        raise UnsupportedFeature("'suffix' needs a prompt in words", param="suffix")
    return msgspec.structs.replace(base, prompt_tokens=prompt)
