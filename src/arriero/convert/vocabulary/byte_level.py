"""Byte-level BPE, the tokenizer of GPT-2, Llama 3 and Qwen: tokenizer.json becomes llama.cpp's `gpt2` vocabulary."""

from __future__ import annotations

from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary import special
from arriero.convert.vocabulary.pretokenizers import name_of
from arriero.convert.vocabulary.tokens import Tokens, Type, size_of
from arriero.core.errors import InvalidRequest


def write(source: Source, out: Output, config: dict[str, Any]) -> None:
    """Write the vocabulary, its merges and its special tokens."""
    tokenizer = source.object("tokenizer.json")
    model = tokenizer["model"]
    tokens = Tokens()
    for text, at in model["vocab"].items():
        tokens.put(at, text)
    for at, (text, control) in special.added_tokens(source).items():
        tokens.put(at, text, Type.CONTROL if control else Type.USER_DEFINED)
    size_of(config, tokens)
    tokens.write(out, "gpt2", name_of(tokenizer))
    out.keys.add_token_merges([" ".join(_escaped(part) for part in pair) for pair in merges(model)])
    special.write(source, out, config, tokens)


def merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The pairs that are merged, most wanted first."""
    found: list[tuple[str, str]] = []
    for entry in model.get("merges") or []:
        pair = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise InvalidRequest(f"tokenizer.json: {entry!r} is no merge of two tokens")
        found.append((pair[0], pair[1]))
    if not found:
        raise InvalidRequest("tokenizer.json has no merges")
    return found


def _escaped(part: str) -> str:
    return part.replace(" ", chr(ord(" ") + 256))
