"""What a generation says while it runs: any number of deltas between one Accepted and one Finished or Failed.

Several answers to one request (Choices) share one Accepted and one last word; what is of one answer is a ChoiceEvent.
"""

from __future__ import annotations

import msgspec

from arriero.core.errors import ErrorInfo
from arriero.core.request import ToolCall


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts and durations (nanoseconds). `prompt_tokens` includes the cached ones."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    discarded_tokens: int = 0  # by context shift, where it was asked for
    thinking_tokens: int = 0  # among the completion's
    drafted_tokens: int = 0  # guessed ahead,
    accepted_tokens: int = 0  # and of these, those that were drawn
    queue_ns: int = 0
    load_ns: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0
    total_ns: int = 0


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token, its log probability under the model, its bytes, and the best alternatives.

    The first token of a prompt has no log probability.
    """

    token: str
    logprob: float | None
    bytes: tuple[int, ...] = ()
    top: tuple[TokenLogprob, ...] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """The request is valid and will run; no status line is sent before this.

    `dropped_messages` counts what was cut because the client asked for cutting (`truncate`). `opens_thinking`: the
    prompt ends inside a thinking block, so the answer begins in it. `common_tokens` says, where that was asked of one
    prompt, how many of its leading tokens are those of something cached, be it that they cannot be used. When it came,
    `ahead` others had their turn before it, and its own was to come in `queue_seconds` (None: not known).
    """

    prompt_tokens: int
    cached_tokens: int = 0
    common_tokens: int | None = None
    dropped_messages: int = 0
    opens_thinking: bool = False
    ahead: int = 0
    queue_seconds: float | None = 0.0


class TextDelta(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """A piece of the answer: valid UTF-8, never half a character. `tokens` counts the tokens it closes.

    `echoed`: it is the prompt, and so are its `logprobs`.
    """

    text: str
    tokens: int = 1
    logprobs: tuple[TokenLogprob, ...] = ()
    echoed: bool = False


class ThinkingDelta(msgspec.Struct, frozen=True, kw_only=True, tag="thinking"):
    """A piece of the model's thinking, split from the answer."""

    text: str
    tokens: int = 1


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """A whole tool call; `index` counts the calls of this answer from 0."""

    index: int
    call: ToolCall


class ToolCallPart(msgspec.Struct, frozen=True, kw_only=True, tag="call_part"):
    """The next characters of the arguments' JSON of call `index`, for requests with `call_parts`.

    Where there are parts they make up all of it, and the whole call follows the last one with the same id. A call that
    breaks off has no whole: its text follows as text.
    """

    index: int
    id: str
    name: str
    arguments: str


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The generation ended well. `reason`: stop, length, tool_calls, load or unload.

    `stop_sequence` names the stop string that ended it. `context` is Ollama's token list, where asked for.
    `tool_repairs` names what had to be mended in the answer's tool calls; "invalid": one still breaks its schema.
    """

    reason: str
    usage: Usage
    stop_sequence: str | None = None
    context: tuple[int, ...] = ()
    tool_repairs: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The generation ended badly."""

    error: ErrorInfo
    usage: Usage = Usage()


class ChoiceEvent(msgspec.Struct, frozen=True, kw_only=True, tag="choice"):
    """What is said of answer `index` of several; a Finished in it ends that answer alone."""

    index: int
    event: TextDelta | ThinkingDelta | ToolCallDelta | ToolCallPart | Finished


Event = Accepted | TextDelta | ThinkingDelta | ToolCallDelta | ToolCallPart | ChoiceEvent | Finished | Failed
