"""Scripted events encode to exactly the bytes in `replies/`, streamed and whole, in every protocol."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from arriero.core.errors import ErrorInfo
from arriero.core.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from arriero.core.model import ModelDetails, ModelSpec, RunningModel, ShownModel
from arriero.core.request import GenerateRequest, ToolCall
from arriero.protocols.anthropic import models as anthropic_models
from arriero.protocols.anthropic import reply as anthropic_reply
from arriero.protocols.call import Call
from arriero.protocols.ollama import models as ollama_models
from arriero.protocols.ollama import reply as ollama_reply
from arriero.protocols.openai import reply as openai_reply
from arriero.protocols.openai.chat_reply import ChatReply
from arriero.protocols.openai.completion_reply import CompletionReply
from arriero.protocols.reply import PromptEncoder, ReplyEncoder
from tests.wire.conftest import Golden

NOW = 1_790_000_000_123_456_000
USAGE = Usage(
    prompt_tokens=20,
    cached_tokens=16,
    completion_tokens=3,
    load_ns=5,
    prefill_ns=7,
    decode_ns=11,
    total_ns=30,
)
LOGPROB = TokenLogprob("é", -0.25, (195, 169), (TokenLogprob("e", -1.5, (101,)),))

SCRIPTS: dict[str, tuple[Event, ...]] = {
    "text": (
        Accepted(prompt_tokens=20, cached_tokens=16),
        TextDelta(text='Hé "'),
        TextDelta(text="", tokens=1),
        TextDelta(text="\n<b>"),
        Finished(reason="stop", usage=USAGE, context=(1, 2, 3)),
    ),
    "logprobs": (
        Accepted(prompt_tokens=20),
        TextDelta(text="é", logprobs=(LOGPROB,)),
        TextDelta(text="", logprobs=(LOGPROB,)),
        Finished(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=2)),
    ),
    "calls": (
        Accepted(prompt_tokens=20),
        ThinkingDelta(text="hm"),
        TextDelta(text="Let me see."),
        ToolCallDelta(index=0, call=ToolCall(name="b", arguments={"z": 1, "a": [True, None]}, id="call_x")),
        ToolCallDelta(index=1, call=ToolCall(name="c", arguments={})),
        Finished(reason="tool_calls", usage=USAGE),
    ),
    "again": (
        Accepted(prompt_tokens=20),
        Accepted(prompt_tokens=20),
        TextDelta(text="Hi"),
        Finished(reason="stop", usage=Usage(prompt_tokens=20, completion_tokens=1)),
    ),
    "failed": (
        Accepted(prompt_tokens=20),
        TextDelta(text="Half"),
        Failed(error=ErrorInfo("worker_died", "the worker of demo died (signal 9)")),
    ),
}


def call(*, chat: bool, include_usage: bool = False) -> Call:
    request = GenerateRequest(model="demo:latest", prompt="x", want_context=not chat)
    return Call(
        request=request, model="demo", stream=True, chat=chat, include_usage=include_usage, fingerprint="fp_arriero"
    )


ENCODERS: dict[str, Callable[[], ReplyEncoder]] = {
    "ollama_generate": lambda: ollama_reply.OllamaReply(call(chat=False), "0123456789"),
    "ollama_chat": lambda: ollama_reply.OllamaReply(call(chat=True), "0123456789"),
    "openai_chat": lambda: ChatReply(call(chat=True), "0123456789", 1790000000),
    "openai_chat_usage": lambda: ChatReply(call(chat=True, include_usage=True), "0123456789", 1790000000),
    "openai_completion": lambda: CompletionReply(call(chat=False), "0123456789", 1790000000),
    "openai_completion_usage": lambda: CompletionReply(call(chat=False, include_usage=True), "0123456789", 1790000000),
    "anthropic_messages": lambda: anthropic_reply.MessageReply(call(chat=True), "0123456789", 1790000000),
}
WHOLE = ("ollama_generate", "ollama_chat", "openai_chat", "openai_completion", "anthropic_messages")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_streamed(encoder: str, script: str, golden: Golden) -> None:
    reply = ENCODERS[encoder]()
    chunks = [reply.chunk(event, NOW) for event in SCRIPTS[script]]
    extension = "ndjson" if encoder.startswith("ollama") else "sse"
    golden(f"replies/{encoder}-{script}.{extension}", b"".join(chunks))


@pytest.mark.parametrize("script", ["text", "logprobs", "calls"])
@pytest.mark.parametrize("encoder", WHOLE)
def test_whole(encoder: str, script: str, golden: Golden) -> None:
    whole = ENCODERS[encoder]().whole(SCRIPTS[script], NOW)
    msgspec.json.decode(whole)
    golden(f"replies/{encoder}-{script}.json", whole + b"\n")


SPEC = ModelSpec(
    name="demo:latest",
    path="/models/demo.gguf",
    digest="cd" * 32,
    size=4_700_000,
    modified_at=1790000000.5,
    details=ModelDetails(
        family="llama",
        parameter_count=4_500_000,
        parameter_size="4.5M",
        quantization="Q8_0",
        context_length=2048,
        embedding_length=256,
    ),
    capabilities=("completion", "tools"),
    chat_template="{{ messages }}",
    system="Be kind.",
    options={"temperature": 0.5, "stop": ["<|im_end|>", "\n"]},
    license="MIT",
)
SHOWN = ShownModel(
    spec=SPEC,
    model_info={
        "general.architecture": "llama",
        "general.name": "Demo",
        "tokenizer.chat_template": "{{ messages }}",
        "tokenizer.ggml.tokens": ["a", "b", "c", "d", "e", "f"],
        "llama.rope.dimensions": [1, 2],
    },
    tensors=({"name": "token_embd.weight", "type": "Q8_0", "shape": [256, 1024]},),
)
RUNNING = RunningModel(
    spec=SPEC, size=100, size_vram=40, expires_at=1790000300.25, context_length=512, layers_total=5, layers_gpu=2
)


def test_about_models(golden: Golden) -> None:
    golden("replies/ollama-version.json", ollama_models.encode_version("0.1.0") + b"\n")
    golden("replies/ollama-tags.json", ollama_models.encode_tags([SPEC]) + b"\n")
    golden("replies/ollama-show.json", ollama_models.encode_show(SHOWN, verbose=False) + b"\n")
    golden("replies/ollama-show-verbose.json", ollama_models.encode_show(SHOWN, verbose=True) + b"\n")
    for_ever = msgspec.structs.replace(RUNNING, expires_at=None)
    golden("replies/ollama-ps.json", ollama_models.encode_ps([RUNNING, for_ever], NOW) + b"\n")
    golden("replies/openai-models.json", openai_reply.encode_models([SPEC]) + b"\n")
    golden("replies/openai-model.json", openai_reply.encode_model(SPEC) + b"\n")
    golden("replies/anthropic-models.json", anthropic_models.encode_models([SPEC], {}) + b"\n")
    golden("replies/anthropic-model.json", anthropic_models.encode_model(SPEC) + b"\n")


ERRORS = (
    ErrorInfo("invalid_request", "no", {"param": "messages[0].role"}),
    ErrorInfo("context_length_exceeded", "too long", {"prompt_tokens": 300, "context_length": 256}),
    ErrorInfo("model_not_found", "model 'x' not found", {"model": "x"}),
    ErrorInfo("overloaded", "the queue is full", {"retry_after": 3}),
    ErrorInfo("worker_died", "signal 9"),
    ErrorInfo("model_load_failed", "bad magic"),
    ErrorInfo("load_timed_out", "no progress for 300 s"),
    ErrorInfo("cancelled", "gone"),
    ErrorInfo("unauthorized", "no key"),
    ErrorInfo("internal", "internal error"),
)


def test_errors(golden: Golden) -> None:
    golden("replies/ollama-errors.ndjson", b"\n".join(map(ollama_reply.encode_error, ERRORS)) + b"\n")
    golden("replies/openai-errors.ndjson", b"\n".join(map(openai_reply.encode_error, ERRORS)) + b"\n")
    golden("replies/anthropic-errors.ndjson", b"\n".join(map(anthropic_reply.encode_error, ERRORS)) + b"\n")


@pytest.mark.parametrize("encoder", ["ollama_generate", "ollama_chat"])
def test_rendered(encoder: str, golden: Golden) -> None:
    reply = ENCODERS[encoder]()
    assert isinstance(reply, PromptEncoder)
    golden(f"replies/{encoder}-rendered.json", reply.rendered('<user> "hi"\n', NOW))
