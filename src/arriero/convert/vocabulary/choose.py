"""Chooses how a chat model's tokenizer is read: by the files there are and by what tokenizer.json says of itself."""

from __future__ import annotations

from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary import byte_level, sentencepiece
from arriero.core.errors import InvalidRequest


def write(source: Source, out: Output, config: dict[str, Any]) -> None:
    """Write the vocabulary; InvalidRequest for a kind that cannot be converted."""
    if sentencepiece.FILE in source:
        sentencepiece.write(source, out, config)
        return
    if "tokenizer.json" not in source:
        raise InvalidRequest("tokenizer.json and tokenizer.model are missing")
    model = source.object("tokenizer.json").get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise InvalidRequest(f"tokenizer.json holds a tokenizer of type {kind}; only BPE can be converted here")
    if any(isinstance(at, bool) or not isinstance(at, int) for at in model["vocab"].values()):
        raise InvalidRequest("tokenizer.json: a token's id is no number")
    (sentencepiece if model.get("byte_fallback") else byte_level).write(source, out, config)
