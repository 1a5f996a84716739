"""Unigram, the tokenizer of XLM-RoBERTa (multilingual E5, BGE-M3): from tokenizer.json to llama.cpp's `t5`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary import special
from arriero.convert.vocabulary.sentencepiece import adds_prefix
from arriero.convert.vocabulary.tokens import Tokens, Type, size_of
from arriero.core.errors import InvalidRequest


def write(source: Source, out: Output, config: dict[str, Any]) -> None:
    """Write the vocabulary, how its text is normalised, and its special tokens."""
    tokenizer = source.object("tokenizer.json")
    model = tokenizer["model"]
    tokens = Tokens()
    for at, (text, score) in enumerate(model["vocab"]):
        tokens.put(at, str(text), Type.UNKNOWN if at == model.get("unk_id") else Type.NORMAL, float(score))
    for at, (text, control) in special.added_tokens(source).items():
        if at != model.get("unk_id"):
            tokens.put(at, text, Type.CONTROL if control else Type.USER_DEFINED)
    size_of(config, tokens)
    tokens.write(out, "t5", "default", scores=True)
    out.keys.add_add_space_prefix(adds_prefix(tokenizer))
    out.keys.add_remove_extra_whitespaces(True)  # as the maps of SentencePiece's NFKC rules ask for
    charsmap = _charsmap(tokenizer.get("normalizer"))
    if charsmap:
        out.keys.add_precompiled_charsmap(charsmap)
    special.write(source, out, config, tokens)


def _charsmap(normalizer: Any) -> bytes:
    """The table of replacements; InvalidRequest for steps that llama.cpp has no place for."""
    found = b""
    steps = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    for step in steps:
        kind = step.get("type")
        if kind == "Precompiled":
            try:
                found = base64.b64decode(step["precompiled_charsmap"], validate=True)
            except (binascii.Error, TypeError):
                raise InvalidRequest("tokenizer.json: precompiled_charsmap is not base64") from None
        elif kind not in ("Strip", "Replace"):  # of spaces, which are merged anyway
            raise InvalidRequest(f"tokenizer.json: a normalizer of type {kind} cannot be converted")
    return found
