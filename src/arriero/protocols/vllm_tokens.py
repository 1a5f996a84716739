"""vLLM's /tokenize and /detokenize: texts, conversations and token ids, without generating.

Source: vLLM's OpenAI-compatible server, "Tokenizer API".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenized
from arriero.protocols.body import read_fields
from arriero.protocols.call import Find
from arriero.protocols.openai.request import decode_chat
from arriero.protocols.unknown import unknown_fields

_CHAT = ("model", "messages", "tools", "tool_choice", "chat_template_kwargs", "reasoning_effort")
_KNOWN = (*_CHAT, "prompt", "add_special_tokens", "add_generation_prompt", "continue_final_message")
# What cannot be done, with the value that asks for nothing.
_NEUTRAL: dict[str, Any] = {"return_token_strs": False, "add_generation_prompt": True}


class TokenizeCall(NamedTuple):
    """What to tokenize; without `special` a text gets no token for its beginning."""

    request: GenerateRequest
    special: bool = True


def decode_tokenize(body: bytes, find: Find) -> TokenizeCall:
    """Decode a /tokenize body: a `prompt`, or `messages` as /v1/chat/completions has them.

    InvalidRequest and its kin (details: `param`), ModelNotFound.
    """
    fields = _fields(body, (*_KNOWN, *_NEUTRAL))
    for name, neutral in _NEUTRAL.items():
        if fields.get(name, neutral) is not neutral:
            raise UnsupportedFeature(f"'{name}' must be {str(neutral).lower()}", param=name)
    special = _boolean(fields, "add_special_tokens", "messages" not in fields)
    if "messages" not in fields:
        prompt = fields.get("prompt")
        if not isinstance(prompt, str):
            raise InvalidRequest("'prompt' must be a string, where there are no 'messages'", param="prompt")
        return TokenizeCall(GenerateRequest(model=find(_model(fields)).name, prompt=prompt, raw=True), special)
    if "prompt" in fields:
        raise InvalidRequest("'prompt' and 'messages' exclude each other", param="prompt")
    if special:
        raise UnsupportedFeature("the template writes special tokens: 'add_special_tokens' must be false")
    chat = {name: fields[name] for name in _CHAT if name in fields}
    request = decode_chat(msgspec.json.encode(chat), find).request
    continues = _boolean(fields, "continue_final_message", False)
    return TokenizeCall(msgspec.structs.replace(request, continue_last=continues))


def decode_detokenize(body: bytes, find: Find) -> GenerateRequest:
    """Decode a /detokenize body into a request whose `prompt_tokens` are to be read."""
    fields = _fields(body, ("model", "tokens"))
    tokens = fields.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int and 0 <= token < 2**31 for token in tokens):
        raise InvalidRequest("'tokens' must be a list of token ids", param="tokens")
    return GenerateRequest(model=find(_model(fields)).name, prompt_tokens=tuple(tokens))


def encode_tokenized(tokenized: Tokenized) -> bytes:
    """Return /tokenize's JSON."""
    tokens, context = tokenized
    return msgspec.json.encode({"count": len(tokens), "max_model_len": context, "tokens": tokens, "token_strs": None})


def encode_detokenized(text: str) -> bytes:
    """Return /detokenize's JSON."""
    return msgspec.json.encode({"prompt": text})


def _fields(body: bytes, known: Collection[str]) -> dict[str, Any]:
    """The body's fields without nulls; InvalidRequest for an unknown one."""
    fields = read_fields(body)
    unknown_fields(fields, known)
    return fields


def _model(fields: dict[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model is required", param="model")
    return model


def _boolean(fields: dict[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be a boolean", param=name)
    return value
