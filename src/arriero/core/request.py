"""What a client asks for, in one vocabulary for all protocols. Frozen; it knows no wire format."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.constraint import Constraint


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call the model made, or made in an earlier turn. `arguments` is a JSON object.

    `unread`: the text that a client sent back in place of an object, `arguments` is empty then.
    """

    name: str
    arguments: dict[str, Any]
    id: str = ""
    unread: str = ""


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A function the model may call; `parameters` is its JSON schema as the client sent it.

    `strict`: a call of it must match the schema; where that cannot be made sure, the request fails.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a conversation. `role` is lower case."""

    role: str
    content: str = ""
    thinking: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str | None = None
    tool_call_id: str | None = None


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. The defaults are Ollama's (reference: options table).

    `temperature` 0 is greedy. `top_k` ≤ 0 and `top_p` 1 are off. `repeat_last_n` 0 is off, −1 the whole context.
    `seed` None draws a fresh one for the request. `max_tokens` −1 is bounded by the context alone.
    `logprobs` None is off; n ≥ 0 gives the sampled token's log probability and the n best alternatives.
    `draft_tokens` is the most that is guessed ahead and checked in a step, None for as many as pay; no draw changes.
    `logit_bias` adds to the logits of token ids before anything else looks at them. A token of `stop_token_ids` ends
    the answer like one of the model's own, `ignore_eos` or not; its text is not part of the answer.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int = -1
    min_tokens: int = 0
    ignore_eos: bool = False
    num_keep: int = 4
    logprobs: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    draft_tokens: int | None = None


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that reach the model's context; a change reloads. None = chosen by arriero.

    `least_ctx`: a context that is chosen has so many tokens at least. `draft` names the draft model, "" none; the
    service makes it the path of its file.
    """

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = None
    use_mmap: bool | None = None
    kv_cache_type: str | None = None
    draft: str | None = None
    least_ctx: int | None = None


class Beams(msgspec.Struct, frozen=True, kw_only=True):
    """A beam search of so many beams; the answer is the one of `rank`, 0 for the best.

    Scores are divided by the length of prompt and answer to the power of `length_penalty`. Requests with the same
    `group` and prompt share one search.
    """

    width: int
    length_penalty: float = 1.0
    rank: int = 0
    group: str = ""


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One generation. Exactly one of `messages`, `prompt`, `prompt_tokens` is given.

    `prompt` with `raw` goes to the tokenizer as it is (special tokens in it are parsed); without `raw` it becomes a
    user message after `system`. `context` (Ollama) is a token list that stands before the prompt. `keep_alive` is in
    seconds, negative for ever, None the server's default. `truncate` may drop the oldest messages of a prompt that does
    not fit; `shift` may drop the older half behind the first `num_keep` tokens when the context is full, and go on.
    `template` is a Go template that stands in for the model's. With `continue_last` the answer goes on where the last
    message, the assistant's, ends. `thinking_budget` is the most tokens that thinking may take. `suffix` asks for what
    comes between it and `prompt`.
    `constraint` is what the answer must look like, behind the thinking. With `must_call` the answer is nothing but tool
    calls; `callable_tools` names the tools that may be called, None for all.
    `deadline` is in seconds from arrival; the answer must have begun by then. `template_kwargs` are further variables
    of a Jinja chat template.
    `adapter_scales` says how strongly each of the model's adapters counts, None: as it was made.
    Without `cache_prompt` nothing of the prompt comes from the prefix cache; `explain_cache` asks what it has of it.
    Without `parallel_tool_calls` the answer
    ends behind its first call. `echo` puts the prompt's text before the answer, with `prompt_logprobs` its tokens' log
    probabilities, too, and `sampling.logprobs` alternatives to each. A greater `priority` goes first.
    `call_parts`: arguments of tool calls are told of while they are written, as far as they are final.
    `prediction` is text that the answer is expected to repeat: where it does, it comes sooner.
    `beams` asks for the likeliest text that a search finds, of which nothing is told before its end.
    `whole`: the client sees nothing before the answer's end, so that it may begin again after a crash.
    """

    model: str
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    suffix: str | None = None
    template: str | None = None
    prompt_tokens: tuple[int, ...] | None = None
    raw: bool = False
    system: str | None = None
    context: tuple[int, ...] = ()
    want_context: bool = False
    tools: tuple[ToolSpec, ...] = ()
    think: bool | str | None = None
    truncate: bool = False
    shift: bool = False
    sampling: SamplingParams = SamplingParams()
    load: LoadOptions = LoadOptions()
    keep_alive: float | None = None
    whole: bool = False
    call_parts: bool = False
    priority: int = 0
    tenant: str = ""
    deadline: float | None = None
    constraint: Constraint | None = None
    must_call: bool = False
    callable_tools: tuple[str, ...] | None = None
    continue_last: bool = False
    thinking_budget: int | None = None
    template_kwargs: dict[str, Any] = {}
    cache_prompt: bool = True
    adapter_scales: tuple[float, ...] | None = None
    explain_cache: bool = False
    prediction: str | None = None
    parallel_tool_calls: bool = True
    echo: bool = False
    prompt_logprobs: bool = False
    beams: Beams | None = None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """Several answers asked for at once: `n` to each of `requests`, the likeliest of `best_of` drawn for each.

    Answer j to request i has the index i × n + j.
    """

    requests: tuple[GenerateRequest, ...]
    n: int = 1
    best_of: int = 1
