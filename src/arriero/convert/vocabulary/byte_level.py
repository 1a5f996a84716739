"""Byte-level BPE, the tokenizer of GPT-2, Llama 3 and Qwen: tokenizer.json becomes llama.cpp's `gpt2` vocabulary."""

from __future__ import annotations

from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary import special
from arriero.convert.vocabulary.pretokenizers import name_of
from arriero.convert.vocabulary.tokens import Tokens, Type, size_of
from arriero.core.errors import InvalidRequest

_SPACE = chr(ord(" ") + 256)  # as llama.cpp reads it


def write(source: Source, out: Output, config: dict[str, Any], pre: str = "") -> None:
    """Write the vocabulary, its merges and its special tokens; `pre` is another name for GPT-2's way of cutting."""
    tokenizer = source.object("tokenizer.json")
    model = tokenizer["model"]
    normalizer = (tokenizer.get("normalizer") or {}).get("type", "NFC")
    if normalizer != "NFC":  # which llama.cpp leaves out, as texts have it already
        raise InvalidRequest(f"tokenizer.json: a normalizer of type {normalizer} cannot be converted")
    tokens = Tokens()
    for text, at in model["vocab"].items():
        tokens.put(at, text)
    for at, (text, control) in special.added_tokens(source).items():
        tokens.put(at, text, Type.CONTROL if control else Type.USER_DEFINED)
    size_of(config, tokens)
    name = name_of(tokenizer)
    if pre and name != "gpt-2":
        raise InvalidRequest(f"tokenizer.json cuts text as {name}, where GPT-2's way is expected")
    tokens.write(out, "gpt2", pre or name)
    out.keys.add_token_merges(merges(model))
    special.write(source, out, config, tokens)


def merges(model: dict[str, Any]) -> list[str]:
    """The pairs that are merged, most wanted first, with a space between the two; spaces inside are moved aside."""
    found: list[str] = []
    for entry in model.get("merges") or []:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], str):
            entry = f"{entry[0].replace(' ', _SPACE)} {entry[1].replace(' ', _SPACE)}"
        if not isinstance(entry, str) or entry.count(" ") != 1:
            raise InvalidRequest(f"tokenizer.json: {entry!r} is no merge of two tokens")
        found.append(entry)
    if not found:
        raise InvalidRequest("tokenizer.json has no merges")
    return found
